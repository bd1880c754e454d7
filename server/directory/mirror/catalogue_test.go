package mirror_test

import (
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/mirror"
	"github.com/verdict-authz/verdict/server/policy"
)

// The cases of the test catalogue that this room decides.
var catalogue = map[string]func(t *testing.T, w *world){
	"234 groups nested five deep, with a circle": func(_ *testing.T, w *world) {
		w.graph.list("users", user(1), user(2))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))), group(2, "members@delta", members(groupID(1))),
			group(3, "members@delta", members(groupID(2))), group(4, "members@delta", members(groupID(3), groupID(7))),
			group(5, "members@delta", members(groupID(4))),
			group(6, "members@delta", members(userID(2), groupID(7))), group(7, "members@delta", members(groupID(6))))
		w.sync()
		w.has(userOf(1), 1, 2, 3, 4, 5)
		w.has(userOf(2), 4, 5, 6, 7)
	},

	"235 a delta link that Graph no longer knows brings a full look, without a gap": func(t *testing.T, w *world) {
		w.graph.pageSize = 1
		w.graph.list("users", user(1), user(2))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))), group(2, "members@delta", members(userID(2))))
		w.sync()
		w.graph.list("groups", group(2, "members@delta", members(userID(1), userID(2))), group(3, "members@delta", members(userID(1))))
		looked := 0
		w.graph.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
			switch {
			case !strings.HasPrefix(r.URL.Path, "/v1.0/groups/"):
				return false
			case strings.Contains(r.URL.RawQuery, "changes"):
				rw.Header().Set("Location", w.graph.base()+"/groups/delta?$select=members&$deltatoken=")
				return refuse(rw, http.StatusGone, "SyncStateNotFound")
			}
			looked++ // during the full look the old copy serves
			w.look()
			w.has(userOf(1), 1)
			return false
		})
		w.graph.requests()
		w.sync()
		if asked := w.graph.requests(); looked != 2 || !slices.Contains(asked, "/v1.0/groups/delta?$select=members&$deltatoken=") {
			t.Errorf("%d pages of a full look, by %v", looked, asked)
		}
		w.look()
		w.has(userOf(1), 2, 3)
		w.has(userOf(2), 2)
	},

	"236 a change that is replayed twice changes nothing more": func(t *testing.T, w *world) {
		w.graph.list("users", user(1), user(2))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))))
		w.sync()
		for range 3 {
			w.graph.happen("groups", group(1, "members@delta", members("-"+userID(1), userID(2))))
			w.graph.happen("users", user(2, "accountEnabled", true))
			w.sync()
			w.look()
			w.has(userOf(1))
			w.has(userOf(2), 1)
		}
		if events := w.told(); len(events) != 1 || events[0].ObjectID != userID(1) || events[0].Kind != mirror.GroupRemoved {
			t.Errorf("events: %+v", events)
		}
		if h, err := w.store.MirrorHead(t.Context(), guid(t, tenantA)); err != nil || h.Round != 4 || h.Changed != 2 {
			t.Errorf("head: %+v, %v", h, err)
		}
	},

	"237 a member that is removed and added again in one page is present": func(_ *testing.T, w *world) {
		w.graph.list("users", user(1), user(2), user(3))
		w.graph.list("groups", group(1, "members@delta", members(userID(1), userID(2), userID(3))))
		w.sync()
		w.graph.happen("groups",
			group(1, "members@delta", members("-"+userID(1), "-"+userID(2))), group(1, "members@delta", members(userID(1))),
			group(1, "members@delta", members("-"+userID(3), userID(3))))
		w.sync()
		w.look()
		w.has(userOf(1), 1)
		w.has(userOf(2))
		w.has(userOf(3), 1)
	},

	"238 what is deleted softly is gone, and comes back whole": func(t *testing.T, w *world) {
		w.graph.list("users", user(1), user(2))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))), group(2, "members@delta", members(groupID(1))),
			group(3, "members@delta", members(userID(2))))
		w.sync()
		w.graph.happen("groups", group(1, "@removed", removed("changed")))
		w.graph.happen("users", user(2, "@removed", removed("changed")))
		w.sync()
		w.look()
		w.has(userOf(1))
		w.hasNot(userOf(2), directory.ErrPrincipalDisabled)
		if events := w.told(); len(events) != 2 || events[0].Kind != mirror.Deleted || events[1].Kind != mirror.GroupRemoved {
			t.Errorf("events: %+v", events)
		}
		// Graph tells that they are back and nothing of memberships: those come by a full look, in the next round.
		w.graph.happen("groups", group(1))
		w.graph.happen("users", user(2))
		w.sync()
		w.graph.requests()
		w.sync()
		if asked := w.graph.requests(); !slices.Contains(asked, "/v1.0/groups/delta?$select=members") || len(asked) != 3 {
			t.Errorf("asked %v", asked)
		}
		w.look()
		w.has(userOf(1), 1, 2)
		w.has(userOf(2), 3)
	},

	"239 a copy older than 15 minutes with Graph down is unresolved": func(t *testing.T, w *world) {
		w.graph.list("users", user(1))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))))
		w.sync()
		r := w.resolver(t, directory.Config{Mode: directory.Mirror, Source: w.source, Fallback: down{}})
		w.pass(14 * time.Minute)
		m, err := r.Resolve(t.Context(), userOf(1), false)
		if err != nil || !slices.Equal(m.Groups, []string{groupID(1)}) || w.clock().Sub(m.At) < 14*time.Minute {
			t.Fatalf("after 14 minutes: %+v, %v", m, err)
		}
		w.pass(2 * time.Minute)
		if m, err := r.Resolve(t.Context(), userOf(1), false); !errors.Is(err, directory.ErrUnavailable) || len(m.Groups) > 0 {
			t.Fatalf("after 16 minutes: %+v, %v", m, err)
		}
		w.sync()
		w.look()
		if _, err := r.Resolve(t.Context(), userOf(1), false); err != nil {
			t.Fatalf("after a round: %v", err)
		}
	},

	"240 a membership that was activated for a while and is over does not count for privileged permissions": func(t *testing.T, w *world) {
		w.graph.list("users", user(1))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))), group(2, "members@delta", members(userID(1))))
		w.sync()
		token := userOf(1) // issued now
		token.Listed, token.Groups = true, []string{groupID(1), groupID(2)}
		w.graph.happen("groups", group(2, "members@delta", members("-"+userID(1))))
		w.sync()
		w.look()
		r := w.resolver(t, directory.Config{Mode: directory.Token, Source: w.source, Local: true})
		for privileged, want := range map[bool][]string{false: {groupID(1), groupID(2)}, true: {groupID(1)}} {
			if m, err := r.Resolve(t.Context(), token, privileged); err != nil || !slices.Equal(m.Groups, want) {
				t.Errorf("privileged %v: %v, %v", privileged, m.Groups, err)
			}
		}
	},

	"243 a service principal has its groups by way of the mirror": func(_ *testing.T, w *world) {
		w.graph.list("servicePrincipals", app(1, "accountEnabled", true), app(2, "accountEnabled", false), app(3, "accountEnabled", nil))
		w.graph.list("groups", group(1, "members@delta", members(appID(1), appID(3))), group(2, "members@delta", members(groupID(1))))
		w.sync()
		w.has(appOf(1), 1, 2)
		w.hasNot(appOf(2), directory.ErrPrincipalDisabled)
		w.has(appOf(3), 1, 2)
		w.hasNot(directory.Caller{Kind: policy.PrincipalUser, TenantID: tenantA, ObjectID: appID(1)}, directory.ErrUnknownPrincipal)
	},

	"244 a guest has the groups of the resource tenant, by its object there": func(t *testing.T, w *world) {
		w.graph.list("users", user(1))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))))
		w.sync()
		w.has(userOf(1), 1)
		home := userOf(1)
		home.TenantID = tenantB
		w.hasNot(home, directory.ErrUnavailable) // not copied: unresolved, and never those of another tenant
		both := w.newSyncer(w.store, mirror.Config{Tenants: []string{tenantA, tenantB}, Holder: "both"})
		w.graph.list("groups", group(9, "members@delta", members(userID(1))))
		if err := both.Sync(t.Context(), tenantB); err != nil {
			t.Fatal(err)
		}
		w.look()
		w.has(home, 9)
		w.has(userOf(1), 1)
	},

	"245 a directory role is in no list of groups, by whatever id": func(_ *testing.T, w *world) {
		w.graph.list("users", user(1))
		role := map[string]any{"id": "e0000000-0000-4000-8000-000000000001", "@odata.type": "#microsoft.graph.directoryRole"}
		w.graph.list("groups", group(1, "members@delta", append(members(userID(1)), role)))
		w.sync()
		w.has(userOf(1), 1) // roles are matched by the wids of the token
	},
}

func TestCatalogue(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(catalogue)) {
		t.Run(name, func(t *testing.T) { each(t, mirror.Config{}, catalogue[name]) })
	}
}

func (w *world) resolver(t *testing.T, cfg directory.Config) *directory.Resolver {
	t.Helper()
	cfg.Now = w.clock
	r, err := directory.New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}
