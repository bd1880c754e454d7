package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/verdict-authz/verdict/server/audit"
	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// wantLeaf checks that the leaf is over all that the record says.
func wantLeaf(t *testing.T, d store.Decision) {
	t.Helper()
	canonical, err := d.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	if sum := seal.Leaf(&canonical); !bytes.Equal(sum[:], d.Leaf) {
		t.Errorf("record %s: leaf %x, want %x", d.ID, d.Leaf, sum)
	}
}

func TestRecordsOfASpoolHaveTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		sp := openSpool(t, dir, spool.Config{})
		instance := sp.Instance().String()
		if err := sp.Close(); err != nil {
			t.Fatal(err)
		}
		const starts, each = 3, 40
		refused := map[string]bool{}
		f := &fakeStore{}
		f.set(func(ds []store.Decision) error {
			for _, d := range ds {
				if refused[d.ID] {
					return errBadRow // batches are halved
				}
			}
			return nil
		})
		epochs := 0
		for range starts {
			r, _ := spooled(t, f, dir, spool.Config{}, audit.Config{Batch: 16})
			for i := range each {
				d := store.Decision{ID: newID(), At: time.Now(), Took: 1234, Detail: "bad \xff", Subjects: []string{}, SourceIP: "192.0.2.0"}
				if i%9 == 5 {
					refused[d.ID] = true
				}
				d.Instance, d.Epoch, d.Seq, d.Leaf = "forged", 99, 99, []byte("forged")
				if err := r.Record(d, policy.Keeping{}); err != nil {
					t.Fatal(err)
				}
			}
			if epochs++; epochs == 2 {
				stop(t, r) // the next process writes them
			} else {
				closed(t, r)
			}
		}
		if len(f.kept) != starts*each-len(refused) || len(refused) == 0 {
			t.Fatalf("%d kept, %d refused", len(f.kept), len(refused))
		}
		perEpoch := map[uint64]uint64{}
		var last spool.Seq
		for _, d := range f.kept {
			at := spool.Seq{Epoch: d.Epoch, N: d.Seq}
			if d.Instance != instance || !last.Less(at) {
				t.Fatalf("%s %s comes after %s", d.Instance, at, last)
			}
			last = at
			perEpoch[d.Epoch] = d.Seq
			wantLeaf(t, d)
		}
		if len(perEpoch) != starts {
			t.Errorf("epochs %v", perEpoch)
		}
		for epoch, n := range perEpoch {
			if n != each {
				t.Errorf("epoch %d ends with %d", epoch, n)
			}
		}
	})
}

func TestRecordsWithoutASpoolHaveALeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{fail: unavailable}
		r, _ := start(t, f, audit.Config{Batch: 4})
		for range 10 {
			if err := r.Record(store.Decision{ID: newID(), At: time.Now(), Detail: "\x00", Grants: []string{"g"}}, policy.Keeping{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second)
		f.set(nil)
		closed(t, r)
		if len(f.kept) != 10 {
			t.Fatalf("%d kept", len(f.kept))
		}
		for _, d := range f.kept {
			if d.Instance != "" || d.Epoch != 0 || d.Seq != 0 {
				t.Errorf("placed at %q %d.%d", d.Instance, d.Epoch, d.Seq)
			}
			wantLeaf(t, d)
		}
	})
}

// The same with a server that goes away and comes back while sync-db answers: every answer has its record, in its place.
func TestSyncDBWithPostgres(t *testing.T) {
	server := pgtest.Start(t)
	db, err := postgres.Open(t.Context(), postgres.Config{URL: server.New(t)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	for name, place := range places {
		t.Run(name, func(t *testing.T) {
			var writes int
			r := place(t, appender(func(ctx context.Context, ds []store.Decision) error {
				writes++
				return db.AppendDecisions(ctx, ds)
			}), audit.Config{Durability: policy.DurabilitySyncDB, Timeout: 2 * time.Second})
			var mu sync.Mutex
			var answered []string
			refused := 0
			quit := make(chan struct{})
			var all sync.WaitGroup
			for range 16 {
				all.Go(func() {
					for {
						select {
						case <-quit:
							return
						default:
						}
						d := store.Decision{ID: newID(), At: time.Now().UTC(), Reason: int16(policy.NoGrant), API: name, Scopes: []string{"s"}}
						err := r.Record(d, policy.Keeping{})
						mu.Lock()
						if err == nil {
							answered = append(answered, d.ID)
						} else if refused++; !errors.Is(err, audit.ErrFailed) {
							t.Error(err)
						}
						mu.Unlock()
					}
				})
			}
			progress := func() int {
				mu.Lock()
				defer mu.Unlock()
				return len(answered)
			}
			goesOn := func() {
				t.Helper()
				before := progress()
				for end := time.Now().Add(20 * time.Second); progress() < before+100; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("no answers: %+v", r.Stats())
					}
				}
			}
			goesOn()
			server.Stop()
			time.Sleep(2500 * time.Millisecond) // longer than anybody has patience for
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			goesOn()
			close(quit)
			all.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := r.Close(ctx); err != nil {
				t.Error(err)
			}
			t.Logf("%d answered in %d writes, %d denied", len(answered), writes, refused)
			if refused == 0 || writes > len(answered)/2 {
				t.Errorf("%d denied, %d answered in %d writes", refused, len(answered), writes)
			}
			kept, err := db.ListDecisions(t.Context(), store.DecisionFilter{API: name}, store.DecisionCursor{}, 1_000_000)
			if err != nil {
				t.Fatal(err)
			}
			have := map[string]bool{}
			seqs := map[string]bool{}
			for _, d := range kept {
				have[d.ID] = true
				seqs[fmt.Sprint(d.Instance, d.Epoch, d.Seq)] = true
				if name == "with a spool" {
					wantLeaf(t, d)
				}
			}
			if name == "with a spool" && len(seqs) != len(kept) {
				t.Errorf("%d places of %d records", len(seqs), len(kept))
			}
			if i := slices.IndexFunc(answered, func(id string) bool { return !have[id] }); i >= 0 {
				t.Errorf("%s was answered and is not in the store", answered[i])
			}
		})
	}
}
