package trail_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/verdict-authz/verdict/migrations"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/trail"
	"github.com/verdict-authz/verdict/server/condition"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/snapshot"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
	"github.com/verdict-authz/verdict/store/sqlite"
)

const (
	tenant  = "11111111-1111-4111-8111-111111111111"
	readers = "group:" + tenant + "/22222222-2222-4222-8222-222222222222"
	alice   = "33333333-3333-4333-8333-333333333333"
	client  = "44444444-4444-4444-8444-444444444444"
)

// t0 is when the first record of a test was made; tests that count to now hold the clock.
var t0 = time.Date(2026, 11, 21, 7, 0, 0, 0, time.UTC)

func openSQLite(t *testing.T) store.Store {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verdict.db")
	if _, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path}); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func openPostgres(t *testing.T) store.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: pgtest.New(t)}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// stored is the policy as it is in the store at this moment.
type stored struct {
	t *testing.T
	store.Store
}

func (s stored) Current() *policy.Snapshot {
	facts, err := s.Load(context.WithoutCancel(s.t.Context()))
	if err != nil {
		s.t.Error(err)
		return nil
	}
	plain, err := snapshot.Facts(facts)
	if err != nil {
		s.t.Error(err)
		return nil
	}
	snap, err := policy.Compile(plain, condition.Compile)
	if err != nil {
		s.t.Error(err)
	}
	return snap
}

// noPolicy is a follower that has nothing yet.
type noPolicy struct{}

func (noPolicy) Current() *policy.Snapshot { return nil }

// reviewed answers with the revision 7 for the api orders.
type reviewed struct{}

func (reviewed) Review(_ context.Context, req *verdictv1.AccessReviewRequest) (*verdictv1.AccessReviewResponse, error) {
	if req.GetApi() != "orders" {
		return nil, fmt.Errorf("api %q: %w", req.GetApi(), store.ErrNotFound)
	}
	return &verdictv1.AccessReviewResponse{Revision: 7}, nil
}

// served is a service behind gRPC, as it is behind the admin listener.
type served struct {
	verdictv1.AuditServiceClient
	stop func() // the server goes away at once
}

func serve(t *testing.T, svc *trail.Service) served {
	t.Helper()
	answer := grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		resp, err := next(ctx, req)
		return resp, status.FromError(err)
	})
	stream := grpc.ChainStreamInterceptor(func(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		return status.FromError(next(srv, ss))
	})
	server := grpc.NewServer(answer, stream, grpc.WaitForHandlers(true))
	verdictv1.RegisterAuditServiceServer(server, svc)
	lis := bufconn.Listen(1 << 20)
	done := make(chan struct{})
	go func() {
		if err := server.Serve(lis); err != nil {
			t.Errorf("serve: %v", err)
		}
		close(done)
	}()
	conn, err := grpc.NewClient("passthrough:///audit", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return lis.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	stop := func() {
		server.Stop()
		<-done
	}
	t.Cleanup(func() { conn.Close(); stop() })
	return served{verdictv1.NewAuditServiceClient(conn), stop}
}

func newService(t *testing.T, s store.Store, p trail.Policy, pseudonyms trail.Pseudonyms, cfg trail.Config) *trail.Service {
	t.Helper()
	svc, err := trail.New(s, p, reviewed{}, pseudonyms, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return svc
}

// ask is a service over a store, with the policy that is in it, at noon of the day of t0.
func ask(t *testing.T, s store.Store) served {
	t.Helper()
	return serve(t, newService(t, s, stored{t, s}, nil, trail.Config{Now: func() time.Time { return t0.Add(5 * time.Hour) }}))
}

// decisionID is the n-th of UUIDv7 of t0 that sort by n.
func decisionID(n int) string {
	millis := fmt.Sprintf("%012x", t0.UnixMilli())
	return fmt.Sprintf("%s-%s-7000-8000-%012d", millis[:8], millis[8:], n)
}

func appended(t *testing.T, s store.DecisionAppender, ds ...store.Decision) {
	t.Helper()
	if err := s.AppendDecisions(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
}

// wantInvalid checks that err is INVALID_ARGUMENT for exactly these fields, each with a text that holds the given one.
func wantInvalid(t *testing.T, err error, want map[string]string) {
	t.Helper()
	st := grpcstatus.Convert(err)
	got := map[string]string{}
	for _, d := range st.Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				got[v.GetField()] = v.GetDescription()
			}
		}
	}
	same := st.Code() == codes.InvalidArgument && slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	for field, text := range want {
		same = same && strings.Contains(got[field], text)
	}
	if !same {
		t.Errorf("%v with %v; want %v", err, got, want)
	}
}

func wantCode(t *testing.T, err error, code codes.Code, text string) {
	t.Helper()
	if st := grpcstatus.Convert(err); st.Code() != code || !strings.Contains(st.Message(), text) {
		t.Errorf("error %v, want %v with %q", err, code, text)
	}
}

func wantEqual(t *testing.T, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestNewRefusesWhatItCannotWorkWith(t *testing.T) {
	s := openSQLite(t)
	for name, call := range map[string]func() (*trail.Service, error){
		"no store":    func() (*trail.Service, error) { return trail.New(nil, noPolicy{}, reviewed{}, nil, trail.Config{}) },
		"no policy":   func() (*trail.Service, error) { return trail.New(s, nil, reviewed{}, nil, trail.Config{}) },
		"no reviewer": func() (*trail.Service, error) { return trail.New(s, noPolicy{}, nil, nil, trail.Config{}) },
		"a negative poll": func() (*trail.Service, error) {
			return trail.New(s, noPolicy{}, reviewed{}, nil, trail.Config{Poll: -1})
		},
		"a negative number of tails": func() (*trail.Service, error) {
			return trail.New(s, noPolicy{}, reviewed{}, nil, trail.Config{MaxTails: -1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			if svc, err := call(); err == nil || svc != nil {
				t.Errorf("%v, %v", svc, err)
			}
		})
	}
}

func TestAnAccessReviewIsTheReviewers(t *testing.T) {
	c := ask(t, openSQLite(t))
	resp, err := c.AccessReview(t.Context(), &verdictv1.AccessReviewRequest{Api: "orders"})
	if err != nil || resp.GetRevision() != 7 {
		t.Errorf("%v, %v", resp, err)
	}
	_, err = c.AccessReview(t.Context(), &verdictv1.AccessReviewRequest{Api: "bills"})
	wantCode(t, err, codes.NotFound, `api "bills"`)
}

func TestFindPseudonyms(t *testing.T) {
	s := openSQLite(t)
	_, err := ask(t, s).FindPseudonyms(t.Context(), &verdictv1.FindPseudonymsRequest{TenantId: tenant, PrincipalId: alice})
	wantCode(t, err, codes.FailedPrecondition, "--audit-pseudonym-key")

	months := func(tid, oid string, from, to time.Time) iter.Seq2[string, string] {
		return func(yield func(string, string) bool) {
			for _, at := range []time.Time{from, to} {
				if !yield(at.Format("2006-01"), tid+" "+oid) {
					return
				}
			}
		}
	}
	c := serve(t, newService(t, s, noPolicy{}, months, trail.Config{Now: func() time.Time { return t0 }}))
	at := func(y int, m time.Month) *timestamppb.Timestamp {
		return timestamppb.New(time.Date(y, m, 30, 0, 0, 0, 0, time.UTC))
	}
	for name, tc := range map[string]struct {
		from, to *timestamppb.Timestamp
		want     []string
		wrong    map[string]string
	}{
		"this month unless said otherwise": {want: []string{"2026-11", "2026-11"}},
		"from a month to now":              {from: at(2025, 3), want: []string{"2025-03", "2026-11"}},
		"ten years are the most":           {from: at(2016, 12), want: []string{"2016-12", "2026-11"}},
		"more than ten years":              {from: at(2016, 11), wrong: map[string]string{"from": "120 months"}},
		"to before from":                   {to: at(2026, 10), wrong: map[string]string{"to": "before that of from"}},
		"an instant that is none":          {to: &timestamppb.Timestamp{Nanos: -1}, wrong: map[string]string{"to": "RFC 3339"}},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := c.FindPseudonyms(t.Context(), &verdictv1.FindPseudonymsRequest{TenantId: tenant, PrincipalId: alice, From: tc.from, To: tc.to})
			if tc.wrong != nil {
				wantInvalid(t, err, tc.wrong)
				return
			}
			var got []string
			for _, p := range resp.GetPseudonyms() {
				if got = append(got, p.GetMonth()); p.GetPseudonym() != tenant+" "+alice {
					t.Errorf("pseudonym %q", p.GetPseudonym())
				}
			}
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%v, %v; want %v", got, err, tc.want)
			}
		})
	}
}
