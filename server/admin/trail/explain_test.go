package trail_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin/trail"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// desk is a policy: readers may read, as far as the scope carries it.
func desk() store.Change {
	return store.Change{
		PutAPIs: puts(store.API{ID: "orders", Audiences: []string{"aud"}, Hosts: []string{"orders.example"},
			Permissions: []store.Permission{{Name: "orders.read"}, {Name: "orders.write"}},
			Scopes:      []store.ScopeRule{{Scope: "Orders.Read", Permissions: []string{"orders.read"}}}}),
		PutRoutes: puts(route("list", "orders.read"), route("save", "orders.write")),
		PutGrants: puts(grant("g-1", readers, "orders.read")),
	}
}

func route(id string, permissions ...string) store.Route {
	return store.Route{API: "orders", ID: id, Methods: []string{"GET"}, Template: "/" + id, Requirement: store.AllOf, Permissions: permissions}
}

func grant(id, subject string, permissions ...string) store.Grant {
	return store.Grant{ID: id, API: "orders", Subject: subject, Permissions: permissions, Effect: store.Allow}
}

// read is the record of Alice reading, as a reader, on revision 1.
func read() store.Decision {
	return store.Decision{
		ID: decisionID(1), At: t0, Allowed: true, Reason: int16(policy.AllowedByGrant), Revision: 1,
		PrincipalKind: int16(policy.PrincipalUser), TenantID: tenant, PrincipalID: alice, ClientID: client,
		API: "orders", Route: "list", Template: "/list", Method: "GET", Host: "orders.example", Door: "ext_authz",
		Permissions: []string{"orders.read"}, Grants: []string{"g-1"}, GrantSubjects: []string{readers}, Subjects: []string{readers}, Scopes: []string{"Orders.Read"},
	}
}

func denied(reason policy.Reason) store.Decision {
	d := read()
	d.Allowed, d.Reason, d.Grants, d.GrantSubjects = false, int16(reason), nil, nil
	return d
}

// unproven is a record of nobody.
func unproven(reason policy.Reason, detail string) store.Decision {
	d := denied(reason)
	d.Detail, d.PrincipalKind, d.TenantID, d.PrincipalID, d.ClientID, d.Subjects, d.Scopes = detail, 0, "", "", "", nil, nil
	return d
}

func explain(t *testing.T, s store.Store, c served, d store.Decision) *verdictv1.ExplainDecisionResponse {
	t.Helper()
	appended(t, s, d)
	resp, err := c.ExplainDecision(t.Context(), &verdictv1.ExplainDecisionRequest{Id: d.ID})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetDecision().GetId() != d.ID {
		t.Errorf("the record of %s", resp.GetDecision().GetId())
	}
	return resp
}

func wantLines(t *testing.T, what string, got []string, want string) {
	t.Helper()
	if text := strings.Join(got, "\n"); text != strings.TrimSpace(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, text, strings.TrimSpace(want))
	}
}

// unseen is the step that says what today's answer cannot know.
const unseen = "Of the caller's groups and roles the record names no others: a grant given since to another of the caller's groups is not seen in today's answer."

func TestTheStepsOfADecision(t *testing.T) {
	canonical := "The request, GET on host orders.example, was canonical.\nIt was decided on revision 1 of the policy.\nIt was for api orders.\n"
	proven := canonical + "Its route was list, /list.\nThe token proved user " + alice + " of tenant " + tenant + ", through client " + client + ".\n"
	evaluated := proven + "No revocation named it.\nOf what the caller is and is in, this had grants in the api: " + readers + ".\n" + unseen + "\nThe route needed orders.read.\n"
	with := func(d store.Decision, change func(*store.Decision)) store.Decision { change(&d); return d }
	end := func(reason string) string { return "So it was denied: " + reason + ", on 2026-11-21T07:00:00Z." }
	for name, tc := range map[string]struct {
		d     store.Decision
		today bool
		want  string
	}{
		"allowed by a grant": {read(), true, evaluated + "Grant g-1 to " + readers + " allowed it; it still is there.\n" +
			"The token's scopes that the api knows, Orders.Read, carry it.\nSo it was allowed: ALLOWED_BY_GRANT, on 2026-11-21T07:00:00Z."},
		"allowed, with repeats, by a grant that is gone": {with(read(), func(d *store.Decision) { d.Grants, d.Repeats, d.Scopes = []string{"g-9"}, 3, nil }), true,
			evaluated + "Grant g-9 to " + readers + " allowed it; it was deleted since.\nSo it was allowed: ALLOWED_BY_GRANT, on 2026-11-21T07:00:00Z.\n" +
				"3 further decisions like it, in the second that followed, were counted with it."},
		"denied by a grant": {with(denied(policy.DeniedByGrant), func(d *store.Decision) { d.Grants = []string{"g-1"} }), true,
			evaluated + "Grant g-1 to " + readers + " forbade it; it still is there.\n" + end("DENIED_BY_GRANT")},
		"no grant": {with(denied(policy.NoGrant), func(d *store.Decision) { d.Missing = []string{"orders.read"} }), true,
			evaluated + "No grant gave the caller orders.read.\n" + end("NO_GRANT")},
		"a scope that is not enough": {with(denied(policy.ScopeInsufficient), func(d *store.Decision) { d.Missing, d.Scopes = []string{"orders.read"}, nil }), true,
			evaluated + "The caller has a grant, but no scope of its token carries orders.read.\n" + end("SCOPE_INSUFFICIENT")},
		"a client that may not": {with(denied(policy.ActorNotPermitted), func(d *store.Decision) { d.Missing = []string{"orders.read"} }), true,
			evaluated + "The caller has a grant, but client " + client + " may not use orders.read for a user.\n" + end("ACTOR_NOT_PERMITTED")},
		"a condition": {denied(policy.ConditionNotMet), true,
			evaluated + "The caller has a grant, but the condition of the route did not hold.\n" + end("CONDITION_NOT_MET")},
		"a user by a pseudonym": {with(denied(policy.NoGrant), func(d *store.Decision) { d.PrincipalID, d.Subjects = "p.abcdefghijklmnopqrstuvwxyz", nil }), true,
			strings.ReplaceAll(proven, alice, "p.abcdefghijklmnopqrstuvwxyz") + "No revocation named it.\nThe record names no subject of the caller that had grants in the api.\n" + unseen +
				"\nThe record names the user by a pseudonym: a grant to that user alone is not seen in today's answer either.\nThe route needed orders.read.\n" +
				"No grant gave the caller what was asked for.\n" + end("NO_GRANT")},
		"an application and a permission": {with(read(), func(d *store.Decision) {
			d.PrincipalKind, d.Route, d.Template, d.Method, d.Host, d.Resource, d.Scopes = int16(policy.PrincipalApp), "", "", "", "", "42", nil
		}), true, "The question was for permission orders.read on resource 42.\nIt was decided on revision 1 of the policy.\nIt was for api orders.\n" +
			"The token proved app " + alice + " of tenant " + tenant + ".\nNo revocation named it.\nOf what the caller is and is in, this had grants in the api: " + readers + ".\n" + unseen +
			"\nGrant g-1 to " + readers + " allowed it; it still is there.\nSo it was allowed: ALLOWED_BY_GRANT, on 2026-11-21T07:00:00Z."},
		"a public route": {with(unproven(policy.AllowedPublic, ""), func(d *store.Decision) { d.Allowed = true }), false,
			canonical + "Its route was list, /list.\nThe route is public: nobody needs to be known.\nSo it was allowed: ALLOWED_PUBLIC, on 2026-11-21T07:00:00Z."},
		"a token that is over": {unproven(policy.TokenExpired, "exp"), false,
			canonical + "Its route was list, /list.\nNo caller was proven: TOKEN_EXPIRED (exp).\n" + end("TOKEN_EXPIRED (exp)")},
		"a token that was revoked": {denied(policy.TokenRevoked), false, proven + "It was revoked: TOKEN_REVOKED.\n" + end("TOKEN_REVOKED")},
		"a sign-in that does not do": {denied(policy.AuthenticationTooOld), false,
			proven + "No revocation named it.\nThe sign-in behind it does not do for the route: AUTHENTICATION_TOO_OLD.\n" + end("AUTHENTICATION_TOO_OLD")},
		"groups that are not known": {denied(policy.GroupsUnresolved), false, proven + "No revocation named it.\n" +
			"The caller's groups could not be found out, and a missing one may be what a deny names: GROUPS_UNRESOLVED.\n" + end("GROUPS_UNRESOLVED")},
		"no route": {with(unproven(policy.RouteUnknown, ""), func(d *store.Decision) { d.Route, d.Permissions, d.RawPath = "", nil, "/nowhere" }), false,
			"The request, GET on host orders.example, was canonical. Its path was /nowhere.\nIt was decided on revision 1 of the policy.\nIt was for api orders.\n" +
				"No route of the api takes it: ROUTE_UNKNOWN.\n" + end("ROUTE_UNKNOWN")},
		"no api": {with(unproven(policy.APIUnknown, ""), func(d *store.Decision) { d.API, d.Route, d.Permissions = "", "", nil }), false,
			"The request, GET on host orders.example, was canonical.\nIt was decided on revision 1 of the policy.\nNo api has that host or id: API_UNKNOWN.\n" + end("API_UNKNOWN")},
		"a malformed request": {with(unproven(policy.RequestMalformed, "path: dot segment"), func(d *store.Decision) {
			d.API, d.Route, d.Permissions, d.Method, d.Host, d.Revision, d.RawPath = "", "", nil, "", "", 0, "/a/../b"
		}), false, "The request could be read in two ways, or in none, and was refused: REQUEST_MALFORMED (path: dot segment). Its path was /a/../b.\n" +
			end("REQUEST_MALFORMED (path: dot segment)")},
		"no policy": {with(unproven(policy.PolicyUnavailable, ""), func(d *store.Decision) { d.API, d.Route, d.Permissions, d.Revision = "", "", nil, 0 }), false,
			"The request, GET on host orders.example, was canonical.\nThere was no policy to decide on: POLICY_UNAVAILABLE.\n" + end("POLICY_UNAVAILABLE")},
		"no time": {with(unproven(policy.DeadlineTooShort, ""), func(d *store.Decision) { d.API, d.Route, d.Permissions = "", "", nil }), false,
			"The caller left too little time to decide: DEADLINE_TOO_SHORT.\n" + end("DEADLINE_TOO_SHORT")},
	} {
		t.Run(name, func(t *testing.T) {
			s := openSQLite(t)
			commit(t, s, desk())
			resp := explain(t, s, ask(t, s), tc.d)
			wantLines(t, "steps", resp.GetSteps(), tc.want)
			if (resp.GetToday() != nil) != tc.today {
				t.Errorf("today %v", resp.GetToday())
			}
			if !tc.today && len(resp.GetDifferences()) > 0 {
				t.Errorf("differences %q without an answer", resp.GetDifferences())
			}
		})
	}
}

func TestExplainingDoesNotTellWhoStandsBehindAPseudonym(t *testing.T) {
	s := openSQLite(t)
	base := desk()
	base.PutGrants = append(base.PutGrants, puts(grant("g-2", "user:"+tenant+"/"+alice, "orders.read"))...)
	commit(t, s, base)
	d := read()
	d.PrincipalID = "p.abcdefghijklmnopqrstuvwxyz"
	d.Subjects = []string{readers, "user:" + tenant + "/" + d.PrincipalID}
	d.Grants, d.GrantSubjects = []string{"g-1", "g-2"}, d.Subjects
	resp := explain(t, s, ask(t, s), d)
	if strings.Contains(resp.String(), alice) {
		t.Errorf("the object id of the user is in %s", resp)
	}
	steps := strings.Join(resp.GetSteps(), "\n")
	for _, want := range []string{"Grant g-1 to " + readers + " allowed it", "Grant g-2 to a single user allowed it; it still is there."} {
		if !strings.Contains(steps, want) {
			t.Errorf("%q is not in\n%s", want, steps)
		}
	}
}

// Every reason has an explanation that names it, whatever else the record holds.
func TestEveryReasonIsExplained(t *testing.T) {
	s := openSQLite(t)
	commit(t, s, desk())
	c := ask(t, s)
	n := 100
	for _, reason := range policy.Reasons() {
		for name, d := range map[string]store.Decision{
			"proven": denied(reason), "unproven": unproven(reason, "x"), "bare": {At: t0, Reason: int16(reason)},
		} {
			n++
			d.ID, d.Allowed = decisionID(n), strings.HasPrefix(reason.String(), "ALLOWED")
			resp := explain(t, s, c, d)
			if steps := resp.GetSteps(); len(steps) < 1 || !strings.Contains(steps[len(steps)-1], reason.String()) {
				t.Errorf("%s, %s: %q", reason, name, steps)
			}
			if name != "proven" && resp.GetToday() != nil {
				t.Errorf("%s, %s: today %v", reason, name, resp.GetToday())
			}
		}
	}
}

func TestWhatTodaysPolicySays(t *testing.T) {
	ended, begins := grant("g-1", readers, "orders.read"), grant("g-2", readers, "orders.read")
	ended.ExpiresAt = t0.Add(time.Hour)
	begins.NotBefore = t0.Add(time.Hour)
	conditional := grant("g-1", readers, "orders.read")
	conditional.Condition = `request.path == "/list"`
	forbids := grant("g-2", readers, "orders.*")
	forbids.Effect = store.Deny
	perhaps := forbids
	perhaps.Condition = conditional.Condition
	strict := route("list", "orders.read")
	strict.Condition = conditional.Condition
	grants := func(gs ...store.Grant) store.Change { return store.Change{PutGrants: puts(gs...)} }
	gone := func(ids ...string) (c store.Change) {
		for _, id := range ids {
			c.DeleteGrants = append(c.DeleteGrants, store.Delete[string]{Key: id})
		}
		return c
	}
	for name, tc := range map[string]struct {
		before, after store.Change // before is part of revision 1
		record        func(*store.Decision)
		want          string // effect, reason, grants, missing, conditional
		differences   string
	}{
		"nothing has changed": {want: "ALLOW ALLOWED_BY_GRANT [g-1] [] false"},
		"the grant was deleted": {after: gone("g-1"), want: "DENY NO_GRANT [] [orders.read] false",
			differences: "It was allowed with ALLOWED_BY_GRANT; today it would be denied with NO_GRANT.\nGrant g-1 was deleted."},
		"the grant was changed": {after: grants(grant("g-1", readers, "orders.*")), want: "ALLOW ALLOWED_BY_GRANT [g-1] [] false",
			differences: "Grant g-1 was changed since, in revision 2."},
		"the grant has ended": {before: grants(ended), want: "DENY NO_GRANT [] [orders.read] false",
			differences: "It was allowed with ALLOWED_BY_GRANT; today it would be denied with NO_GRANT.\nGrant g-1 ended on 2026-11-21T08:00:00Z."},
		"another grant was added": {after: grants(grant("g-2", readers, "orders.read")), want: "ALLOW ALLOWED_BY_GRANT [g-1 g-2] [] false",
			differences: "Grant g-2, made or changed in revision 2, decides today."},
		"another grant has begun": {before: grants(begins), want: "ALLOW ALLOWED_BY_GRANT [g-1 g-2] [] false",
			differences: "Grant g-2 decides today and did not then."},
		"a grant to the caller itself was added": {after: grants(grant("g-2", "user:"+tenant+"/"+alice, "orders.read"), grant("g-3", "tenant:"+tenant, "orders.read")),
			want:        "ALLOW ALLOWED_BY_GRANT [g-1 g-2 g-3] [] false",
			differences: "Grant g-2, made or changed in revision 2, decides today.\nGrant g-3, made or changed in revision 2, decides today."},
		"a deny was added": {after: grants(forbids), want: "DENY DENIED_BY_GRANT [g-2] [] false",
			differences: "It was allowed with ALLOWED_BY_GRANT; today it would be denied with DENIED_BY_GRANT.\n" +
				"Grant g-1 is as it was and does not decide today.\nGrant g-2, made or changed in revision 2, decides today."},
		"a deny with a condition was added": {after: grants(perhaps), want: "DENY DENIED_BY_GRANT [g-2] [] true",
			differences: "Grant g-2, made or changed in revision 2, may decide today: that depends on a condition."},
		"the grant had a condition then too": {before: grants(conditional), want: "DENY NO_GRANT [] [orders.read] true"},
		"the route had a condition then too": {before: store.Change{PutRoutes: puts(strict)}, want: "DENY CONDITION_NOT_MET [] [] true"},
		"there was a deny with a condition":  {before: grants(perhaps), want: "DENY DENIED_BY_GRANT [g-2] [] true"},
		"a condition matters, and so does all": {before: grants(conditional), record: func(d *store.Decision) { d.Scopes = nil }, want: "DENY NO_GRANT [] [orders.read] true",
			differences: "It was allowed with ALLOWED_BY_GRANT; today it would be denied with SCOPE_INSUFFICIENT if conditions hold in the caller's favour, and denied with NO_GRANT if not.\n" +
				"Grant g-1 is as it was and does not decide today."},
		"the route needs another permission": {after: store.Change{PutRoutes: puts(route("list", "orders.write"))}, want: "DENY NO_GRANT [] [orders.write] false",
			differences: "It was allowed with ALLOWED_BY_GRANT; today it would be denied with NO_GRANT.\nRoute list was changed since, in revision 2.\n" +
				"The route needed orders.read and needs orders.write today.\nGrant g-1 is as it was and does not decide today."},
		"the route is gone": {after: store.Change{DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "orders", ID: "list"}}}},
			want: "DENY ROUTE_UNKNOWN [] [] false", differences: "It was allowed with ALLOWED_BY_GRANT; today it would be denied with ROUTE_UNKNOWN.\n" +
				"Route list of api orders is gone.\nGrant g-1 is as it was and does not decide today."},
		"the api is gone": {after: store.Change{DeleteAPIs: []store.Delete[string]{{Key: "orders"}}, DeleteGrants: gone("g-1").DeleteGrants,
			DeleteRoutes: []store.Delete[store.RouteKey]{{Key: store.RouteKey{API: "orders", ID: "list"}}, {Key: store.RouteKey{API: "orders", ID: "save"}}}},
			want: "DENY API_UNKNOWN [] [] false", differences: "It was allowed with ALLOWED_BY_GRANT; today it would be denied with API_UNKNOWN.\n" +
				"Api orders is gone.\nGrant g-1 was deleted."},
		"what was missing is granted": {after: grants(grant("g-2", readers, "orders.write")), record: func(d *store.Decision) {
			*d = denied(policy.NoGrant)
			d.Route, d.Template, d.Permissions, d.Missing, d.PrincipalKind = "save", "/save", []string{"orders.write"}, []string{"orders.write"}, int16(policy.PrincipalApp)
		}, want: "ALLOW ALLOWED_BY_GRANT [g-2] [] false", differences: "It was denied with NO_GRANT; today it would be allowed with ALLOWED_BY_GRANT.\n" +
			"Grant g-2, made or changed in revision 2, decides today."},
		"a permission is asked for again": {record: func(d *store.Decision) { d.Route, d.Template, d.Method, d.Host = "", "", "", "" },
			want: "ALLOW ALLOWED_BY_GRANT [g-1] [] false"},
	} {
		t.Run(name, func(t *testing.T) {
			s := openSQLite(t)
			base := desk()
			for _, g := range tc.before.PutGrants {
				base.PutGrants = slices.DeleteFunc(base.PutGrants, func(o store.Put[store.Grant]) bool { return o.Fact.ID == g.Fact.ID })
			}
			for _, r := range tc.before.PutRoutes {
				base.PutRoutes = slices.DeleteFunc(base.PutRoutes, func(o store.Put[store.Route]) bool { return o.Fact.ID == r.Fact.ID })
			}
			base.PutGrants, base.PutRoutes = append(base.PutGrants, tc.before.PutGrants...), append(base.PutRoutes, tc.before.PutRoutes...)
			revision := commit(t, s, base).Number
			if !isNothing(tc.after) {
				revision = commit(t, s, tc.after).Number
			}
			d := read()
			if tc.record != nil {
				tc.record(&d)
			}
			resp := explain(t, s, ask(t, s), d)
			o := resp.GetToday()
			if got := outcome(o); got != tc.want || o.GetRevision() != revision {
				t.Errorf("today %s on revision %d, want %s on %d", got, o.GetRevision(), tc.want, revision)
			}
			wantLines(t, "differences", resp.GetDifferences(), tc.differences)
		})
	}
}

func isNothing(c store.Change) bool {
	return len(c.PutAPIs)+len(c.PutRoutes)+len(c.PutGrants)+len(c.DeleteAPIs)+len(c.DeleteRoutes)+len(c.DeleteGrants) == 0
}

func outcome(o *verdictv1.Outcome) string {
	conditional := " false"
	if o.GetConditional() {
		conditional = " true"
	}
	return strings.TrimPrefix(o.GetEffect().String(), "EFFECT_") + " " + strings.TrimPrefix(o.GetReason().String(), "REASON_") +
		" [" + strings.Join(o.GetGrants(), " ") + "] [" + strings.Join(o.GetMissingPermissions(), " ") + "]" + conditional
}

func TestWithoutAPolicyTodayIsNotKnown(t *testing.T) {
	s := openSQLite(t)
	commit(t, s, desk())
	resp := explain(t, s, serve(t, newService(t, s, noPolicy{}, nil, trail.Config{})), read())
	if resp.GetToday() != nil {
		t.Errorf("today %v", resp.GetToday())
	}
	wantLines(t, "differences", resp.GetDifferences(), "What today's policy would say is not known: this replica has none.")
}
