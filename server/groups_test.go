package server

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/migrations"
	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/graph"
	"github.com/verdict-authz/verdict/server/directory/graphtest"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/store/sqlite"
)

// A user in 5 000 groups, of which one has a grant and the token lists none.
const manyGroups = 5000

func groupNumber(n int) string { return fmt.Sprintf("aaaaaaaa-0000-4000-8000-%012d", n) }

// world is a server on a store of its own, an issuer and a Graph that can be taken away.
type world struct {
	decisions verdictv1.DecisionServiceClient
	policies  verdictv1.PolicyServiceClient
	directory verdictv1.DirectoryServiceClient
	system    verdictv1.SystemServiceClient
	revoked   verdictv1.RevocationServiceClient
	issuer    *issuer.Issuer
	graph     *graphtest.Server
	away      atomic.Bool
	lost      atomic.Bool // the user is no longer in any group
	disabled  atomic.Bool // the user's account is disabled
}

// startWorld has a Graph.
func startWorld(t *testing.T, mode directory.Mode) *world {
	t.Helper()
	w := &world{graph: graphtest.New()}
	w.graph.Intercept(w.intercept)
	w.start(t, Groups{
		Mode: mode, MaxStaleness: 3 * time.Second, MirrorPoll: 200 * time.Millisecond,
		Tokens: graphtest.Tokens{}, Graph: graph.Config{BaseURL: w.graph.Start(t)},
	})
	return w
}

// startWorldWith has no Graph.
func startWorldWith(t *testing.T, groups Groups) *world {
	t.Helper()
	w := &world{}
	w.start(t, groups)
	return w
}

func (w *world) start(t *testing.T, groups Groups) {
	t.Helper()
	var handler http.Handler
	web := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handler.ServeHTTP(rw, r) }))
	t.Cleanup(web.Close)
	var err error
	if w.issuer, err = issuer.New(issuer.Config{BaseURL: web.URL}); err != nil {
		t.Fatal(err)
	}
	handler = w.issuer.Handler()

	path := filepath.Join(t.TempDir(), "verdict.db")
	if _, err := migrations.Up(t.Context(), migrations.Target{SQLitePath: path}); err != nil {
		t.Fatal(err)
	}
	st, err := sqlite.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	srv, err := New(t.Context(), st, Options{
		Decision: Listen{Address: "127.0.0.1:0"}, Admin: Listen{Address: "127.0.0.1:0"},
		Entra:  entra.Config{Providers: []entra.Provider{{Kind: entra.Entra, Authority: web.URL, Tenants: []string{issuer.DevTenant}, AllowLoopbackHTTP: true}}},
		Groups: groups,
		Log:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := t.Context(), make(chan struct{})
	go func() {
		defer close(stop)
		if err := srv.Run(ctx); err != nil {
			t.Errorf("server: %v", err)
		}
	}()
	t.Cleanup(func() { <-stop; st.Close() })
	w.connect(t, srv)
	w.apply(t)
}

func (w *world) connect(t *testing.T, srv *Server) {
	t.Helper()
	dial := func(addr string) *grpc.ClientConn {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	w.decisions = verdictv1.NewDecisionServiceClient(dial(srv.DecisionAddr().String()))
	admin := dial(srv.AdminAddr().String())
	w.policies, w.directory, w.system = verdictv1.NewPolicyServiceClient(admin), verdictv1.NewDirectoryServiceClient(admin), verdictv1.NewSystemServiceClient(admin)
	w.revoked = verdictv1.NewRevocationServiceClient(admin)
}

func (w *world) apply(t *testing.T) {
	t.Helper()
	grant := func(id, subject, permission string, effect verdictv1.GrantEffect) *verdictv1.Grant {
		return &verdictv1.Grant{Id: id, Api: "orders", Subject: subject, Permissions: []string{permission}, Effect: effect}
	}
	group := func(n int) string { return "group:" + issuer.DevTenant + "/" + groupNumber(n) }
	_, err := w.policies.ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: &verdictv1.Policy{
		Apis: []*verdictv1.Api{{
			Id: "orders", Audiences: []string{issuer.DevAudience},
			Permissions: []*verdictv1.Permission{{Name: "orders.read"}, {Name: "orders.delete"}, {Name: "orders.pay", Privileged: true}},
			Scopes:      []*verdictv1.ScopeRule{{Scope: issuer.DevScope, Permissions: []string{"orders.*"}}},
		}},
		Grants: []*verdictv1.Grant{
			grant("read", group(4321), "orders.read", verdictv1.GrantEffect_GRANT_EFFECT_ALLOW),
			grant("delete", group(1), "orders.delete", verdictv1.GrantEffect_GRANT_EFFECT_ALLOW),
			grant("keep", group(manyGroups), "orders.delete", verdictv1.GrantEffect_GRANT_EFFECT_DENY),
			grant("pay", group(7), "orders.pay", verdictv1.GrantEffect_GRANT_EFFECT_ALLOW),
		},
	}}, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
}

// intercept is Graph being away, and its delta queries, which graphtest leaves to those who copy.
func (w *world) intercept(rw http.ResponseWriter, r *http.Request) bool {
	if w.away.Load() {
		rw.WriteHeader(http.StatusBadGateway)
		return true
	}
	folder, found := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/v1.0"), "/delta")
	if !found {
		return false
	}
	value := []map[string]any{}
	token := r.URL.Query().Get("$deltatoken")
	switch {
	case folder == "/groups" && token == "" || folder == "/groups" && token == "full" && w.lost.Load():
		for n := 1; n <= manyGroups; n++ {
			member := map[string]any{"@odata.type": "#microsoft.graph.user", "id": issuer.AliceID}
			if w.lost.Load() {
				member["@removed"] = map[string]any{"reason": "deleted"}
			}
			value = append(value, map[string]any{"id": groupNumber(n), "members@delta": []any{member}})
		}
		if w.lost.Load() {
			token = "lost"
		} else {
			token = "full"
		}
	case folder == "/users" && (token == "" || token == "full" && w.disabled.Load()):
		value = append(value, map[string]any{"id": issuer.AliceID, "accountEnabled": !w.disabled.Load()})
		if token == "" {
			token = "full"
		} else {
			token = "disabled"
		}
	case token == "":
		token = "full"
	}
	rw.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(rw).Encode(map[string]any{
		"value": value, "@odata.deltaLink": "http://" + r.Host + "/v1.0" + folder + "/delta?$deltatoken=" + token,
	})
	return true
}

// alice is a token; with groups it lists them, without it says that they are elsewhere.
func (w *world) alice(t *testing.T, groups ...string) string {
	t.Helper()
	req := issuer.Request{Persona: "alice"}
	if req.Groups = groups; len(groups) == 0 {
		req.Overage = "claim_names"
	}
	token, err := w.issuer.Mint(req)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// becomes asks until the reason is the wanted one; groups and policy need a moment to arrive.
func (w *world) becomes(t *testing.T, token, permission string, want verdictv1.Reason) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for {
		resp, err := w.decisions.Check(t.Context(), &verdictv1.CheckRequest{
			Token: token, Api: "orders", MinRevision: 1, Question: &verdictv1.CheckRequest_Permission{Permission: &verdictv1.PermissionRequest{Name: permission}},
		}, grpc.WaitForReady(true))
		if err == nil && resp.GetReason() == want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v %v, want %s", permission, resp, err, want)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

const (
	allowed    = verdictv1.Reason_REASON_ALLOWED_BY_GRANT
	denied     = verdictv1.Reason_REASON_DENIED_BY_GRANT
	noGrant    = verdictv1.Reason_REASON_NO_GRANT
	unresolved = verdictv1.Reason_REASON_GROUPS_UNRESOLVED
)

func everyGroup() []string {
	all := make([]string, manyGroups)
	for i := range all {
		all[i] = groupNumber(i + 1)
	}
	return all
}

func TestFiveThousandGroupsAreDecidedOn(t *testing.T) {
	for _, mode := range []directory.Mode{directory.Token, directory.Graph, directory.Mirror} {
		t.Run(string(mode), func(t *testing.T) {
			w := startWorld(t, mode)
			if mode != directory.Mirror { // whose copy comes by delta queries alone
				w.graph.User(issuer.DevTenant, issuer.AliceID, everyGroup()...)
			}
			token := w.alice(t)
			w.becomes(t, token, "orders.read", allowed)
			w.becomes(t, token, "orders.delete", denied) // by a group that the token does not list
			w.becomes(t, token, "orders.pay", allowed)

			resp, err := w.directory.GetGroups(t.Context(), &verdictv1.GetGroupsRequest{
				TenantId: issuer.DevTenant, ObjectId: issuer.AliceID, Kind: verdictv1.PrincipalKind_PRINCIPAL_KIND_USER,
			})
			if err != nil || len(resp.GetGroups()) != manyGroups {
				t.Errorf("GetGroups: %d %v", len(resp.GetGroups()), err)
			}
			if mode != directory.Token {
				return
			}
			// What an unlisted principal is told is an error, not an empty list.
			_, err = w.directory.GetGroups(t.Context(), &verdictv1.GetGroupsRequest{
				TenantId: issuer.DevTenant, ObjectId: issuer.BobID, Kind: verdictv1.PrincipalKind_PRINCIPAL_KIND_USER,
			})
			if status.Code(err) != codes.NotFound {
				t.Errorf("GetGroups of a stranger: %v", err)
			}
		})
	}
}

// A token keeps a group until it expires; what is privileged asks the directory (the end of a PIM window).
func TestPrivilegedPermissionsDoNotBelieveTheToken(t *testing.T) {
	w := startWorld(t, directory.Token)
	w.graph.User(issuer.DevTenant, issuer.AliceID) // in no group any more
	token := w.alice(t, groupNumber(4321), groupNumber(7))
	w.becomes(t, token, "orders.read", allowed)
	w.becomes(t, token, "orders.pay", noGrant)
}

func TestWithoutGraphGroupsAreUnresolvedNotNone(t *testing.T) {
	for _, mode := range []directory.Mode{directory.Token, directory.Graph, directory.Mirror} {
		t.Run(string(mode), func(t *testing.T) {
			w := startWorld(t, mode)
			w.away.Store(true)
			token := w.alice(t)
			w.becomes(t, token, "orders.read", unresolved)
			w.becomes(t, token, "orders.delete", unresolved)
			if mode == directory.Token { // whose token lists its groups is not concerned
				w.becomes(t, w.alice(t, groupNumber(4321)), "orders.read", allowed)
			}
			if mode != directory.Mirror {
				w.graph.User(issuer.DevTenant, issuer.AliceID, everyGroup()...)
			}
			w.away.Store(false)
			w.becomes(t, token, "orders.read", allowed)
		})
	}
}

// The copy serves while Graph is away, for as long as it may be old, and says so; a group that was lost is lost with the
// next round, whatever the token says.
func TestTheMirrorServesUntilItIsTooOld(t *testing.T) {
	w := startWorld(t, directory.Mirror)
	token := w.alice(t, groupNumber(4321))
	w.becomes(t, token, "orders.read", allowed)
	w.lost.Store(true)
	w.becomes(t, token, "orders.read", noGrant)
	w.away.Store(true)
	w.becomes(t, token, "orders.read", unresolved)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // a round that fails may be under way
		resp, err := w.system.Status(t.Context(), &verdictv1.StatusRequest{})
		if err == nil && len(resp.GetProblems()) > 0 && len(resp.GetDirectories()) > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("status: %v %v", resp, err)
		}
	}
}

// What the directory takes away is revoked: a disabled user's tokens are refused within a round and a moment.
func TestADisabledUserIsRevoked(t *testing.T) {
	w := startWorld(t, directory.Mirror)
	token := w.alice(t, groupNumber(4321))
	w.becomes(t, token, "orders.read", allowed)
	w.disabled.Store(true)
	w.becomes(t, token, "orders.read", verdictv1.Reason_REASON_TOKEN_REVOKED)
	end := time.Now().Add(10 * time.Second)
	for {
		list, err := w.revoked.ListRevocations(t.Context(), &verdictv1.ListRevocationsRequest{Value: issuer.AliceID})
		if err == nil && len(list.GetRevocations()) == 1 && list.GetRevocations()[0].GetActor() == "mirror" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("revocations: %v %v", list, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
