package trail_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/trail"
	"github.com/verdict-authz/verdict/store"
)

// quick tails look often, so that tests need not wait.
var quick = trail.Config{Poll: 5 * time.Millisecond, Heartbeat: 20 * time.Millisecond}

// of is the n-th record of an instance's epoch; without an instance, one that the store places.
func of(instance string, epoch, n int) store.Decision {
	number := n*10_000 + epoch*1000
	for _, c := range []byte(instance) {
		number += int(c)
	}
	d := store.Decision{ID: decisionID(number), At: t0.Add(time.Duration(n) * time.Millisecond), TenantID: tenant, API: "orders"}
	if instance != "" {
		d.Instance, d.Epoch, d.Seq = instance, uint64(epoch), uint64(n)
	}
	return d
}

func name(d *verdictv1.DecisionRecord) string {
	return fmt.Sprintf("%s/%d/%d", d.GetInstance(), d.GetEpoch(), d.GetSequence())
}

// listener reads one stream.
type listener struct {
	t      *testing.T
	stream verdictv1.AuditService_TailDecisionsClient
	hangUp context.CancelFunc
	token  string
}

func listen(t *testing.T, c served, req *verdictv1.TailDecisionsRequest) *listener {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	stream, err := c.TailDecisions(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return &listener{t: t, stream: stream, hangUp: cancel}
}

// next is the next message.
func (l *listener) next() (*verdictv1.DecisionRecord, error) {
	resp, err := l.stream.Recv()
	if err == nil {
		l.token = resp.GetResumeToken()
	}
	return resp.GetDecision(), err
}

// begun waits for the first message, which says where the tail begins.
func (l *listener) begun() *listener {
	l.t.Helper()
	if d, err := l.next(); err != nil || d != nil || l.token == "" {
		l.t.Fatalf("begins with %v, token %q, %v", d, l.token, err)
	}
	return l
}

// records are the next n, without heartbeats.
func (l *listener) records(n int) (names []string) {
	l.t.Helper()
	for len(names) < n {
		d, err := l.next()
		if err != nil {
			l.t.Fatalf("after %v: %v", names, err)
		}
		if d != nil {
			names = append(names, name(d))
		}
	}
	return names
}

func TestATailSendsWhatIsKeptFromNowOn(t *testing.T) {
	for engine, open := range map[string]func(*testing.T) store.Store{"sqlite": openSQLite, "postgres": openPostgres} {
		t.Run(engine, func(t *testing.T) {
			s := open(t)
			appended(t, s, of("a", 1, 1), of("b", 1, 1))
			l := listen(t, serve(t, newService(t, s, noPolicy{}, nil, quick)), &verdictv1.TailDecisionsRequest{}).begun()
			appended(t, s, of("a", 1, 2), of("b", 1, 2), of("b", 1, 3))
			got := l.records(3)
			appended(t, s, of("a", 2, 1), of("", 0, 9))
			got = append(got, l.records(2)...)
			slices.Sort(got)
			if want := []string{"/0/0", "a/1/2", "a/2/1", "b/1/2", "b/1/3"}; !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestATailGoesOnAfterABreakWithoutGapOrRepeat(t *testing.T) {
	for engine, open := range map[string]func(*testing.T) store.Store{"sqlite": openSQLite, "postgres": openPostgres} {
		t.Run(engine, func(t *testing.T) {
			const each = 110
			s := open(t)
			first := serve(t, newService(t, s, noPolicy{}, nil, quick))
			l := listen(t, first, &verdictv1.TailDecisionsRequest{}).begun()
			var writers sync.WaitGroup
			for _, instance := range []string{"a", "bb"} {
				writers.Go(func() {
					for n := 1; n <= each; n++ {
						if err := s.AppendDecisions(t.Context(), []store.Decision{of(instance, 1+n/100, n)}); err != nil {
							t.Error(err)
						}
					}
				})
			}
			servers := []served{first}
			var got []string
			for len(got) < 2*each {
				switch len(got) % 60 {
				case 20: // the caller goes, and comes back to the same server
					l.hangUp()
					l = listen(t, servers[len(servers)-1], &verdictv1.TailDecisionsRequest{ResumeToken: l.token})
				case 40: // the server goes; the caller comes back to another
					servers[len(servers)-1].stop()
					servers = append(servers, serve(t, newService(t, s, noPolicy{}, nil, quick)))
					l = listen(t, servers[len(servers)-1], &verdictv1.TailDecisionsRequest{ResumeToken: l.token})
				}
				got = append(got, l.records(1)...)
			}
			writers.Wait()
			last := map[string]int{}
			for _, g := range got {
				var instance string
				var epoch, n int
				if _, err := fmt.Sscanf(g, "a/%d/%d", &epoch, &n); err == nil {
					instance = "a"
				} else if _, err := fmt.Sscanf(g, "bb/%d/%d", &epoch, &n); err == nil {
					instance = "bb"
				}
				if last[instance]++; n != last[instance] {
					t.Fatalf("after %d of %q came %s", last[instance]-1, instance, g)
				}
			}
			if last["a"] != each || last["bb"] != each {
				t.Errorf("got %v of each", last)
			}
			// Nothing is left that was not sent.
			appended(t, s, of("a", 9, 1))
			if more := l.records(1); more[0] != "a/9/1" {
				t.Errorf("then came %v", more)
			}
		})
	}
}

func TestATailSinceAnInstantSendsWhatThereIsOfThem(t *testing.T) {
	s := openSQLite(t)
	var ds []store.Decision
	for n := range 1200 { // more than are read at once
		ds = append(ds, of("a", 1, n+1))
	}
	appended(t, s, ds...)
	c := serve(t, newService(t, s, noPolicy{}, nil, quick))
	got := listen(t, c, &verdictv1.TailDecisionsRequest{Since: timestamppb.New(t0.Add(3 * time.Millisecond))}).begun().records(1198)
	if got[0] != "a/1/3" || got[1197] != "a/1/1200" {
		t.Errorf("from %s to %s", got[0], got[1197])
	}
}

func TestATailIsNarrowedByItsFilterButNotByItsBounds(t *testing.T) {
	s := openSQLite(t)
	c := serve(t, newService(t, s, noPolicy{}, nil, quick))
	bills := of("a", 1, 2)
	bills.API = "bills"
	old := timestamppb.New(t0.AddDate(-1, 0, 0))
	l := listen(t, c, &verdictv1.TailDecisionsRequest{Filter: &verdictv1.DecisionFilter{Api: "bills", From: old, To: old}}).begun()
	appended(t, s, of("a", 1, 1), bills, of("a", 1, 3))
	if got := l.records(1); got[0] != "a/1/2" {
		t.Errorf("got %v", got)
	}
	// A heartbeat goes on past what does not match.
	token := l.token
	for range 100 {
		if d, err := l.next(); err != nil || d != nil {
			t.Fatalf("%v, %v", d, err)
		}
		if l.token != token {
			break
		}
	}
	if cursor, err := store.ParseTailCursor(l.token); err != nil || cursor.Seen[store.Source{Instance: "a"}].Seq != 3 {
		t.Errorf("a heartbeat is at %v, %v", cursor, err)
	}
}

func TestAQuietTailHasAHeartbeat(t *testing.T) {
	l := listen(t, serve(t, newService(t, openSQLite(t), noPolicy{}, nil, quick)), &verdictv1.TailDecisionsRequest{}).begun()
	began := time.Now()
	if d, err := l.next(); err != nil || d != nil || l.token == "" {
		t.Errorf("%v, token %q, %v", d, l.token, err)
	}
	if quiet := time.Since(began); quiet > 10*time.Second {
		t.Errorf("it was quiet for %v", quiet)
	}
}

func TestATailRefusesABadBeginning(t *testing.T) {
	c := serve(t, newService(t, openSQLite(t), noPolicy{}, nil, quick))
	for name, tc := range map[string]struct {
		req  *verdictv1.TailDecisionsRequest
		want map[string]string
	}{
		"a token that is none":    {&verdictv1.TailDecisionsRequest{ResumeToken: "here, please"}, map[string]string{"resume_token": "not one that came"}},
		"an instant that is none": {&verdictv1.TailDecisionsRequest{Since: &timestamppb.Timestamp{Nanos: -1}}, map[string]string{"since": "RFC 3339"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := listen(t, c, tc.req).next()
			wantInvalid(t, err, tc.want)
		})
	}
}

func TestThereAreOnlySoManyTailsAtOnce(t *testing.T) {
	cfg := quick
	cfg.MaxTails = 2
	c := serve(t, newService(t, openSQLite(t), noPolicy{}, nil, cfg))
	one := listen(t, c, &verdictv1.TailDecisionsRequest{}).begun()
	listen(t, c, &verdictv1.TailDecisionsRequest{}).begun()
	_, err := listen(t, c, &verdictv1.TailDecisionsRequest{}).next()
	wantCode(t, err, codes.ResourceExhausted, "sends to 2 already")

	one.hangUp()
	for range 500 { // until the server has seen it
		if _, err = listen(t, c, &verdictv1.TailDecisionsRequest{}).next(); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Errorf("after one went, another is refused: %v", err)
}

// failing is a store whose records cannot be read any more.
type failing struct{ store.Store }

func (failing) DecisionsAfter(context.Context, store.TailCursor, store.DecisionFilter, int) (store.Tail, error) {
	return store.Tail{}, fmt.Errorf("secret host: %w", store.ErrUnavailable)
}

func TestATailEndsWhenTheStoreIsAway(t *testing.T) {
	l := listen(t, serve(t, newService(t, failing{openSQLite(t)}, noPolicy{}, nil, quick)), &verdictv1.TailDecisionsRequest{}).begun()
	_, err := l.next()
	wantCode(t, err, codes.Unavailable, "the store cannot be reached")
	if errors.Is(err, io.EOF) {
		t.Error("it ended as if there were no more")
	}
}
