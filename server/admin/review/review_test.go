package review_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/review"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

const (
	tenant = "11111111-1111-4111-8111-111111111111"
	group  = "group:" + tenant + "/22222222-2222-4222-8222-222222222222"
	day    = 24 * time.Hour
)

var now = time.Date(2026, 11, 21, 10, 5, 0, 0, time.UTC)

// fake is a store that is asked once per review.
type fake struct {
	facts   store.Facts
	uses    []store.GrantUse
	changes []store.AdminChange
	away    error // of all three

	usesFrom time.Time
	filter   store.ChangeFilter
	limit    int
	factsCap int
	loading  chan struct{} // nil: Load does not wait
}

func (f *fake) Load(ctx context.Context) (store.Facts, error) {
	if f.loading != nil {
		select {
		case f.loading <- struct{}{}:
		case <-ctx.Done():
			return store.Facts{}, ctx.Err()
		}
	}
	return f.facts, f.away
}

func (f *fake) GrantUse(_ context.Context, from time.Time) ([]store.GrantUse, error) {
	f.usesFrom = from
	return f.uses, f.away
}

func (f *fake) ListChanges(_ context.Context, c store.ChangeFilter, _ store.ChangeCursor, limit, facts int) ([]store.AdminChange, error) {
	f.filter, f.limit, f.factsCap = c, limit, facts
	return f.changes, f.away
}

func newReviewer(t testing.TB, f *fake) *review.Reviewer {
	t.Helper()
	r, err := review.New(f, f, f, review.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func api(id string, permissions ...string) store.API {
	a := store.API{ID: id}
	for _, p := range permissions {
		a.Permissions = append(a.Permissions, store.Permission{Name: p})
	}
	return a
}

func grant(id, api, subject string, permissions ...string) store.Grant {
	return store.Grant{ID: id, API: api, Subject: subject, Permissions: permissions, Effect: store.Allow, Revision: 3}
}

func mustReview(t testing.TB, f *fake, req *verdictv1.AccessReviewRequest) *verdictv1.AccessReviewResponse {
	t.Helper()
	resp, err := newReviewer(t, f).Review(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestGrantsComeByAPISubjectAndID(t *testing.T) {
	f := &fake{facts: store.Facts{Revision: 9, APIs: []store.API{api("a", "p.x"), api("b", "p.x")}, Grants: []store.Grant{
		grant("g-1", "b", "tenant:"+tenant, "p.x"), grant("g-2", "a", "tenant:"+tenant, "p.x"), grant("g-3", "a", group, "p.x"),
		grant("g-4", "a", "tenant:"+tenant, "p.x"), grant("g-0", "a", "tenant:"+tenant, "p.x"),
	}}}
	for api, want := range map[string][]string{
		"":  {"g-3", "g-0", "g-2", "g-4", "g-1"},
		"a": {"g-3", "g-0", "g-2", "g-4"},
		"b": {"g-1"},
	} {
		resp := mustReview(t, f, &verdictv1.AccessReviewRequest{Api: api})
		var got []string
		for _, g := range resp.GetGrants() {
			got = append(got, g.GetGrant().GetId())
		}
		if !slices.Equal(got, want) {
			t.Errorf("api %q: %v, want %v", api, got, want)
		}
		if resp.GetRevision() != 9 || !resp.GetAt().AsTime().Equal(now) {
			t.Errorf("revision %d at %s", resp.GetRevision(), resp.GetAt().AsTime())
		}
	}
}

func TestWildcardsAreResolvedToWhatTheAPIDeclares(t *testing.T) {
	declared := []string{"orders", "orders.write", "orders.read", "orders-x.read", "orders.items.read", "reports.run", "order.read"}
	for name, tc := range map[string]struct{ granted, want []string }{
		"a name is itself": {[]string{"orders.read"}, []string{"orders.read"}},
		"a wildcard is all below, not the word itself": {[]string{"orders.*"}, []string{"orders.items.read", "orders.read", "orders.write"}},
		"a deeper wildcard":                            {[]string{"orders.items.*"}, []string{"orders.items.read"}},
		"what two patterns name stands once":           {[]string{"orders.*", "orders.read", "reports.run"}, []string{"orders.items.read", "orders.read", "orders.write", "reports.run"}},
		"a name that is declared no more gives none":   {[]string{"orders.delete", "stock.*"}, nil},
		"what no door lets in gives none":              {[]string{"*", "ord*", ""}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			f := &fake{facts: store.Facts{APIs: []store.API{api("orders", declared...)}, Grants: []store.Grant{grant("g", "orders", group, tc.granted...)}}}
			if got := mustReview(t, f, nil).GetGrants()[0].GetPermissions(); !slices.Equal(got, tc.want) {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}

func TestUseAndEnd(t *testing.T) {
	used := func(ago time.Duration) *store.GrantUse {
		return &store.GrantUse{Grant: "g", First: now.Add(-300 * day), Last: now.Add(-ago), Principals: 7}
	}
	for name, tc := range map[string]struct {
		use                       *store.GrantUse
		ends                      time.Duration // from now; 0: no end
		unusedAfter, within       time.Duration // 0: absent
		unused, expiring, expired bool
	}{
		"a grant without any use is unused":                      {unused: true},
		"use within 90 days":                                     {use: used(89 * day)},
		"use just 90 days ago":                                   {use: used(90 * day)},
		"use more than 90 days ago":                              {use: used(90*day + time.Second), unused: true},
		"a shorter time of use":                                  {use: used(8 * day), unusedAfter: 7 * day, unused: true},
		"the longest time of use":                                {use: used(399 * day), unusedAfter: 400 * day},
		"an end within 30 days is expiring":                      {use: used(0), ends: 30 * day, expiring: true},
		"an end later is not":                                    {use: used(0), ends: 30*day + time.Microsecond},
		"an end within a longer time":                            {use: used(0), ends: 60 * day, within: 60 * day, expiring: true},
		"a grant that has ended is not expiring":                 {use: used(0), ends: -time.Second, expired: true},
		"an unused grant that is about to end is both":           {ends: day, unused: true, expiring: true},
		"what ends this very instant counts no more, so is over": {use: used(0), ends: -1, expired: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := grant("g", "orders", group, "p.x")
			if tc.ends != 0 {
				g.ExpiresAt = now.Add(tc.ends)
			}
			if tc.ends == -1 {
				g.ExpiresAt = now
			}
			f := &fake{facts: store.Facts{APIs: []store.API{api("orders", "p.x")}, Grants: []store.Grant{g}}}
			if tc.use != nil {
				f.uses = []store.GrantUse{{Grant: "another", First: now, Last: now, Principals: 1}, *tc.use}
			}
			req := &verdictv1.AccessReviewRequest{}
			if tc.unusedAfter != 0 {
				req.UnusedAfter = durationpb.New(tc.unusedAfter)
			}
			if tc.within != 0 {
				req.ExpiringWithin = durationpb.New(tc.within)
			}
			line := mustReview(t, f, req).GetGrants()[0]
			if line.GetUnused() != tc.unused || line.GetExpiring() != tc.expiring || line.GetExpired() != tc.expired {
				t.Errorf("unused %v, expiring %v, expired %v", line.GetUnused(), line.GetExpiring(), line.GetExpired())
			}
			if tc.use == nil {
				if line.FirstUsed != nil || line.LastUsed != nil || line.GetPrincipals() != 0 {
					t.Errorf("use of a grant that has none: %v", line)
				}
				return
			}
			if !line.GetFirstUsed().AsTime().Equal(tc.use.First) || !line.GetLastUsed().AsTime().Equal(tc.use.Last) || line.GetPrincipals() != 7 {
				t.Errorf("use %v", line)
			}
		})
	}
}

func TestWhatIsAsked(t *testing.T) {
	f := &fake{changes: []store.AdminChange{
		{Trail: store.TrailTrust, Number: 4, At: now.Add(-time.Hour), Actor: "carol", Reason: "why", Ticket: "T-1", Total: 3},
		{Trail: store.TrailPolicy, Number: 8, At: now.Add(-2 * time.Hour), Actor: "dave", Total: 1},
	}}
	resp := mustReview(t, f, &verdictv1.AccessReviewRequest{UnusedAfter: durationpb.New(7 * day)})
	if !f.usesFrom.Equal(now.Add(-400 * day)) {
		t.Errorf("use is looked back on from %s", f.usesFrom)
	}
	if !f.filter.From.Equal(now.Add(-7*day)) || !f.filter.To.IsZero() || f.limit != 1000 || f.factsCap != 0 {
		t.Errorf("changes: %+v, limit %d, facts %d", f.filter, f.limit, f.factsCap)
	}
	if n := len(resp.GetChanges()); n != 2 {
		t.Fatalf("%d changes", n)
	}
	want := &verdictv1.Change{Trail: verdictv1.Trail_TRAIL_TRUST, Number: 4, Actor: "carol", Reason: "why", Ticket: "T-1", Total: 3}
	got := proto.CloneOf(resp.GetChanges()[0])
	if !got.GetTime().AsTime().Equal(now.Add(-time.Hour)) {
		t.Errorf("time %s", got.GetTime().AsTime())
	}
	got.Time = nil
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Error(d)
	}
}

func TestWhatCannotBeReviewed(t *testing.T) {
	for name, tc := range map[string]struct {
		req  *verdictv1.AccessReviewRequest
		away error
		want codes.Code
	}{
		"a look further back than use is known":   {req: &verdictv1.AccessReviewRequest{UnusedAfter: durationpb.New(400*day + 1)}, want: codes.InvalidArgument},
		"no look back":                            {req: &verdictv1.AccessReviewRequest{UnusedAfter: durationpb.New(0)}, want: codes.InvalidArgument},
		"an end before now":                       {req: &verdictv1.AccessReviewRequest{ExpiringWithin: durationpb.New(-1)}, want: codes.InvalidArgument},
		"a duration that is none":                 {req: &verdictv1.AccessReviewRequest{UnusedAfter: &durationpb.Duration{Seconds: 1, Nanos: -1}}, want: codes.InvalidArgument},
		"an api that is not there":                {req: &verdictv1.AccessReviewRequest{Api: "odrers"}, want: codes.NotFound},
		"a store that is away":                    {away: store.ErrUnavailable, want: codes.Unavailable},
		"a store that is away beats a wrong name": {req: &verdictv1.AccessReviewRequest{Api: "odrers"}, away: store.ErrUnavailable, want: codes.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newReviewer(t, &fake{away: tc.away}).Review(t.Context(), tc.req)
			if got := grpcstatus.Code(status.FromError(err)); got != tc.want {
				t.Errorf("%s (%v), want %s", got, err, tc.want)
			}
		})
	}
}

func TestBothDurationsAreToldAtOnce(t *testing.T) {
	_, err := newReviewer(t, &fake{}).Review(t.Context(), &verdictv1.AccessReviewRequest{UnusedAfter: durationpb.New(-1), ExpiringWithin: durationpb.New(-1)})
	var invalid *status.InvalidError
	if !errors.As(err, &invalid) || len(invalid.Violations) != 2 {
		t.Errorf("%v", err)
	}
}

func TestTooMuchForOneAnswerIsRefused(t *testing.T) {
	f := &fake{facts: store.Facts{APIs: []store.API{{ID: "orders"}}}}
	for i := range 5000 {
		f.facts.APIs[0].Permissions = append(f.facts.APIs[0].Permissions, store.Permission{Name: fmt.Sprintf("p.n%d", i)})
	}
	for i := range 1000 {
		f.facts.Grants = append(f.facts.Grants, grant(fmt.Sprint("g-", i), "orders", group, "p.*"))
	}
	_, err := newReviewer(t, f).Review(t.Context(), nil)
	if !errors.Is(err, status.ErrPrecondition) || !strings.Contains(err.Error(), "one api at a time") {
		t.Errorf("%v", err)
	}
}

func TestReviewsWaitForOneAnother(t *testing.T) {
	f := &fake{loading: make(chan struct{})}
	r := newReviewer(t, f)
	first := make(chan error, 1)
	go func() {
		_, err := r.Review(context.WithoutCancel(t.Context()), nil)
		first <- err
	}()
	// The second is given up while it waits, whether it is in front or behind: none holds up the other for good.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Review(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	<-f.loading
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestCollaboratorsAreNeeded(t *testing.T) {
	f := &fake{}
	for name, make := range map[string]func() (*review.Reviewer, error){
		"facts":   func() (*review.Reviewer, error) { return review.New(nil, f, f, review.Config{}) },
		"use":     func() (*review.Reviewer, error) { return review.New(f, nil, f, review.Config{}) },
		"changes": func() (*review.Reviewer, error) { return review.New(f, f, nil, review.Config{}) },
	} {
		if _, err := make(); err == nil {
			t.Errorf("no error without %s", name)
		}
	}
}

// many is a policy of n grants, all with a wildcard and in use.
func many(n int) *fake {
	f := &fake{facts: store.Facts{Revision: 1}}
	for i := range 10 {
		a := store.API{ID: fmt.Sprint("api-", i)}
		for j := range 100 {
			a.Permissions = append(a.Permissions, store.Permission{Name: fmt.Sprintf("w%d.p%d", j%10, j)})
		}
		f.facts.APIs = append(f.facts.APIs, a)
	}
	for i := range n {
		g := grant(fmt.Sprint("g-", i), fmt.Sprint("api-", i%10), fmt.Sprintf("user:%s/%d", tenant, i), fmt.Sprintf("w%d.*", i%10))
		f.facts.Grants = append(f.facts.Grants, g)
		f.uses = append(f.uses, store.GrantUse{Grant: g.ID, First: now, Last: now, Principals: 1})
	}
	return f
}

func TestAHundredThousandGrantsAreReviewed(t *testing.T) {
	if got := len(mustReview(t, many(100_000), nil).GetGrants()); got != 100_000 {
		t.Errorf("%d grants", got)
	}
}

// The metric is the same at either size: the time that a review takes is in proportion to the grants.
func BenchmarkReview(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			f := many(n)
			for b.Loop() {
				mustReview(b, f, nil)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/grant")
		})
	}
}
