package graphtest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/verdict-authz/verdict/server/directory/graph"
)

// Limits of Graph.
const (
	MaxMemberGroups = 11_000
	MaxPage         = 999
	MaxBatch        = 20
)

// Response is what to answer instead.
type Response struct {
	Status int
	Header map[string]string
	Body   string // a JSON value; "" means {}
}

// Refusal is a response in the form in which Graph refuses.
func Refusal(status int, code string) Response {
	return Response{Status: status, Body: fmt.Sprintf(`{"error":{"code":%q,"message":"Canary message"}}`, code)}
}

// Server is a Graph. Its methods may be called while it serves.
type Server struct {
	mu        sync.Mutex
	groups    map[string][]string   // by tenant and path, such as "{tenant}/users/{id}"
	scripted  map[string][]Response // by path: of one principal, in a batch or not
	whole     []Response            // of whole requests
	requests  []string              // method, path and query
	batches   []int                 // sizes
	pageSize  int
	nextLink  func(link string) string
	intercept func(w http.ResponseWriter, r *http.Request) bool
}

// New makes a Graph without principals.
func New() *Server {
	return &Server{groups: map[string][]string{}, scripted: map[string][]Response{}, pageSize: MaxPage}
}

// User gives a user of a tenant these groups.
func (s *Server) User(tenant, id string, groups ...string) { s.put(tenant+"/users/"+id, groups) }

// App gives a service principal of a tenant these groups.
func (s *Server) App(tenant, id string, groups ...string) {
	s.put(tenant+"/servicePrincipals/"+id, groups)
}

func (s *Server) put(path string, groups []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[path] = slices.Clone(groups)
}

// Script queues answers for one principal, for instance "/users/{id}", ahead of the true one.
func (s *Server) Script(path string, answers ...Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripted[path] = append(s.scripted[path], answers...)
}

// ScriptWhole queues answers for whole requests, ahead of everything else.
func (s *Server) ScriptWhole(answers ...Response) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole = append(s.whole, answers...)
}

// PageSize makes pages shorter than the client asks for.
func (s *Server) PageSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = n
}

// NextLink changes the links to further pages.
func (s *Server) NextLink(change func(link string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextLink = change
}

// Intercept is asked first; true means that it has answered.
func (s *Server) Intercept(f func(w http.ResponseWriter, r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.intercept = f
}

// Requests are those so far, as method, path and query.
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Batches are the sizes of the batches so far.
func (s *Server) Batches() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.batches)
}

// Start serves on a loopback port until t ends and returns the base URL.
func (s *Server) Start(t testing.TB) string {
	t.Helper()
	ts := httptest.NewServer(s)
	t.Cleanup(ts.Close)
	return ts.URL + "/v1.0"
}

// Base is the base URL to use with Transport.
const Base = "https://graph.example/v1.0"

// Transport serves without a network, as tests that hold the clock need it.
func (s *Server) Transport() http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		if r.URL.Scheme+"://"+r.URL.Host+"/v1.0" != Base {
			return nil, errors.New("a request leaves the host")
		}
		served := r.Clone(r.Context())
		if served.Body == nil { // which a server's request always has
			served.Body = http.NoBody
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, served)
		if err := r.Context().Err(); err != nil {
			return nil, err
		}
		return w.Result(), nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// tokenPrefix comes before the tenant; it is a canary that must show nowhere.
const tokenPrefix = "canary-token-for-"

// Tokens are tokens that the server takes.
type Tokens struct{}

// Token is for the tenant.
func (Tokens) Token(_ context.Context, tenantID string) (graph.AccessToken, error) {
	return graph.AccessToken(tokenPrefix + tenantID), nil
}

// tenantOf is the tenant that the request's token is for.
func tenantOf(r *http.Request) (string, bool) {
	return strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "+tokenPrefix)
}
