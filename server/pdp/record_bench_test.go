package pdp_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/revocation"
	"github.com/verdict-authz/verdict/store"
)

// known proves one caller, whatever the token.
type known struct{ token entra.Token }

func (v *known) Verify(context.Context, string, entra.Expect) (*entra.Token, entra.Refusal) {
	return &v.token, entra.Refusal{}
}

// discard keeps nothing.
type discard struct{}

func (discard) Record(store.Decision, policy.Keeping) error { return nil }

// quiet knows that nothing is revoked.
type quiet struct{}

func (quiet) Check(revocation.Facts) (*store.Revocation, bool) { return nil, true }
func (quiet) Stale(time.Time) bool                             { return false }

// BenchmarkDecideAndRecord decides for a user in 40 groups, of which four have grants; proving and keeping cost nothing here.
func BenchmarkDecideAndRecord(b *testing.B) {
	f := memberFacts()
	v := &known{entra.Token{TokenID: "uti-1", ExpiresAt: now.Add(time.Hour), Principal: policy.Principal{
		Kind: policy.PrincipalUser, TenantID: tid, ObjectID: alice, ClientID: "client", Scopes: []string{"openid", "All"},
	}}}
	for i := range 40 {
		v.token.Principal.Groups = append(v.token.Principal.Groups, fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012x", i))
		if i < 4 {
			f.Grants = append(f.Grants, policy.Grant{
				ID: fmt.Sprintf("g-%d", i), API: "orders", Subject: "group:" + tid + "/" + v.token.Principal.Groups[i],
				Permissions: []string{"orders.write"}, Effect: policy.Allow,
			})
		}
	}
	for name, line := range map[string]string{"allow": "POST /orders/1", "deny": "DELETE /orders/1", "public": "GET /healthz"} {
		b.Run(name, func(b *testing.B) {
			p := pdpOf(b, f, v, quiet{}, discard{})
			q := ask(line, good)
			q.SourceIP = netip.MustParseAddr("192.0.2.7")
			b.ReportAllocs()
			for b.Loop() {
				p.Decide(b.Context(), q)
			}
		})
	}
}
