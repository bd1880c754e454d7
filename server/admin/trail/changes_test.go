package trail_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/store"
)

func commit(t *testing.T, s store.PolicyWriter, c store.Change) store.Revision {
	t.Helper()
	rev, err := s.Commit(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func puts[F any](facts ...F) (l []store.Put[F]) {
	for _, f := range facts {
		l = append(l, store.Put[F]{Fact: f})
	}
	return l
}

// all is every change that matches, in pages of size.
func all(t *testing.T, c served, req *verdictv1.ListChangesRequest, size uint32) (changes []*verdictv1.Change, pages int) {
	t.Helper()
	req.PageSize, req.PageToken = size, ""
	for range 200 {
		resp, err := c.ListChanges(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		if uint32(len(resp.GetChanges())) > max(size, 1) && size > 0 {
			t.Fatalf("%d changes on a page of %d", len(resp.GetChanges()), size)
		}
		changes = append(changes, resp.GetChanges()...)
		if req.PageToken = resp.GetNextPageToken(); req.GetPageToken() == "" {
			return changes, pages
		}
	}
	t.Fatal("the pages do not end")
	return nil, 0
}

func TestListChanges(t *testing.T) {
	s := openSQLite(t)
	rev := commit(t, s, store.Change{Actor: "bob", Reason: "why", Ticket: "T-1", PutAPIs: puts(store.API{ID: "orders"}),
		PutRoutes: puts(store.Route{API: "orders", ID: "list", Requirement: store.Public}), PutGrants: puts(store.Grant{ID: "g-1", API: "orders", Effect: store.Allow})})
	r, err := s.CreateRevocation(t.Context(), store.Revocation{
		ID: decisionID(1), TenantID: tenant, Kind: store.RevokePrincipal, Value: alice, NotBefore: t0, ExpiresAt: t0.Add(time.Hour), Actor: "eve",
	})
	if err != nil {
		t.Fatal(err)
	}
	note := store.Note{Actor: "bob"}
	if _, err := s.AddTenant(t.Context(), store.TrustedTenant{Provider: "entra", ID: tenant}, note); err != nil {
		t.Fatal(err)
	}
	if _, err := s.DenyKey(t.Context(), "k", note); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OrderPurge(t.Context(), tenant, note); err != nil {
		t.Fatal(err)
	}
	if _, err := s.OrderPurge(t.Context(), "", note); err != nil {
		t.Fatal(err)
	}
	c := ask(t, s)
	got, _ := all(t, c, &verdictv1.ListChangesRequest{}, 0)
	var told []string
	for _, change := range got {
		for _, f := range change.GetFacts() {
			told = append(told, fmt.Sprintf("%s %d %s %v %v", strings.TrimPrefix(change.GetTrail().String(), "TRAIL_"), change.GetNumber(), f.GetFact(), f.GetBefore() != "", f.GetAfter() != ""))
		}
	}
	want := strings.Join([]string{
		"TRUST 4 purge false true", "TRUST 3 purge/" + tenant + " false true", "TRUST 2 key/k false true", "TRUST 1 tenant/entra/" + tenant + " false true",
		"REVOCATION 1 revocation/" + r.ID + " false true",
		"POLICY 1 api/orders false true", "POLICY 1 route/orders/list false true", "POLICY 1 grant/g-1 false true",
	}, "\n")
	if text := strings.Join(told, "\n"); text != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	first := got[len(got)-1]
	first.Facts = nil
	wantEqual(t, first, &verdictv1.Change{
		Trail: verdictv1.Trail_TRAIL_POLICY, Number: 1, Time: timestamppb.New(rev.At), Actor: "bob", Reason: "why", Ticket: "T-1", Total: 3,
	})
	for name, tc := range map[string]struct {
		req  *verdictv1.ListChangesRequest
		want int
	}{
		"of a trail":       {&verdictv1.ListChangesRequest{Trail: verdictv1.Trail_TRAIL_TRUST}, 4},
		"of an actor":      {&verdictv1.ListChangesRequest{Actor: "eve"}, 1},
		"from":             {&verdictv1.ListChangesRequest{From: timestamppb.New(rev.At)}, 6},
		"to":               {&verdictv1.ListChangesRequest{To: timestamppb.New(rev.At)}, 0},
		"all, page by one": {&verdictv1.ListChangesRequest{}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []uint32{1, 4, 1000} {
				if got, _ := all(t, c, tc.req, size); len(got) != tc.want {
					t.Errorf("%d changes in pages of %d, want %d", len(got), size, tc.want)
				}
			}
		})
	}
	page, err := c.ListChanges(t.Context(), &verdictv1.ListChangesRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		req  *verdictv1.ListChangesRequest
		want map[string]string
	}{
		"a token of other filters": {&verdictv1.ListChangesRequest{Actor: "bob", PageToken: page.GetNextPageToken()}, map[string]string{"page_token": "repeat the filters"}},
		"an empty time range": {&verdictv1.ListChangesRequest{From: timestamppb.New(t0), To: timestamppb.New(t0)},
			map[string]string{"to": "no record could match"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.ListChanges(t.Context(), tc.req)
			wantInvalid(t, err, tc.want)
		})
	}
}

func TestAPageOfLargeChangesEndsEarly(t *testing.T) {
	s := openSQLite(t)
	commit(t, s, store.Change{PutAPIs: puts(store.API{ID: "orders"})})
	const large = 1001
	for n := range 3 {
		var grants []store.Grant
		for i := range large {
			grants = append(grants, store.Grant{ID: fmt.Sprintf("g-%d", i), API: "orders", Effect: store.Allow, Reason: strings.Repeat("x", 1000), Ticket: fmt.Sprint(n)})
		}
		commit(t, s, store.Change{PutGrants: puts(grants...)})
	}
	changes, pages := all(t, ask(t, s), &verdictv1.ListChangesRequest{}, 1000)
	if len(changes) != 4 || pages < 3 {
		t.Fatalf("%d changes on %d pages", len(changes), pages)
	}
	for i, c := range changes {
		if c.GetNumber() != uint64(4-i) {
			t.Errorf("change %d is number %d", i, c.GetNumber())
		}
		if n := len(c.GetFacts()); i < 3 && (n != 1000 || c.GetTotal() != large) {
			t.Errorf("change %d has %d facts of %d", i, n, c.GetTotal())
		}
	}
}
