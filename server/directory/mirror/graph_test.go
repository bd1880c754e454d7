package mirror_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/verdict-authz/verdict/server/directory/graph"
)

// canary is in every token and link; it must come out nowhere.
const canary = "canary-5f1e"

// fakeGraph answers delta queries as Microsoft Graph does: a query without a token lists what there is, page by page, and
// ends with a link to what changes from then on. What changed is listed in the order it did, with repeats.
type fakeGraph struct {
	*httptest.Server
	mu       sync.Mutex
	objects  map[string][]map[string]any // by folder: what a full look lists
	changes  map[string][]map[string]any // by folder: what happened since the beginning
	pageSize int
	asked    []string // path and query of each request, in order
	// before, if set, is called before each answer; what it answers itself (true) is not answered again.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func newFakeGraph(t testing.TB) *fakeGraph {
	g := &fakeGraph{objects: map[string][]map[string]any{}, changes: map[string][]map[string]any{}, pageSize: 1000}
	g.Server = httptest.NewServer(g)
	t.Cleanup(g.Close)
	return g
}

// base is what the client is configured with.
func (g *fakeGraph) base() string { return g.URL + "/v1.0" }

// list sets what a full look at a folder lists, without telling of a change.
func (g *fakeGraph) list(folder string, objects ...map[string]any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.objects[folder] = objects
}

// happen tells of changes.
func (g *fakeGraph) happen(folder string, objects ...map[string]any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changes[folder] = append(g.changes[folder], objects...)
}

// intercept sets before.
func (g *fakeGraph) intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before = f
}

// requests returns what was asked since the last call.
func (g *fakeGraph) requests() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	asked := g.asked
	g.asked = nil
	return asked
}

func (g *fakeGraph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.asked = append(g.asked, r.URL.RequestURI())
	before := g.before
	g.mu.Unlock()
	if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+canary) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if before != nil && before(w, r) {
		return
	}
	g.answer(w, r)
}

// answer gives the page that the token of r names: full or changes, from where, and up to which change.
func (g *fakeGraph) answer(w http.ResponseWriter, r *http.Request) {
	folder, ok := strings.CutPrefix(strings.TrimSuffix(r.URL.Path, "/delta"), "/v1.0/")
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	query := r.URL.Query()
	mode, from, upTo := "full", 0, len(g.changes[folder])
	if token := strings.TrimPrefix(query.Get("$deltatoken")+query.Get("$skiptoken"), canary+"-"); token != "" {
		parts := strings.Split(token, "-")
		mode = parts[0]
		from, _ = strconv.Atoi(parts[1])
		if len(parts) == 3 {
			upTo, _ = strconv.Atoi(parts[2])
		}
	}
	all := g.objects[folder]
	if mode == "changes" {
		all = g.changes[folder][:upTo]
	}
	end := min(len(all), from+g.pageSize)
	page := map[string]any{"value": slices.Clip(append([]map[string]any{}, all[min(from, len(all)):end]...))}
	link := fmt.Sprintf("%s/%s/delta?$%%stoken=%s-%%s", g.base(), folder, canary)
	if end < len(all) {
		page["@odata.nextLink"] = fmt.Sprintf(link, "skip", fmt.Sprintf("%s-%d-%d", mode, end, upTo))
	} else {
		page["@odata.deltaLink"] = fmt.Sprintf(link, "delta", fmt.Sprintf("changes-%d", upTo))
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(page)
}

// refuse answers with a status and a code.
func refuse(w http.ResponseWriter, status int, code string) bool {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"message":"%s"}}`, code, canary)
	return true
}

// tokens is a graph.TokenSource.
type tokens struct{}

func (tokens) Token(_ context.Context, tenantID string) (graph.AccessToken, error) {
	return graph.AccessToken(canary + tenantID), nil
}

// user, app and group are objects as a delta query lists them; extra is pairs.
func user(n int, extra ...any) map[string]any  { return object(userID(n), extra) }
func app(n int, extra ...any) map[string]any   { return object(appID(n), extra) }
func group(n int, extra ...any) map[string]any { return object(groupID(n), extra) }

func object(id string, extra []any) map[string]any {
	o := map[string]any{"id": id}
	for i := 0; i < len(extra); i += 2 {
		o[extra[i].(string)] = extra[i+1]
	}
	return o
}

// members is members@delta: what comes in, by id, or goes out, by "-" and id.
func members(ids ...string) []map[string]any {
	var l []map[string]any
	for _, id := range ids {
		id, out := strings.CutPrefix(id, "-")
		m := map[string]any{"id": id, "@odata.type": map[byte]string{
			'a': "#microsoft.graph.group", 'b': "#microsoft.graph.user", 'c': "#microsoft.graph.servicePrincipal", 'd': "#microsoft.graph.device",
		}[id[0]]}
		if out {
			m["@removed"] = removed("deleted")
		}
		l = append(l, m)
	}
	return l
}

func removed(reason string) map[string]any { return map[string]any{"reason": reason} }

func groupID(n int) string  { return fmt.Sprintf("a0000000-0000-4000-8000-%012x", n) }
func userID(n int) string   { return fmt.Sprintf("b0000000-0000-4000-8000-%012x", n) }
func appID(n int) string    { return fmt.Sprintf("c0000000-0000-4000-8000-%012x", n) }
func deviceID(n int) string { return fmt.Sprintf("d0000000-0000-4000-8000-%012x", n) }
