package pdp_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

const (
	readers = "aaaaaaaa-0001-4000-8000-000000000001"
	idle    = "aaaaaaaa-0002-4000-8000-000000000002" // a group without grants
)

// member makes the caller a member of groups, with more scopes than the api knows.
type member struct {
	verifier
	groups []string
	kind   policy.PrincipalKind
}

func (v *member) Verify(ctx context.Context, token string, want entra.Expect) (*entra.Token, entra.Refusal) {
	caller, refusal := v.verifier.Verify(ctx, token, want)
	if caller != nil {
		caller.Principal.Groups = v.groups
		caller.Principal.Scopes = []string{"openid", "Read", "All", "Read"}
		if v.kind != policy.PrincipalUnknown {
			caller.Principal.Kind = v.kind
		}
	}
	return caller, refusal
}

// memberFacts gives what facts gives, and more by way of a group and the tenant.
func memberFacts() policy.Facts {
	f := facts(5)
	f.APIs[0].Scopes = append(f.APIs[0].Scopes, policy.ScopeRule{Scope: "Read", Permissions: []string{"orders.read"}})
	f.Grants = append(f.Grants,
		policy.Grant{ID: "g-group", API: "orders", Subject: "group:" + tid + "/" + readers, Permissions: []string{"orders.read"}, Effect: policy.Allow},
		policy.Grant{ID: "g-never", API: "orders", Subject: "tenant:" + tid, Permissions: []string{"orders.delete"}, Effect: policy.Deny},
		policy.Grant{ID: "g-app", API: "orders", Subject: "app:" + tid + "/" + alice, Permissions: []string{"orders.read"}, Effect: policy.Allow},
	)
	return f
}

func compileFacts(t testing.TB, f policy.Facts) *policy.Snapshot {
	t.Helper()
	snap, err := policy.Compile(f, func(string) (policy.Condition, error) { return nil, errors.New("none here") })
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func pdpOf(t testing.TB, f policy.Facts, v pdp.Verifier, rev pdp.Revocations, r pdp.Recorder) *pdp.PDP {
	t.Helper()
	p, err := pdp.New(&source{snap: compileFacts(t, f)}, v, rev, r, slog.New(slog.DiscardHandler), pdp.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func permissionOf(name string) *pdp.Question {
	return &pdp.Question{API: "orders", Permission: name, Token: "good"}
}

func TestTheRecordTellsWhatADecisionWasMadeOn(t *testing.T) {
	user, group, everyone := "user:"+tid+"/"+alice, "group:"+tid+"/"+readers, "tenant:"+tid
	subjects, scopes := []string{group, everyone, user}, []string{"All", "Read"}
	type told struct{ subjects, scopes, missing, grantSubjects []string }
	for name, tc := range map[string]struct {
		ask     *pdp.Question
		kind    policy.PrincipalKind
		revoked bool
		want    told
	}{
		"an allow by two grants names both subjects":       {ask: ask("GET /orders/1", good), want: told{subjects, scopes, nil, []string{group, user}}},
		"an allow by one names one":                        {ask: ask("POST /orders/1", good), want: told{subjects, scopes, nil, []string{user}}},
		"a deny by a grant names whom it concerns":         {ask: ask("DELETE /orders/1", good), want: told{subjects, scopes, nil, []string{everyone}}},
		"two verbs, each subject once":                     {ask: ask("POST /orders/1", good, "x-http-method-override: GET"), want: told{subjects, scopes, nil, []string{group, user}}},
		"a permission question":                            {ask: permissionOf("orders.read"), want: told{subjects, scopes, nil, []string{group, user}}},
		"a permission that is denied":                      {ask: permissionOf("orders.delete"), want: told{subjects, scopes, nil, []string{everyone}}},
		"what is missing, and no grant":                    {ask: permissionOf("orders.audit"), want: told{subjects, scopes, []string{"orders.audit"}, nil}},
		"an app has no delegated scopes":                   {ask: ask("GET /orders/1", good), kind: policy.PrincipalApp, want: told{[]string{"app:" + tid + "/" + alice, group, everyone}, nil, nil, []string{"app:" + tid + "/" + alice, group}}},
		"a revoked token did not come to the grants":       {ask: ask("GET /orders/1", good), revoked: true, want: told{scopes: scopes}},
		"a refused token tells nothing":                    {ask: ask("GET /orders/1", "authorization: Bearer bad")},
		"a public route does not look at who is asking":    {ask: ask("GET /healthz", good)},
		"an unknown host tells nothing":                    {ask: with(ask("GET /orders/1", good), func(q *pdp.Question) { q.HTTP.Host = "other.example.com" })},
		"a panic tells nothing, whatever was known before": {ask: ask("GET /orders/1", "authorization: Bearer panic")},
	} {
		t.Run(name, func(t *testing.T) {
			f := memberFacts()
			f.APIs[0].Permissions = append(f.APIs[0].Permissions, "orders.audit")
			r, rev := &recorder{}, &revocations{}
			if tc.revoked {
				rev.hit = &store.Revocation{ID: "r", Kind: store.RevokePrincipal, NotBefore: now}
			}
			p := pdpOf(t, f, &member{groups: []string{idle, readers}, kind: tc.kind}, rev, r)
			p.Decide(t.Context(), tc.ask)
			if len(r.kept) != 1 {
				t.Fatalf("%d records", len(r.kept))
			}
			d := r.kept[0]
			for what, lists := range map[string][2][]string{
				"subjects": {d.Subjects, tc.want.subjects}, "scopes": {d.Scopes, tc.want.scopes},
				"missing": {d.Missing, tc.want.missing}, "subjects of grants": {d.GrantSubjects, tc.want.grantSubjects},
			} {
				if !slices.Equal(lists[0], lists[1]) {
					t.Errorf("%s %q, want %q", what, lists[0], lists[1])
				}
			}
		})
	}
}

func TestAListOfPermissionsIsRecordedWithWhatItWasMadeOn(t *testing.T) {
	f, r := memberFacts(), &recorder{}
	f.APIs[0].Keeping = policy.Keeping{Durability: policy.DurabilityStrict}
	q := &pdp.Question{API: "orders", Token: "good", SourceIP: netip.MustParseAddr("192.0.2.7")}
	if _, _, a := pdpOf(t, f, &member{groups: []string{readers}}, &revocations{}, r).Permissions(t.Context(), q); !a.Allowed() {
		t.Fatal(a.Reason)
	}
	d := r.kept[0]
	want := []string{"group:" + tid + "/" + readers, "tenant:" + tid, "user:" + tid + "/" + alice}
	if !slices.Equal(d.Subjects, want) || !slices.Equal(d.Scopes, []string{"All", "Read"}) || len(d.GrantSubjects) > 0 || d.SourceIP != "192.0.2.7" {
		t.Errorf("record %+v", d)
	}
	if r.wanted[0] != f.APIs[0].Keeping {
		t.Errorf("kept as %+v", r.wanted[0])
	}
}

func TestARecordTellsNothingOfTheDecisionBefore(t *testing.T) {
	r := &recorder{}
	p := pdpOf(t, memberFacts(), &member{groups: []string{readers}}, &revocations{}, r)
	for range 20 { // enough for the same memory to be used again
		p.Decide(t.Context(), ask("GET /orders/1", good))
		p.Decide(t.Context(), ask("GET /orders/1"))
		p.Decide(t.Context(), ask("GET /nowhere", good))
	}
	for i, d := range r.kept {
		if told := len(d.Subjects) + len(d.GrantSubjects) + len(d.Scopes); (told > 0) != (i%3 == 0) {
			t.Fatalf("record %d: %+v", i, d)
		}
	}
}

func TestTheRecordNamesTheFirst256Subjects(t *testing.T) {
	f, v, r := facts(5), &member{}, &recorder{}
	for i := range 300 {
		group := fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012x", i)
		v.groups = append(v.groups, group)
		f.Grants = append(f.Grants, policy.Grant{
			ID: fmt.Sprintf("g-%03d", i), API: "orders", Subject: "group:" + tid + "/" + group, Permissions: []string{"orders.read"}, Effect: policy.Allow,
		})
	}
	pdpOf(t, f, v, &revocations{}, r).Decide(t.Context(), ask("GET /orders/1", good))
	got := r.kept[0].Subjects
	if len(got) != 256 || !slices.IsSorted(got) || got[255] != "group:"+tid+"/"+v.groups[255] {
		t.Errorf("%d subjects, the last %q", len(got), got[len(got)-1])
	}
	if got := r.kept[0].GrantSubjects; len(got) != 301 { // these decided, so none is left out
		t.Errorf("%d subjects of grants", len(got))
	}
}

func TestTheRecorderIsToldWhatTheAPIAsksFor(t *testing.T) {
	want := policy.Keeping{Durability: policy.DurabilitySyncDB, OnFailure: policy.OnAuditFailureCount}
	for name, tc := range map[string]struct {
		ask  *pdp.Question
		want policy.Keeping
	}{
		"an allow":                           {ask("GET /orders/1", good), want},
		"a public route":                     {ask("GET /healthz"), want},
		"no route":                           {ask("GET /nowhere"), want},
		"a refused token":                    {ask("GET /orders/1", "authorization: Bearer bad"), want},
		"a permission question":              {permissionOf("orders.read"), want},
		"an unknown permission":              {permissionOf("orders.fly"), want},
		"an api that asks for nothing":       {with(ask("GET /open"), func(q *pdp.Question) { q.API, q.SNI = "sealed", "orders.example.com" }), policy.Keeping{}},
		"no api: the server decides":         {with(ask("GET /healthz"), func(q *pdp.Question) { q.API = "other" }), policy.Keeping{}},
		"a malformed request is of no api":   {ask("GET //orders/1", good), policy.Keeping{}},
		"what fails inside is of the server": {ask("GET /orders/1", "authorization: Bearer panic"), policy.Keeping{}},
	} {
		t.Run(name, func(t *testing.T) {
			f, r := facts(5), &recorder{}
			f.APIs[0].Keeping = want
			pdpOf(t, f, &verifier{}, &revocations{}, r).Decide(t.Context(), tc.ask)
			if !slices.Equal(r.wanted, []policy.Keeping{tc.want}) {
				t.Errorf("kept as %+v, want %+v", r.wanted, tc.want)
			}
		})
	}
}

func TestTheAddressOfTheCallerIsWrittenInOneWay(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:0:0::7": "2001:db8::7", "fe80::1%eth0": "fe80::1", "": "",
	} {
		r := &recorder{}
		q := ask("GET /healthz")
		if text != "" {
			q.SourceIP = netip.MustParseAddr(text)
		}
		pdpOf(t, facts(5), &verifier{}, &revocations{}, r).Decide(t.Context(), q)
		if got := r.kept[0].SourceIP; got != want {
			t.Errorf("%q is kept as %q, want %q", text, got, want)
		}
	}
}

func TestARawPathIsKeptWithoutWhatMayHoldSecrets(t *testing.T) {
	for name, tc := range map[string]struct{ target, want string }{
		"a path as it is":               {"/no/where", "/no/where"},
		"no query":                      {"/no/where?code=secret", "/no/where"},
		"no fragment":                   {"/no/where#secret?x", "/no/where"},
		"no parameters of segments":     {"/no;jsessionid=secret/where;a=secret;b", "/no;/where;"},
		"no name and password":          {"http://alice:secret@orders.example.com/no", "http://orders.example.com/no"},
		"nor with two slashes":          {"//alice:secret@x@orders.example.com/no", "//orders.example.com/no"},
		"nor without a path":            {"http://alice:secret@orders.example.com", "http://orders.example.com"},
		"an @ in a path is no password": {"/teams//@alice/x@y", "/teams//@alice/x@y"},
		"nothing":                       {"?secret", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			pdpOf(t, facts(5), &verifier{}, &revocations{}, r).Decide(t.Context(), ask("GET "+tc.target))
			if got := r.kept[0].RawPath; got != tc.want {
				t.Errorf("kept as %q, want %q", got, tc.want)
			}
		})
	}
}
