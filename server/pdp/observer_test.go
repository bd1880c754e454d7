package pdp_test

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
)

// observer keeps what it is told.
type observer struct{ told []observation }

type observation struct {
	door   string
	effect policy.Effect
	reason policy.Reason
	took   time.Duration
}

func (o *observer) Observe(door string, effect policy.Effect, reason policy.Reason, took time.Duration) {
	o.told = append(o.told, observation{door, effect, reason, took})
}

// The observer hears of every answer as it was given: also of one that could not be recorded, of a panic, and of each
// answer of several.
func TestTheObserverHearsWhatWasAnswered(t *testing.T) {
	at := now
	o, r := &observer{}, &recorder{}
	p, err := pdp.New(&source{snap: compile(t, 5)}, &verifier{}, &revocations{}, r, slog.New(slog.DiscardHandler), pdp.Config{
		Now:      func() time.Time { at = at.Add(time.Millisecond); return at },
		Observer: o,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Decide(t.Context(), ask("GET /orders/1", good))
	p.Decide(t.Context(), ask("GET /nowhere", good))
	p.Decide(t.Context(), ask("GET /orders/1", "authorization: Bearer panic"))
	p.DecideAll(t.Context(), []pdp.Question{*ask("GET /healthz"), *ask("GET /orders/1")})
	p.Permissions(t.Context(), &pdp.Question{Door: "list", API: "orders", Token: "good"})
	r.err = errors.New("full")
	p.Decide(t.Context(), ask("GET /healthz"))

	want := []observation{
		{"test", policy.Allow, policy.AllowedByGrant, 0}, {"test", policy.Deny, policy.RouteUnknown, 0}, {"test", policy.Deny, policy.Internal, 0},
		{"test", policy.Allow, policy.AllowedPublic, 0}, {"test", policy.Deny, policy.TokenMissing, 0},
		{"list", policy.Allow, policy.AllowedAuthenticated, 0}, {"test", policy.Deny, policy.AuditUnavailable, 0},
	}
	if len(o.told) != len(want) {
		t.Fatalf("told %v", o.told)
	}
	for i, got := range o.told {
		if got.took <= 0 {
			t.Errorf("%d: took %s", i, got.took)
		}
		if got.took = 0; got != want[i] {
			t.Errorf("%d: told %v, want %v", i, got, want[i])
		}
	}
}
