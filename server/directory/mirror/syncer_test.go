package mirror_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/mirror"
	"github.com/verdict-authz/verdict/store"
)

func guid(t testing.TB, text string) store.GUID {
	t.Helper()
	g, err := store.ParseGUID(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// down is a source that is away.
type down struct{}

func (down) Groups(context.Context, directory.Caller) (directory.Membership, error) {
	return directory.Membership{}, directory.ErrUnavailable
}

func TestAUserIn5000GroupsHasThemAll(t *testing.T) {
	each(t, mirror.Config{}, func(_ *testing.T, w *world) {
		w.graph.pageSize = 700
		var groups []map[string]any
		var want []int
		for n := 1; n <= 5000; n++ {
			groups = append(groups, group(n, "members@delta", members(userID(1))))
			want = append(want, n)
		}
		groups = append(groups, group(5001, "members@delta", members(groupID(5000))))
		w.graph.list("users", user(1))
		w.graph.list("groups", groups...)
		w.sync()
		w.has(userOf(1), append(want, 5001)...)
	})
}

func TestTheMembersOfALargeGroupComeInSeveralPages(t *testing.T) {
	each(t, mirror.Config{}, func(_ *testing.T, w *world) {
		w.graph.pageSize = 1
		w.graph.list("users", user(1), user(2))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))), group(1, "members@delta", members(userID(2))), group(1))
		w.sync()
		w.has(userOf(1), 1)
		w.has(userOf(2), 1)
	})
}

func TestDevicesAndContactsAreNotKept(t *testing.T) {
	each(t, mirror.Config{}, func(_ *testing.T, w *world) {
		w.graph.list("users", user(1))
		w.graph.list("groups", group(1, "members@delta", members(userID(1), deviceID(1))))
		w.sync()
		w.has(userOf(1), 1)
		w.graph.happen("groups", group(1, "members@delta", members("-"+deviceID(1))))
		w.sync()
		device := userOf(1)
		device.ObjectID = deviceID(1)
		w.hasNot(device, directory.ErrUnknownPrincipal)
	})
}

func TestARoundThatIsCutShortLeavesTheCopyAsItWas(t *testing.T) {
	for name, cut := range map[string]func(w http.ResponseWriter) bool{
		"a server error": func(w http.ResponseWriter) bool { return refuse(w, http.StatusBadGateway, "") },
		"a throttled page": func(w http.ResponseWriter) bool {
			w.Header().Set("Retry-After", "7")
			return refuse(w, http.StatusTooManyRequests, "")
		},
		"no permission": func(w http.ResponseWriter) bool {
			return refuse(w, http.StatusForbidden, "Authorization_RequestDenied")
		},
		"a connection that is cut":         func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) },
		"half an answer":                   answer(`{"value":[{"id":"` + userID(1)),
		"a web page":                       answer(`<html>`),
		"no values":                        answer(`{"@odata.deltaLink":"x"}`),
		"no link":                          answer(`{"value":[]}`),
		"two links":                        answer(`{"value":[],"@odata.deltaLink":"BASE/users/delta?a","@odata.nextLink":"BASE/users/delta?b"}`),
		"an object without an id":          answer(`{"value":[{}],"@odata.deltaLink":"BASE/users/delta?a"}`),
		"an id that is none":               answer(`{"value":[{"id":"x"}],"@odata.deltaLink":"BASE/users/delta?a"}`),
		"a link to another host":           answer(`{"value":[],"@odata.nextLink":"https://graph.example.com/v1.0/users/delta?a"}`),
		"a link to another host, for ever": answer(`{"value":[],"@odata.deltaLink":"https://graph.example.com/v1.0/users/delta?a"}`),
		"a link to another scheme":         answer(`{"value":[],"@odata.nextLink":"https://HOST/v1.0/users/delta?a"}`),
		"a link with credentials":          answer(`{"value":[],"@odata.nextLink":"http://u:p@HOST/v1.0/users/delta?a"}`),
		"a link to another resource":       answer(`{"value":[],"@odata.nextLink":"BASE/groups/delta?a"}`),
		"a link that climbs":               answer(`{"value":[],"@odata.nextLink":"BASE/users/../../beta/users/delta?a"}`),
		"a link that leads back":           func(w http.ResponseWriter) bool { return false },
		"a redirect": func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "/v1.0/users/delta?a")
			w.WriteHeader(http.StatusFound)
			return true
		},
		"a link that is never known (410)":    func(w http.ResponseWriter) bool { return refuse(w, http.StatusGone, "") },
		"an answer that is far too long":      long,
		"a group of others among the members": answer(`{"value":[{"id":"` + userID(1) + `","members@delta":[{"id":"` + userID(2) + `"}]}],"@odata.deltaLink":"BASE/users/delta?a"}`),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, engines["sqlite"](t), mirror.Config{})
			w.graph.list("users", user(1), user(2))
			w.graph.list("groups", group(1, "members@delta", members(userID(1))))
			w.sync()
			synced := w.syncer.Status()[0].SyncedAt
			// The first page of users comes and has a change in it; the second does not.
			w.graph.pageSize = 1
			w.graph.happen("users", user(1, "accountEnabled", false), user(2, "accountEnabled", false))
			w.graph.intercept(func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.RawQuery, "skiptoken") && !strings.Contains(r.URL.RawQuery, "select") {
					return false
				}
				if name == "a link that leads back" {
					return answer(`{"value":[],"@odata.nextLink":"http://HOST` + r.URL.RequestURI() + `"}`)(hosted{rw, w.graph})
				}
				return cut(hosted{rw, w.graph})
			})
			w.fails(nil)
			w.look()
			w.has(userOf(1), 1)
			if s := w.syncer.Status()[0]; s.Problem == "" || !s.SyncedAt.Equal(synced) {
				t.Errorf("status: %+v", s)
			}
			// Once Graph is well again the same round is made.
			w.graph.intercept(nil)
			w.sync()
			w.look()
			w.hasNot(userOf(1), directory.ErrPrincipalDisabled)
			w.hasNot(userOf(2), directory.ErrPrincipalDisabled)
			if s := w.syncer.Status()[0]; s.Problem != "" || s.Round != 2 {
				t.Errorf("status: %+v", s)
			}
		})
	}
}

// hosted is a response of a Graph, whose address is needed to write links.
type hosted struct {
	http.ResponseWriter
	graph *fakeGraph
}

func answer(body string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		w.Header().Set("Content-Type", "application/json")
		g := w.(hosted).graph
		_, _ = io.WriteString(w, strings.NewReplacer("BASE", g.base(), "HOST", strings.TrimPrefix(g.URL, "http://")).Replace(body))
		return true
	}
}

func long(w http.ResponseWriter) bool {
	chunk := []byte(strings.Repeat(" ", 1<<20))
	for range 65 {
		if _, err := w.Write(chunk); err != nil {
			return true
		}
	}
	return true
}

func TestGraphThatWantsToBeLeftAloneIs(t *testing.T) {
	w := newWorld(t, engines["sqlite"](t), mirror.Config{MaxWait: time.Minute})
	refusals := 0
	w.graph.intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		if refusals++; refusals > 1 {
			return false
		}
		rw.Header().Set("Retry-After", "1")
		return refuse(rw, http.StatusTooManyRequests, "TooManyRequests")
	})
	began := time.Now()
	w.sync() // within the round
	if took := time.Since(began); took < time.Second {
		t.Errorf("asked again after %v", took)
	}
	w.graph.intercept(func(rw http.ResponseWriter, _ *http.Request) bool {
		rw.Header().Set("Retry-After", "300")
		return refuse(rw, http.StatusTooManyRequests, "TooManyRequests")
	})
	var retry *directory.RetryError
	if err := w.failure(nil); !errors.As(err, &retry) || retry.After != 5*time.Minute {
		t.Errorf("got %v", err) // longer than a round may wait
	}
	if asked := w.graph.requests(); len(asked) != 1+3+1 {
		t.Errorf("asked %d times", len(asked))
	}
}

func TestARoundIsBounded(t *testing.T) {
	w := newWorld(t, engines["sqlite"](t), mirror.Config{MaxObjects: 3})
	w.graph.list("users", user(1), user(2), user(3))
	w.sync()
	w.graph.happen("users", user(4), user(5), user(6), user(7))
	w.fails(nil)
}

func TestADayBringsAFullLook(t *testing.T) {
	each(t, mirror.Config{}, func(t *testing.T, w *world) {
		w.graph.list("users", user(1), user(2))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))))
		w.sync()
		w.graph.list("users", user(1)) // nobody told of it
		w.graph.list("groups")
		w.sync()
		w.look()
		w.has(userOf(1), 1)
		w.pass(24 * time.Hour)
		w.sync()
		w.look()
		w.has(userOf(1))
		w.hasNot(userOf(2), directory.ErrUnknownPrincipal)
		var kinds []mirror.EventKind
		for _, e := range w.told() {
			kinds = append(kinds, e.Kind)
		}
		slices.Sort(kinds)
		if !slices.Equal(kinds, []mirror.EventKind{mirror.Deleted, mirror.GroupRemoved}) {
			t.Errorf("events: %v", kinds)
		}
	})
}

func TestTheCopyStaysYoungWhileAFullLookTakesLong(t *testing.T) {
	each(t, mirror.Config{}, func(t *testing.T, w *world) {
		w.graph.pageSize = 1
		w.graph.list("users", user(1), user(2), user(3))
		w.graph.list("groups", group(1, "members@delta", members(userID(1))), group(2, "members@delta", members(userID(2))), group(3))
		w.sync()
		w.pass(24 * time.Hour)
		pages, ofGroups := 0, 0
		w.graph.intercept(func(_ http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.RawQuery, "changes") {
				pages++ // each page of the full look takes five minutes
				w.pass(5 * time.Minute)
				if strings.Contains(r.URL.Path, "groups") {
					ofGroups++
				}
				switch ofGroups {
				case 2: // the page with the membership is read
					w.graph.happen("groups", group(1, "members@delta", members("-"+userID(1))))
				case 3: // the full look is not done, and it is known
					w.has(userOf(1))
				}
				m, err := w.source.Groups(t.Context(), userOf(2))
				if age := w.clock().Sub(m.At); err != nil || pages > 1 && age > 11*time.Minute {
					t.Errorf("page %d: %v old, %v", pages, age, err)
				}
			}
			return false
		})
		w.sync()
		w.look()
		// The full look listed the membership before it ended: what the links tell after it counts.
		w.has(userOf(1))
		m, err := w.source.Groups(t.Context(), userOf(2))
		if age := w.clock().Sub(m.At); err != nil || age > time.Minute || ofGroups != 3 {
			t.Errorf("%v old after %d pages, %v", age, pages, err)
		}
	})
}

func TestALinkOfAnotherCloudBringsAFullLook(t *testing.T) {
	each(t, mirror.Config{}, func(t *testing.T, w *world) {
		w.sync()
		other := newFakeGraph(t)
		other.list("users", user(1))
		y, err := mirror.New(w.store, tokens{}, discard(), mirror.Config{
			Tenants: []string{tenantA}, Holder: "other", BaseURL: other.base(), MaxWait: time.Millisecond, Now: w.clock})
		if err != nil {
			t.Fatal(err)
		}
		if err := y.Sync(t.Context(), tenantA); !errors.Is(err, mirror.ErrElsewhere) {
			t.Fatalf("the first one has the lease: %v", err)
		}
		stop(t, w.syncer)
		if err := y.Sync(t.Context(), tenantA); err != nil {
			t.Fatal(err)
		}
		w.look()
		w.has(userOf(1))
	})
}

func TestNewRefusesWhatItCannotWorkWith(t *testing.T) {
	s := engines["sqlite"](t)()
	good := func() mirror.Config { return mirror.Config{Tenants: []string{tenantA}} }
	for name, spoil := range map[string]func(*mirror.Config){
		"no tenant":             func(c *mirror.Config) { c.Tenants = nil },
		"a tenant that is none": func(c *mirror.Config) { c.Tenants = []string{"contoso.com"} },
		"an unknown cloud":      func(c *mirror.Config) { c.Cloud = "mars" },
		"plain http":            func(c *mirror.Config) { c.BaseURL = "http://graph.example.com/v1.0" },
		"a URL with a query":    func(c *mirror.Config) { c.BaseURL = "https://graph.example.com/v1.0?a" },
		"a negative duration":   func(c *mirror.Config) { c.Poll = -time.Second },
		"a negative bound":      func(c *mirror.Config) { c.MaxObjects = -1 },
		"a holder with a NUL":   func(c *mirror.Config) { c.Holder = "\x00" },
	} {
		t.Run(name, func(t *testing.T) {
			c := good()
			spoil(&c)
			if _, err := mirror.New(s, tokens{}, discard(), c); err == nil {
				t.Error("accepted")
			}
		})
	}
	if _, err := mirror.New(s, tokens{}, discard(), good()); err != nil {
		t.Error(err)
	}
	if _, err := mirror.New(nil, tokens{}, discard(), good()); err == nil {
		t.Error("no store was accepted")
	}
	if _, err := mirror.NewSource(nil, mirror.SourceConfig{}); err == nil {
		t.Error("a source without a store was accepted")
	}
}
