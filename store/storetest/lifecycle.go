package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// calls are all methods that can fail, with arguments that would succeed.
var calls = map[string]func(context.Context, store.Store) error{
	"Head":         func(ctx context.Context, s store.Store) error { _, err := s.Head(ctx); return err },
	"Load":         func(ctx context.Context, s store.Store) error { _, err := s.Load(ctx); return err },
	"ChangesSince": func(ctx context.Context, s store.Store) error { _, err := s.ChangesSince(ctx, 0); return err },
	"GetAPI":       func(ctx context.Context, s store.Store) error { _, _, err := s.GetAPI(ctx, "a"); return err },
	"GetRoute":     func(ctx context.Context, s store.Store) error { _, _, err := s.GetRoute(ctx, "a", "r"); return err },
	"GetGrant":     func(ctx context.Context, s store.Store) error { _, _, err := s.GetGrant(ctx, "g"); return err },
	"ListAPIs":     func(ctx context.Context, s store.Store) error { _, err := s.ListAPIs(ctx, "", 1); return err },
	"ListRoutes": func(ctx context.Context, s store.Store) error {
		_, err := s.ListRoutes(ctx, "", store.RouteKey{}, 1)
		return err
	},
	"ListGrants": func(ctx context.Context, s store.Store) error {
		_, err := s.ListGrants(ctx, store.GrantFilter{}, "", 1)
		return err
	},
	"Revisions": func(ctx context.Context, s store.Store) error { _, err := s.Revisions(ctx, 0, 1); return err },
	"Commit": func(ctx context.Context, s store.Store) error {
		_, err := s.Commit(ctx, puts(plainAPI("new")))
		return err
	},
	"AppendDecisions": func(ctx context.Context, s store.Store) error {
		return s.AppendDecisions(ctx, []store.Decision{decision(1)})
	},
	"ListDecisions": func(ctx context.Context, s store.Store) error {
		_, err := s.ListDecisions(ctx, store.DecisionFilter{}, store.DecisionCursor{}, 1)
		return err
	},
	"ListRevocations": func(ctx context.Context, s store.Store) error {
		_, err := s.ListRevocations(ctx, store.RevocationFilter{}, "", 1)
		return err
	},
	"RevocationsSince": func(ctx context.Context, s store.Store) error { _, err := s.RevocationsSince(ctx, 0); return err },
	"CreateRevocation": func(ctx context.Context, s store.Store) error {
		_, err := s.CreateRevocation(ctx, revocation(1))
		return err
	},
	"DeleteRevocation": func(ctx context.Context, s store.Store) error {
		_, err := s.DeleteRevocation(ctx, revocation(1).ID, store.Note{})
		return err
	},
	"TrustVersion": func(ctx context.Context, s store.Store) error { _, err := s.TrustVersion(ctx); return err },
	"Tenants":      func(ctx context.Context, s store.Store) error { _, err := s.Tenants(ctx); return err },
	"DeniedKeys":   func(ctx context.Context, s store.Store) error { _, err := s.DeniedKeys(ctx); return err },
	"Purges":       func(ctx context.Context, s store.Store) error { _, err := s.Purges(ctx); return err },
	"AddTenant": func(ctx context.Context, s store.Store) error {
		_, err := s.AddTenant(ctx, trusted(1), store.Note{})
		return err
	},
	"RemoveTenant": func(ctx context.Context, s store.Store) error {
		return s.RemoveTenant(ctx, trusted(1).Provider, trusted(1).ID, store.Note{})
	},
	"DenyKey": func(ctx context.Context, s store.Store) error {
		_, err := s.DenyKey(ctx, "kid", store.Note{})
		return err
	},
	"AllowKey": func(ctx context.Context, s store.Store) error { return s.AllowKey(ctx, "kid", store.Note{}) },
	"OrderPurge": func(ctx context.Context, s store.Store) error {
		_, err := s.OrderPurge(ctx, "", store.Note{})
		return err
	},
	"GetDecision": func(ctx context.Context, s store.Store) error {
		_, err := s.GetDecision(ctx, decision(0).ID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	},
	"TailFrom": func(ctx context.Context, s store.Store) error { _, err := s.TailFrom(ctx, time.Time{}); return err },
	"DecisionsAfter": func(ctx context.Context, s store.Store) error {
		_, err := s.DecisionsAfter(ctx, store.TailCursor{}, store.DecisionFilter{}, 1)
		return err
	},
	"Summarize": func(ctx context.Context, s store.Store) error {
		_, _, err := s.Summarize(ctx, store.DecisionFilter{}, store.ByReason, time.Hour, 1)
		return err
	},
	"GrantUse": func(ctx context.Context, s store.Store) error { _, err := s.GrantUse(ctx, instant); return err },
	"ListChanges": func(ctx context.Context, s store.Store) error {
		_, err := s.ListChanges(ctx, store.ChangeFilter{}, store.ChangeCursor{}, 1, 1)
		return err
	},
	"RecordsInWindow": func(ctx context.Context, s store.Store) error {
		_, err := s.RecordsInWindow(ctx, instant, instant, store.DecisionCursor{}, 1)
		return err
	},
	"Sequences": func(ctx context.Context, s store.Store) error {
		_, err := s.Sequences(ctx, instant, instant)
		return err
	},
	"CountInWindow": func(ctx context.Context, s store.Store) error {
		_, _, err := s.CountInWindow(ctx, instant, instant)
		return err
	},
	"DecisionDays": func(ctx context.Context, s store.Store) error { _, err := s.DecisionDays(ctx); return err },
	"ChangesInWindow": func(ctx context.Context, s store.Store) error {
		for _, err := range s.ChangesInWindow(ctx, time.Time{}, time.Time{}) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"AppendDigest": func(ctx context.Context, s store.Store) error { return s.AppendDigest(ctx, digest(1)) },
	"Digests": func(ctx context.Context, s store.Store) error {
		_, err := s.Digests(ctx, time.Time{}, time.Time{}, 0, 1)
		return err
	},
	"EnsurePartitions": func(ctx context.Context, s store.Store) error {
		_, err := s.EnsurePartitions(ctx, instant, 0)
		return err
	},
	"Partitions":     func(ctx context.Context, s store.Store) error { _, err := s.Partitions(ctx); return err },
	"ForgetGrantUse": func(ctx context.Context, s store.Store) error { return s.ForgetGrantUse(ctx, instant) },
	"AcquireLease": func(ctx context.Context, s store.Store) error {
		_, err := s.AcquireLease(ctx, "l", "h", time.Minute)
		return err
	},
	"ReleaseLease": func(ctx context.Context, s store.Store) error { return s.ReleaseLease(ctx, "l", "h") },
	"Cursor":       func(ctx context.Context, s store.Store) error { _, err := s.Cursor(ctx, "c"); return err },
	"SetCursor":    func(ctx context.Context, s store.Store) error { return s.SetCursor(ctx, "c", "1", "") },
	"CheckSchema":  func(ctx context.Context, s store.Store) error { return s.CheckSchema(ctx) },
	"Ping":         func(ctx context.Context, s store.Store) error { return s.Ping(ctx) },
}

var lifecycle = map[string]func(*testing.T, store.Store){
	"a migrated store answers and has the schema it needs": func(t *testing.T, s store.Store) {
		must(t, s.Ping(t.Context()))
		must(t, s.CheckSchema(t.Context()))
	},

	"after Close every call is ErrUnavailable, and closing again does nothing": func(t *testing.T, s store.Store) {
		begin(t, s)
		s.Notify(t.Context())
		s.Close()
		for name, call := range calls {
			t.Run(name, func(t *testing.T) { wantError(t, call(t.Context(), s), store.ErrUnavailable) })
		}
		s.Notify(t.Context())
		s.Close()
	},

	"a cancelled call is context.Canceled and changes nothing": func(t *testing.T, s store.Store) {
		begin(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, call := range calls {
			t.Run(name, func(t *testing.T) { wantError(t, call(ctx, s), context.Canceled) })
		}
		equal(t, "head", head(t, s), uint64(1))
		equal(t, "decisions", len(listAll(t, s, store.DecisionFilter{}, 10)), 0)
	},

	"a call past its deadline is context.DeadlineExceeded and ErrUnavailable": func(t *testing.T, s store.Store) {
		begin(t, s)
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		for name, call := range calls {
			t.Run(name, func(t *testing.T) {
				err := call(ctx, s)
				wantError(t, err, context.DeadlineExceeded)
				wantError(t, err, store.ErrUnavailable)
			})
		}
		equal(t, "head", head(t, s), uint64(1))
	},

	"a commit cancelled at any moment is whole or absent, and the store goes on": func(t *testing.T, s store.Store) {
		begin(t, s)
		c := puts(plainAPI("many"))
		for _, id := range ids(1500) {
			c.PutGrants = append(c.PutGrants, store.Put[store.Grant]{Fact: plainGrant("many", id)})
		}
		whole := 0
		for after := time.Duration(0); after < 200*time.Millisecond; after = after*2 + time.Millisecond {
			before := head(t, s)
			ctx, cancel := context.WithTimeout(t.Context(), after)
			_, err := s.Commit(ctx, c)
			cancel()
			f := load(t, s)
			switch {
			case f.Revision == before && err == nil:
				t.Fatal("committed, and there is no revision")
			case f.Revision > before+1:
				t.Fatalf("one commit made %d revisions", f.Revision-before)
			case f.Revision == before+1:
				whole++
			}
			if n := len(f.Grants); n != 1 && n != 1501 {
				t.Fatalf("%d grants", n)
			}
			equal(t, "revisions", len(history(t, s)), int(f.Revision))
		}
		t.Logf("%d were whole", whole)
		commit(t, s, c)
	},
}
