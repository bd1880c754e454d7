package graph_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
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
	worker  = "22222222-0000-0000-0000-00000000000b"
	group1  = "99999999-0000-0000-0000-000000000001"
	group2  = "99999999-0000-0000-0000-000000000002"
)

func user(id string) directory.Caller {
	return directory.Caller{Kind: policy.PrincipalUser, TenantID: tenantA, ObjectID: id}
}

// open makes a client of s; change may change its configuration.
func open(t *testing.T, s *graphtest.Server, change func(*graph.Config)) *graph.Client {
	t.Helper()
	cfg := graph.Config{Tenants: []string{tenantA, tenantB}, BaseURL: s.Start(t), Units: 100_000}
	if change != nil {
		change(&cfg)
	}
	c, err := graph.New(graphtest.Tokens{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// many are n different ids in order.
func many(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("99999999-0000-0000-0000-%012d", i)
	}
	return ids
}

func TestGroups(t *testing.T) {
	s := graphtest.New()
	s.User(tenantA, alice, group2, strings.ToUpper(group1), group2)
	s.App(tenantA, worker, group1)
	s.User(tenantB, alice)
	c := open(t, s, nil)
	app := user(worker)
	app.Kind = policy.PrincipalApp
	elsewhere := user(alice)
	elsewhere.TenantID = tenantB
	device := user(alice)
	device.Kind = policy.PrincipalUnknown
	stranger := user(alice)
	stranger.TenantID = worker
	for name, tc := range map[string]struct {
		who  directory.Caller
		want []string
		err  error
	}{
		"a user's, in order, in lower case, once each": {who: user(alice), want: []string{group1, group2}},
		"a service principal's":                        {who: app, want: []string{group1}},
		"none, in a tenant where the user has none":    {who: elsewhere, want: []string{}},
		"a user whom nobody knows":                     {who: user(group1), err: directory.ErrUnknownPrincipal},
		"an application asked for as a user":           {who: user(worker), err: directory.ErrUnknownPrincipal},
		"a device":                                     {who: device, err: directory.ErrUnknownPrincipal},
		"a path for an object id":                      {who: user("../" + alice[3:]), err: directory.ErrUnknownPrincipal},
		"a tenant that is not configured":              {who: stranger, err: directory.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := c.Groups(t.Context(), tc.who)
			if !errors.Is(err, tc.err) || !slices.Equal(m.Groups, tc.want) || (m.Groups == nil) != (tc.want == nil) {
				t.Fatalf("%v, %v", m.Groups, err)
			}
			if err == nil && (m.Source != "graph" || time.Since(m.At) > time.Minute) {
				t.Errorf("%+v", m)
			}
		})
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	list := func(body string) graphtest.Response { return graphtest.Response{Status: 200, Body: body} }
	for name, tc := range map[string]struct {
		answer graphtest.Response
		retry  bool
		err    error // nil means ErrUnavailable
	}{
		"401":                                {answer: graphtest.Refusal(401, "InvalidAuthenticationToken")},
		"403":                                {answer: graphtest.Refusal(403, "Authorization_RequestDenied")},
		"404 of the principal":               {answer: graphtest.Refusal(404, "Request_ResourceNotFound"), err: directory.ErrUnknownPrincipal},
		"404 of something between":           {answer: graphtest.Refusal(404, "PageNotFound")},
		"404 without a body":                 {answer: graphtest.Response{Status: 404}},
		"400 for another reason":             {answer: graphtest.Refusal(400, "Request_BadRequest")},
		"410":                                {answer: graphtest.Refusal(410, "Gone")},
		"500":                                {answer: graphtest.Refusal(500, "InternalServerError"), retry: true},
		"502":                                {answer: graphtest.Response{Status: 502, Body: "<html>"}, retry: true},
		"503":                                {answer: graphtest.Response{Status: 503}, retry: true},
		"429":                                {answer: graphtest.Response{Status: 429, Header: map[string]string{"Retry-After": "7"}}, retry: true},
		"a redirect":                         {answer: graphtest.Response{Status: 302, Header: map[string]string{"Location": "http://127.0.0.1:1/"}}},
		"204":                                {answer: graphtest.Response{Status: 204}},
		"an empty object":                    {answer: list(`{}`)},
		"no list":                            {answer: list(`{"value":null}`)},
		"a list cut short":                   {answer: list(`{"value":["` + group1 + `"`)},
		"text after the list":                {answer: list(`{"value":[]}{`)},
		"a number among the ids":             {answer: list(`{"value":[1]}`)},
		"an object among the ids":            {answer: list(`{"value":[{"id":"` + group1 + `"}]}`)},
		"a name among the ids":               {answer: list(`{"value":["Admins"]}`)},
		"an empty id":                        {answer: list(`{"value":[""]}`)},
		"a web page":                         {answer: graphtest.Response{Status: 200, Header: map[string]string{"Content-Type": "text/html"}, Body: `{"value":[]}`}},
		"an answer longer than 2 MiB":        {answer: list(`{"value":["` + strings.Repeat("x", 2<<20) + `"]}`)},
		"an error in the form of an answer":  {answer: list(`{"error":{"code":"x"}}`)},
		"an array in the place of an object": {answer: list(`[]`)},
	} {
		t.Run(name, func(t *testing.T) {
			s := graphtest.New()
			s.User(tenantA, alice, group1)
			s.Script("/users/"+alice, tc.answer)
			m, err := open(t, s, nil).Groups(t.Context(), user(alice))
			want := tc.err
			if want == nil {
				want = directory.ErrUnavailable
			}
			if !errors.Is(err, want) || m.Groups != nil {
				t.Fatalf("%v, %v; want %v", m, err, want)
			}
			var again *directory.RetryError
			if errors.As(err, &again) != tc.retry {
				t.Errorf("%v: worth another try: %v; want %v", err, !tc.retry, tc.retry)
			}
			for _, secret := range []string{"canary", "Canary", alice, "http"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%q shows %q", err, secret)
				}
			}
			if n := len(s.Requests()); n != 1 {
				t.Errorf("%d requests: %q", n, s.Requests())
			}
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	target := graphtest.New()
	s := graphtest.New()
	s.User(tenantA, alice, group1)
	at := target.Start(t)
	s.Script("/users/"+alice, graphtest.Response{Status: 307, Header: map[string]string{"Location": at + "/users/" + alice + "/getMemberGroups"}})
	if _, err := open(t, s, nil).Groups(t.Context(), user(alice)); !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if n := len(target.Requests()); n != 0 {
		t.Errorf("%d requests went there", n)
	}
}

func TestPages(t *testing.T) {
	ids := many(graphtest.MaxMemberGroups + 1)
	for name, tc := range map[string]struct {
		prepare func(s *graphtest.Server)
		config  func(*graph.Config)
		err     bool
		gets    int
	}{
		"11 001 groups come in pages, without the roles among them": {gets: 12},
		"only those for security":                                   {config: func(c *graph.Config) { c.SecurityOnly = true }, gets: 12},
		"more than allowed":                                         {config: func(c *graph.Config) { c.MaxGroups = 11_000 }, err: true, gets: 12},
		"a budget that does not suffice":                            {config: func(c *graph.Config) { c.Units = 8 }, err: true, gets: 6},
		"a foreign link":                                            {prepare: relink("http://127.0.0.1", "http://127.0.0.2"), err: true, gets: 1},
		"a link to another port":                                    {prepare: relink("/v1.0", "0/v1.0"), err: true, gets: 1},
		"a link to another scheme":                                  {prepare: relink("http:", "https:"), err: true, gets: 1},
		"a link to another path":                                    {prepare: relink("/v1.0/", "/beta/"), err: true, gets: 1},
		"a link out of the path":                                    {prepare: relink("/v1.0/", "/v1.0/../beta/"), err: true, gets: 1},
		"a link out of the path, escaped":                           {prepare: relink("/v1.0/", "/v1.0/%2e%2e/beta/"), err: true, gets: 1},
		"a link with a user":                                        {prepare: relink("http://", "http://a@"), err: true, gets: 1},
		"a link without a host":                                     {prepare: func(s *graphtest.Server) { s.NextLink(func(string) string { return "/v1.0/users" }) }, err: true, gets: 1},
		"a link that leads back":                                    {prepare: leadBack, err: true, gets: 2},
		"a link that is gone once": {prepare: func(s *graphtest.Server) {
			once := sync.Once{}
			s.Intercept(func(w http.ResponseWriter, r *http.Request) (gone bool) {
				if strings.Contains(r.URL.RawQuery, "1998") {
					once.Do(func() { w.WriteHeader(http.StatusGone); gone = true })
				}
				return gone
			})
		}, gets: 15},
		"a link that is gone again": {prepare: func(s *graphtest.Server) {
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.RawQuery, "1998") {
					return false
				}
				w.WriteHeader(http.StatusGone)
				return true
			})
		}, err: true, gets: 6},
		"a throttled page": {prepare: func(s *graphtest.Server) {
			s.Intercept(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.Contains(r.URL.RawQuery, "1998") {
					return false
				}
				w.Header().Set("Retry-After", "3")
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			})
		}, err: true, gets: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := graphtest.New()
			s.User(tenantA, alice, ids...)
			if tc.prepare != nil {
				tc.prepare(s)
			}
			m, err := open(t, s, tc.config).Groups(t.Context(), user(alice))
			switch {
			case tc.err && (!errors.Is(err, directory.ErrUnavailable) || m.Groups != nil):
				t.Errorf("%d groups, %v", len(m.Groups), err)
			case !tc.err && (err != nil || !slices.Equal(m.Groups, ids)):
				t.Errorf("%d groups, %v", len(m.Groups), err)
			}
			gets := 0
			for _, r := range s.Requests() {
				if strings.HasPrefix(r, "GET ") {
					gets++
				}
			}
			if gets != tc.gets {
				t.Errorf("%d pages; want %d", gets, tc.gets)
			}
		})
	}
}

// relink replaces a part of the links to further pages.
func relink(old, by string) func(*graphtest.Server) {
	return func(s *graphtest.Server) {
		s.NextLink(func(link string) string { return strings.Replace(link, old, by, 1) })
	}
}

// leadBack makes all links the first one.
func leadBack(s *graphtest.Server) {
	first := ""
	s.NextLink(func(link string) string {
		if first == "" {
			first = link
		}
		return first
	})
}

func TestAHangingGraphEndsWithTheTimeout(t *testing.T) {
	s := graphtest.New()
	s.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
		return true
	})
	c := open(t, s, func(c *graph.Config) { c.Timeout = 50 * time.Millisecond })
	_, err := c.Groups(t.Context(), user(alice))
	var again *directory.RetryError
	if !errors.Is(err, directory.ErrUnavailable) || !errors.As(err, &again) {
		t.Errorf("%v", err)
	}
}

func TestTheCallersDeadlineIsObeyed(t *testing.T) {
	s := graphtest.New()
	s.Intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
		return true
	})
	c := open(t, s, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	started := time.Now()
	if _, err := c.Groups(ctx, user(alice)); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	c.Close()
	if _, err := c.Groups(t.Context(), user(alice)); !errors.Is(err, directory.ErrUnavailable) {
		t.Errorf("closed: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil func(*graph.Config)
		want  string
	}{
		"no tenants":             {func(c *graph.Config) { c.Tenants = nil }, "no tenants"},
		"a tenant by name":       {func(c *graph.Config) { c.Tenants = []string{"contoso.com"} }, "not a GUID"},
		"an unknown cloud":       {func(c *graph.Config) { c.Cloud = "mars" }, "unknown cloud"},
		"plain http":             {func(c *graph.Config) { c.BaseURL = "http://graph.microsoft.com/v1.0" }, "must be https"},
		"http to a name":         {func(c *graph.Config) { c.BaseURL = "http://localhost/v1.0" }, "must be https"},
		"a query":                {func(c *graph.Config) { c.BaseURL = "https://graph.microsoft.com/v1.0?x=1" }, "nothing else"},
		"units for nothing":      {func(c *graph.Config) { c.Units = 1 }, "do not pay"},
		"a negative number":      {func(c *graph.Config) { c.Parallel = -1 }, "negative"},
		"a negative time":        {func(c *graph.Config) { c.Timeout = -1 }, "negative"},
		"no source of tokens":    {nil, "no source of tokens"},
		"credentials in the URL": {func(c *graph.Config) { c.BaseURL = "https://a:b@graph.microsoft.com/v1.0" }, "nothing else"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := graph.Config{Tenants: []string{tenantA}}
			var tokens graph.TokenSource
			if tc.spoil != nil {
				tc.spoil(&cfg)
				tokens = graphtest.Tokens{}
			}
			if _, err := graph.New(tokens, cfg); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q", err, tc.want)
			}
		})
	}
	for _, cloud := range []string{"", "global", "usgov", "china"} {
		c, err := graph.New(graphtest.Tokens{}, graph.Config{Cloud: cloud, Tenants: []string{tenantA}})
		if err != nil {
			t.Errorf("cloud %q: %v", cloud, err)
			continue
		}
		c.Close()
	}
}

func TestATokenPrintsAsItsPlace(t *testing.T) {
	token := graph.AccessToken("canary")
	text, err := token.MarshalText()
	for _, s := range []string{fmt.Sprint(token), fmt.Sprintf("%v %+v %#v %s %q", token, token, token, token, token), string(text), token.LogValue().String()} {
		if strings.Contains(s, "canary") || err != nil {
			t.Errorf("%s, %v", s, err)
		}
	}
}
