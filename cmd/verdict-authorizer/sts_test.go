package main

import (
	"slices"
	"strings"
	"testing"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/issuer"
)

// The function that API Gateway asks shows verdict a token that STS signs for its role. Its own role may ask and is named in
// the record; for another one nothing is decided, the gateway answers 500, and no record says otherwise.
func TestVerdictKnowsTheFunctionByItsRole(t *testing.T) {
	account := newAccount(t)
	v := startGuarded(t, account)
	env := []string{
		"VERDICT_TARGET=" + v.target, "VERDICT_CA_FILE=" + v.caFile, "VERDICT_API=orders",
		"AWS_ACCESS_KEY_ID=AKIDFUNCTION", "AWS_SECRET_ACCESS_KEY=CANARY-secret", "AWS_SESSION_TOKEN=CANARY-session", "AWS_ENDPOINT_URL_STS=" + account.sts.URL,
	}
	start := func(t *testing.T, more ...string) *function {
		return startFunction(t, bootstrap(t), slices.Concat(env, more)...)
	}
	alice, err := v.users.Mint(issuer.Request{Persona: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	read := &clientRequest{method: "GET", path: "/orders/42", authorization: "Bearer " + alice, sourceIP: "192.0.2.1"}

	own := start(t, "VERDICT_STS_AUDIENCE="+audience)
	gate, last := own.behind(t, gateway{shape: "rest_request"})
	for range 3 {
		if got := gate.do(read); got != 200 {
			t.Fatalf("its own role: %d %q\n%s", got, last.failed, own.output)
		}
	}
	if n := account.signed.Load(); n != 1 {
		t.Errorf("STS signed %d times for three questions, want once", n)
	}
	for _, r := range v.records(t, 3) {
		if r.GetPep() != functionRole || r.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
			t.Errorf("the record %s names %q as who asked", r.GetEffect(), r.GetPep())
		}
	}

	for name, tc := range map[string]struct {
		role string // that the function runs as; "": STS refuses
		more []string
		says []string // the function's log
	}{
		"another role":                {functionRole + "-2", []string{"VERDICT_STS_AUDIENCE=" + audience}, []string{`"code":"PermissionDenied"`, `"reason":"PEP_NOT_ALLOWED"`}},
		"a token for another service": {functionRole, []string{"VERDICT_STS_AUDIENCE=https://other.example.com"}, []string{`"code":"Unauthenticated"`, `"reason":"PEP_UNIDENTIFIED"`}},
		"a role that shows nothing":   {functionRole, nil, []string{`"code":"Unauthenticated"`, `"reason":"PEP_UNIDENTIFIED"`}},
		"a role that STS refuses":     {"", []string{"VERDICT_STS_AUDIENCE=" + audience}, []string{"no token of AWS STS", "sts:GetWebIdentityToken"}},
	} {
		t.Run(name, func(t *testing.T) {
			account.role.Store(tc.role)
			f := start(t, tc.more...)
			gate, last := f.behind(t, gateway{shape: "rest_request", keeps: true})
			if got := gate.do(read); got != 500 || last.kind != "Unreachable" || last.body != nil || len(gate.kept) > 0 {
				t.Errorf("%d %s %q %s", got, last.kind, last.failed, last.body)
			}
			for _, want := range tc.says {
				eventually(t, "the log says "+want, func() bool { return strings.Contains(f.output.String(), want) })
			}
			for _, secret := range []string{"CANARY", "eyJ"} {
				if strings.Contains(f.output.String()+last.failed, secret) {
					t.Errorf("%s was told", secret)
				}
			}
		})
	}
	// A record of a refused function would have been written before that of a later question.
	account.role.Store(functionRole)
	if got := gate.do(read); got != 200 {
		t.Errorf("its own role, at the end: %d %q", got, last.failed)
	}
	if all := v.records(t, 4); len(all) != 4 {
		t.Errorf("%d records, want the 4 of the function that may ask", len(all))
	}
	if text := v.log.String(); !strings.Contains(text, "--pep-sts-role") || strings.Contains(text, "eyJ") {
		t.Errorf("verdict's log does not say what to change, or has a token:\n%s", text)
	}
}
