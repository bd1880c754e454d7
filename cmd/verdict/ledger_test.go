package main

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
)

// ledger is what clients were told: the ids of the decisions that were given, whose records must not be lost.
type ledger struct {
	mu      sync.Mutex
	given   []string
	denied  int           // AUDIT_UNAVAILABLE: such a decision is not recorded
	failed  int           // calls without an answer
	slowest time.Duration // of the answers
}

// load asks from several clients at once until ctx ends.
func (l *ledger) load(ctx context.Context, t *testing.T, target string, ask *verdictv1.CheckRequest) {
	t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	client := verdictv1.NewDecisionServiceClient(conn)
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				resp, err := client.Check(ctx, ask)
				l.note(resp, err, time.Since(began))
				if err != nil { // killed, or not up yet
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	clients.Wait()
}

func (l *ledger) note(resp *verdictv1.CheckResponse, err error, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.failed++
		return
	case resp.GetReason() == verdictv1.Reason_REASON_AUDIT_UNAVAILABLE:
		l.denied++
	default:
		l.given = append(l.given, resp.GetDecisionId())
	}
	l.slowest = max(l.slowest, took)
}

func (l *ledger) answered() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.given)
}

// account compares the ledger with the store: ids that are missing, and records that are there more than once.
func (l *ledger) account(t *testing.T, url string) (lost, duplicated int) {
	t.Helper()
	kept := records(t, url)
	for id, n := range kept {
		if n > 1 {
			t.Errorf("decision %s is recorded %d times", id, n)
			duplicated += n - 1
		}
	}
	for _, id := range l.given {
		if kept[id] == 0 {
			if lost++; lost <= 10 {
				t.Errorf("decision %s was given and is not recorded", id)
			}
		}
	}
	return lost, duplicated
}

// kept is how many of those given are in the store.
func (l *ledger) kept(t *testing.T, url string) (n int) {
	t.Helper()
	kept := records(t, url)
	for _, id := range l.given {
		n += kept[id]
	}
	return n
}

// records is how often each decision is in the store, which is asked without verdict in between.
func records(t *testing.T, url string) map[string]int {
	t.Helper()
	st, err := postgres.Open(t.Context(), postgres.Config{URL: url}, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	kept := map[string]int{}
	var last store.DecisionCursor
	for {
		page, err := st.ListDecisions(t.Context(), store.DecisionFilter{}, last, 5000)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return kept
		}
		for _, d := range page {
			kept[d.ID]++
		}
		end := page[len(page)-1]
		last = store.DecisionCursor{At: end.At, ID: end.ID}
	}
}

// wantDrained fails unless nothing is left in the spool.
func wantDrained(t *testing.T, dir string) {
	t.Helper()
	sp, err := spool.Open(dir, discard, spool.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	if left, err := sp.Next(10); err != nil || len(left.Records)+len(left.Gaps) > 0 {
		t.Errorf("left in the spool: %d records, gaps %v, %v", len(left.Records), left.Gaps, err)
	}
}

func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("answered=%d audit_unavailable=%d unanswered=%d slowest=%s", len(l.given), l.denied, l.failed, l.slowest.Round(time.Millisecond))
}
