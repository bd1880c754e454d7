package directory_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/graph"
	"github.com/verdict-authz/verdict/server/directory/graphtest"
	"github.com/verdict-authz/verdict/server/policy"
)

const (
	tenantA = "aaaaaaaa-0000-0000-0000-000000000001"
	tenantB = "bbbbbbbb-0000-0000-0000-000000000002"
	alice   = "11111111-0000-0000-0000-00000000000a"
	service = "22222222-0000-0000-0000-00000000000b"
	group1  = "99999999-0000-0000-0000-000000000001"
	group2  = "99999999-0000-0000-0000-000000000002"
	path    = "/users/" + alice
)

// world is a resolver in front of a Graph, with a clock that stands until somebody sleeps.
type world struct {
	*testing.T
	graph    *graphtest.Server
	client   *graph.Client
	resolver *directory.Resolver
	log      bytes.Buffer
}

// in runs f in a world of mode. The world may be changed through cfg before it begins.
func in(t *testing.T, mode directory.Mode, change func(w *world, cfg *directory.Config), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, graph: graphtest.New()}
		w.graph.User(tenantA, alice, group1)
		var err error
		w.client, err = graph.New(graphtest.Tokens{}, graph.Config{
			Tenants: []string{tenantA, tenantB}, BaseURL: graphtest.Base, Transport: w.graph.Transport(), Units: 100_000,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer w.client.Close()
		cfg := directory.Config{Mode: mode, Source: w.client}
		if change != nil {
			change(w, &cfg)
		}
		if w.resolver, err = directory.New(cfg, slog.New(slog.NewJSONHandler(&w.log, nil))); err != nil {
			t.Fatal(err)
		}
		defer w.resolver.Close()
		f(w)
		w.silent(w.log.String())
	})
}

// silent fails when a text holds a canary.
func (w *world) silent(text string) {
	w.Helper()
	if strings.Contains(strings.ToLower(text), "canary") {
		w.Errorf("a secret shows: %s", text)
	}
}

func user(change func(*directory.Caller)) directory.Caller {
	c := directory.Caller{Kind: policy.PrincipalUser, TenantID: tenantA, ObjectID: alice, ClientID: service, Overage: true}
	if change != nil {
		change(&c)
	}
	return c
}

// ask resolves within the deadline.
func (w *world) ask(deadline time.Duration, who directory.Caller, privileged bool) (directory.Membership, error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	m, err := w.resolver.Resolve(ctx, who, privileged)
	if err != nil {
		w.silent(err.Error())
	}
	return m, err
}

// has fails unless the groups are these.
func (w *world) has(deadline time.Duration, who directory.Caller, groups ...string) {
	w.Helper()
	if m, err := w.ask(deadline, who, false); err != nil || !slices.Equal(m.Groups, groups) {
		w.Errorf("%v, %v; want %v", m.Groups, err, groups)
	}
}

// unresolved fails unless the answer is an error of that kind, and no list.
func (w *world) unresolved(deadline time.Duration, who directory.Caller, want error) {
	w.Helper()
	m, err := w.ask(deadline, who, false)
	if !errors.Is(err, want) || m.Groups != nil {
		w.Errorf("%v, %v; want %v", m.Groups, err, want)
	}
}

// failing is 227 to 231: an answer of Graph that is none.
func failing(want error, answers ...graphtest.Response) func(t *testing.T) {
	return func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			w.graph.Script(path, answers...)
			w.unresolved(10*time.Second, user(nil), want)
		})
	}
}

func repeated(n int, r graphtest.Response) []graphtest.Response {
	return slices.Repeat([]graphtest.Response{r}, n)
}

func throttled(after string) graphtest.Response {
	r := graphtest.Refusal(429, "TooManyRequests")
	r.Header = map[string]string{"Retry-After": after}
	return r
}

// overageResolved is 220 to 222, whichever shape said it: resolved by object id, at our own Graph and nowhere else.
func overageResolved(t *testing.T) {
	in(t, directory.Token, nil, func(w *world) {
		w.has(time.Second, user(nil), group1)
		if got, want := w.graph.Requests(), []string{"POST /v1.0" + path + "/getMemberGroups"}; !slices.Equal(got, want) {
			w.Errorf("%q; want %q", got, want)
		}
	})
}

// copied is a mirror that was in step so long ago.
type copied struct {
	groups map[string][]string
	age    time.Duration
}

func (c copied) Groups(_ context.Context, who directory.Caller) (directory.Membership, error) {
	groups, ok := c.groups[fmt.Sprintf("%s/%s/%s", who.TenantID, who.Kind, who.ObjectID)]
	if !ok {
		return directory.Membership{}, directory.ErrUnknownPrincipal
	}
	return directory.Membership{Groups: groups, At: time.Now().Add(-c.age), Source: "mirror"}, nil
}

// catalogue has the numbers 218 to 245 that this room decides, and the room that decides each of the others.
var catalogue = map[int]struct {
	name  string
	run   func(t *testing.T)
	owner string
}{
	218: {name: "200 groups in the token are used", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			ids := make([]string, 200)
			for i := range ids {
				ids[i] = fmt.Sprintf("99999999-0000-0000-0000-%012d", i)
			}
			w.has(time.Second, user(func(c *directory.Caller) { c.Overage, c.Listed, c.Groups = false, true, ids }), ids...)
			if n := len(w.graph.Requests()); n != 0 {
				w.Errorf("Graph was asked %d times", n)
			}
		})
	}},
	219: {name: "what is no list of texts", owner: "server/entra"},
	220: {name: "a claim name is resolved by object id", run: overageResolved},
	221: {name: "a source name is resolved by object id", run: overageResolved},
	222: {name: "hasgroups is resolved by object id", run: overageResolved},
	223: {name: "a list beside a marker is overage", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			w.has(time.Second, user(func(c *directory.Caller) { c.Listed, c.Groups = true, []string{group2} }), group1)
		})
	}},
	224: {name: "a claim name for another claim", owner: "server/entra"},
	225: {name: "429 within the caller's time", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			w.graph.Script(path, throttled("7"))
			started := time.Now()
			w.has(10*time.Second, user(nil), group1)
			if took := time.Since(started); took != 7*time.Second || len(w.graph.Requests()) != 2 {
				w.Errorf("%d requests in %v", len(w.graph.Requests()), took)
			}
		})
	}},
	226: {name: "429 beyond the caller's time", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			w.graph.Script(path, throttled("7"))
			started := time.Now()
			w.unresolved(200*time.Millisecond, user(nil), directory.ErrUnavailable)
			other := user(func(c *directory.Caller) { c.ObjectID = service })
			w.unresolved(200*time.Millisecond, other, directory.ErrUnavailable)
			if took := time.Since(started); took != 0 || len(w.graph.Requests()) != 1 {
				w.Errorf("%d requests in %v; an early one counts against the tenant", len(w.graph.Requests()), took)
			}
		})
	}},
	227: {name: "401", run: failing(directory.ErrUnavailable, graphtest.Refusal(401, "InvalidAuthenticationToken"))},
	228: {name: "403", run: failing(directory.ErrUnavailable, graphtest.Refusal(403, "Authorization_RequestDenied"))},
	229: {name: "404", run: failing(directory.ErrUnknownPrincipal, graphtest.Refusal(404, "Request_ResourceNotFound"))},
	230: {name: "5xx and timeout", run: func(t *testing.T) {
		failing(directory.ErrUnavailable, repeated(9, graphtest.Response{Status: 503})...)(t)
		in(t, directory.Token, nil, func(w *world) {
			w.graph.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
				<-r.Context().Done()
				return true
			})
			w.unresolved(time.Second, user(nil), directory.ErrUnavailable)
		})
	}},
	231: {name: "a malformed body", run: failing(directory.ErrUnavailable, graphtest.Response{Status: 200, Body: `{"value":[7]}`})},
	232: {name: "11 001 groups", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			ids := make([]string, graphtest.MaxMemberGroups+1)
			for i := range ids {
				ids[i] = fmt.Sprintf("99999999-0000-0000-0000-%012d", i)
			}
			w.graph.User(tenantA, alice, ids...)
			w.has(10*time.Second, user(nil), ids...)
		})
	}},
	233: {name: "a link to a foreign host", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			w.graph.User(tenantA, alice, slices.Repeat([]string{group1}, graphtest.MaxMemberGroups+1)...)
			w.graph.NextLink(func(link string) string { return strings.Replace(link, "graph.example", "evil.example", 1) })
			w.unresolved(10*time.Second, user(nil), directory.ErrUnavailable)
			if n := len(w.graph.Requests()); n != 2 {
				w.Errorf("%d requests; want the list and its first page: %q", n, w.graph.Requests())
			}
		})
	}},
	234: {name: "nested five deep, in a circle", owner: "server/directory/mirror"},
	235: {name: "delta 410", owner: "server/directory/mirror"},
	236: {name: "delta replayed", owner: "server/directory/mirror"},
	237: {name: "removed and added in one page", owner: "server/directory/mirror"},
	238: {name: "soft delete", owner: "server/directory/mirror"},
	239: {name: "an old mirror with Graph down", run: func(t *testing.T) {
		in(t, directory.Mirror, func(w *world, cfg *directory.Config) {
			cfg.Source = copied{groups: map[string][]string{tenantA + "/user/" + alice: {group2}}, age: 15*time.Minute + time.Second}
			cfg.Fallback = w.client
			w.graph.Script(path, repeated(4, graphtest.Response{Status: 500})...)
		}, func(w *world) {
			w.unresolved(5*time.Second, user(nil), directory.ErrUnavailable)
			time.Sleep(2 * time.Second)
			w.has(5*time.Second, user(nil), group1) // Graph is back
		})
	}},
	240: {name: "a membership that ended, in a token that still has it", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			who := user(func(c *directory.Caller) { c.Overage, c.Listed, c.Groups = false, true, []string{group1, group2} })
			w.has(time.Second, who, group1, group2)
			if m, err := w.ask(time.Second, who, true); err != nil || !slices.Equal(m.Groups, []string{group1}) {
				w.Errorf("privileged: %v, %v", m.Groups, err)
			}
		})
	}},
	241: {name: "names in the token", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			w.has(time.Second, user(func(c *directory.Caller) { c.Overage, c.Listed, c.Groups = false, true, []string{"Admins"} }), "admins")
			if !strings.Contains(w.log.String(), "names of groups") || strings.Contains(w.log.String(), "dmins") {
				w.Errorf("the log has %s", w.log.String())
			}
		})
	}},
	242: {name: "groups sent as roles", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) { // the claim is then missing; what is in roles is server/entra's
			w.has(time.Second, user(func(c *directory.Caller) { c.Overage = false }))
			if !strings.Contains(w.log.String(), "tokens hold no groups") {
				w.Errorf("the log has %s", w.log.String())
			}
		})
	}},
	243: {name: "a service principal by way of the mirror", run: func(t *testing.T) {
		in(t, directory.Mirror, func(_ *world, cfg *directory.Config) {
			cfg.Source = copied{groups: map[string][]string{tenantA + "/app/" + service: {group2}}}
		}, func(w *world) {
			w.has(time.Second, user(func(c *directory.Caller) { c.Kind, c.ObjectID = policy.PrincipalApp, service }), group2)
			w.unresolved(time.Second, user(func(c *directory.Caller) { c.ObjectID = service }), directory.ErrUnknownPrincipal)
		})
	}},
	244: {name: "a guest, in the tenant of the resource only", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) {
			w.graph.User(tenantB, alice, group2)
			w.has(time.Second, user(nil), group1)
			w.has(time.Second, user(func(c *directory.Caller) { c.TenantID = tenantB }), group2)
			w.has(time.Second, user(nil), group1)
		})
	}},
	245: {name: "a directory role is no group", run: func(t *testing.T) {
		in(t, directory.Token, nil, func(w *world) { // the pages of graphtest hold one role each
			w.graph.User(tenantA, alice, slices.Repeat([]string{group1}, graphtest.MaxMemberGroups+1)...)
			w.has(10*time.Second, user(nil), group1)
		})
	}},
}

func TestCatalogue(t *testing.T) {
	for n := 218; n <= 245; n++ {
		e, ok := catalogue[n]
		if !ok {
			t.Errorf("case %d is missing", n)
			continue
		}
		t.Run(fmt.Sprintf("%03d %s", n, e.name), func(t *testing.T) {
			switch {
			case e.run != nil:
				e.run(t)
			case e.owner == "":
				t.Fatal("tests nothing and names no room that does")
			}
		})
	}
}
