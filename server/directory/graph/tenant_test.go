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
	"testing/synctest"
	"time"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/graph"
	"github.com/verdict-authz/verdict/server/directory/graphtest"
)

// still makes a client whose clock stands until somebody sleeps.
func still(t *testing.T, s *graphtest.Server, change func(*graph.Config)) *graph.Client {
	t.Helper()
	cfg := graph.Config{Tenants: []string{tenantA, tenantB}, BaseURL: graphtest.Base, Transport: s.Transport(), Units: 100_000}
	if change != nil {
		change(&cfg)
	}
	c, err := graph.New(graphtest.Tokens{}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// someone is one of many users.
func someone(i int) string { return fmt.Sprintf("11111111-0000-0000-0000-%012d", i) }

// crowd asks for n users at once while one request is held, so that the others wait for it.
func crowd(t *testing.T, s *graphtest.Server, c *graph.Client, n int) ([]directory.Membership, []error) {
	t.Helper()
	hold := make(chan struct{})
	first := true
	s.Intercept(func(http.ResponseWriter, *http.Request) bool {
		if first {
			first = false
			<-hold
		}
		return false
	})
	found, errs := make([]directory.Membership, n), make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { found[i], errs[i] = c.Groups(context.Background(), user(someone(i))) })
		synctest.Wait() // in this order
	}
	close(hold)
	all.Wait()
	return found, errs
}

func one(c *graph.Config) { c.Parallel = 1 }

func TestWhoWaitsIsAskedForInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := graphtest.New()
		const n = 50
		for i := range n {
			s.User(tenantA, someone(i), many(i)...)
		}
		c := still(t, s, one)
		defer c.Close()
		found, errs := crowd(t, s, c, n)
		for i, m := range found {
			if errs[i] != nil || !slices.Equal(m.Groups, many(i)) {
				t.Errorf("user %d: %d groups, %v", i, len(m.Groups), errs[i])
			}
		}
		if got, want := s.Batches(), []int{20, 20, 9}; !slices.Equal(got, want) {
			t.Errorf("batches of %v; want %v", got, want)
		}
	})
}

func TestEachPartOfABatchHasItsOwnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := graphtest.New()
		const n = 8
		for i := range n - 1 { // nobody knows the last
			s.User(tenantA, someone(i), many(2)...)
		}
		s.User(tenantA, someone(1), many(graphtest.MaxMemberGroups+1)...)
		s.Script("/users/"+someone(2), graphtest.Refusal(403, "Authorization_RequestDenied"))
		s.Script("/users/"+someone(3), graphtest.Response{Status: 500})
		s.Script("/users/"+someone(4), graphtest.Response{}) // left out
		s.Script("/users/"+someone(5), graphtest.Response{Status: 200, Body: `{"value":null}`})
		c := still(t, s, one)
		defer c.Close()
		found, errs := crowd(t, s, c, n)
		for i, want := range []error{
			nil, nil, directory.ErrUnavailable, directory.ErrUnavailable, directory.ErrUnavailable, directory.ErrUnavailable,
			nil, directory.ErrUnknownPrincipal,
		} {
			size := 2
			if i == 1 {
				size = graphtest.MaxMemberGroups + 1
			}
			switch {
			case !errors.Is(errs[i], want):
				t.Errorf("user %d: %v; want %v", i, errs[i], want)
			case want != nil && found[i].Groups != nil, want == nil && len(found[i].Groups) != size:
				t.Errorf("user %d: %d groups", i, len(found[i].Groups))
			}
			var again *directory.RetryError
			if errors.As(errs[i], &again) != (i == 3 || i == 4) {
				t.Errorf("user %d: %v", i, errs[i])
			}
		}
	})
}

func TestAThrottledPartClosesTheTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := graphtest.New()
		for i := range 3 {
			s.User(tenantA, someone(i), group1)
			s.User(tenantB, someone(i), group2)
		}
		slow := graphtest.Refusal(429, "TooManyRequests")
		slow.Header = map[string]string{"Retry-After": "12"}
		s.Script("/users/"+someone(1), slow)
		c := still(t, s, one)
		defer c.Close()
		_, errs := crowd(t, s, c, 3)
		var again *directory.RetryError
		if errs[0] != nil || errs[2] != nil || !errors.As(errs[1], &again) || again.After != 12*time.Second {
			t.Fatalf("%v", errs)
		}
		requests := len(s.Requests())
		time.Sleep(11 * time.Second)
		if _, err := c.Groups(t.Context(), user(someone(0))); !errors.As(err, &again) || again.After != time.Second {
			t.Errorf("after 11 s: %v", err)
		}
		if n := len(s.Requests()); n != requests {
			t.Errorf("a closed tenant was asked %d times", n-requests)
		}
		if _, closed := c.Throttle(tenantA); !closed {
			t.Error("it does not tell")
		}
		other := user(someone(0))
		other.TenantID = tenantB
		if m, err := c.Groups(t.Context(), other); err != nil || !slices.Equal(m.Groups, []string{group2}) {
			t.Errorf("another tenant: %v, %v", m, err)
		}
		time.Sleep(time.Second)
		if _, err := c.Groups(t.Context(), user(someone(0))); err != nil {
			t.Errorf("after 12 s: %v", err)
		}
	})
}

func TestWholeBatchesThatFail(t *testing.T) {
	for name, tc := range map[string]struct {
		answer graphtest.Response
		retry  bool
	}{
		"404 of the batch":            {graphtest.Refusal(404, "Request_ResourceNotFound"), false},
		"429":                         {graphtest.Refusal(429, "TooManyRequests"), true},
		"500":                         {graphtest.Response{Status: 500}, true},
		"no list of answers":          {graphtest.Response{Status: 200, Body: `{}`}, true},
		"not JSON":                    {graphtest.Response{Status: 200, Body: `x`}, false},
		"an answer nobody asked for":  {graphtest.Response{Status: 200, Body: `{"responses":[{"id":"7","status":200,"body":{"value":[]}}]}`}, false},
		"the same answer twice":       {graphtest.Response{Status: 200, Body: `{"responses":[{"id":"0","status":200,"body":{"value":[]}},{"id":"0","status":200,"body":{"value":[]}},{"id":"0","status":200,"body":{"value":[]}}]}`}, true},
		"an answer with a wrong type": {graphtest.Response{Status: 200, Body: `{"responses":[{"id":"0","status":"200"}]}`}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := graphtest.New()
				s.ScriptWhole(graphtest.Response{Status: 200, Body: `{"value":[]}`}, tc.answer)
				c := still(t, s, one)
				defer c.Close()
				found, errs := crowd(t, s, c, 3)
				if errs[0] != nil {
					t.Fatalf("the first: %v", errs[0])
				}
				for i := 1; i < 3; i++ {
					var again *directory.RetryError
					if !errors.Is(errs[i], directory.ErrUnavailable) || found[i].Groups != nil || errors.As(errs[i], &again) != tc.retry {
						t.Errorf("%v, %v", found[i], errs[i])
					}
				}
			})
		})
	}
}

func TestTheBudgetIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := graphtest.New()
		s.User(tenantA, alice, group1)
		c := still(t, s, func(c *graph.Config) { c.Units = 20 }) // ten lookups in 10 s
		defer c.Close()
		ask := func() error {
			_, err := c.Groups(t.Context(), user(alice))
			return err
		}
		for i := range 10 {
			if err := ask(); err != nil {
				t.Fatalf("lookup %d: %v", i, err)
			}
		}
		err := ask()
		var again *directory.RetryError
		if !errors.As(err, &again) || !errors.Is(err, directory.ErrUnavailable) || again.After > 1100*time.Millisecond {
			t.Fatalf("the eleventh: %v", err)
		}
		time.Sleep(again.After)
		if err := ask(); err != nil {
			t.Errorf("after %v: %v", again.After, err)
		}
		if err := ask(); err == nil {
			t.Error("two for the price of one")
		}
		time.Sleep(time.Hour)
		passed := 0
		for range 30 {
			if ask() == nil {
				passed++
			}
		}
		if passed != 10 {
			t.Errorf("%d lookups at once after an hour; want 10", passed)
		}
		if n := len(s.Requests()); n != 21 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for name, tc := range map[string]struct {
		status int
		header func() string
		want   []time.Duration // of refusals in a row
	}{
		"in seconds":      {429, func() string { return "7" }, []time.Duration{7 * time.Second}},
		"as a date":       {429, func() string { return time.Now().Add(9 * time.Second).UTC().Format(http.TimeFormat) }, []time.Duration{9 * time.Second}},
		"with 503":        {503, func() string { return "3" }, []time.Duration{3 * time.Second}},
		"zero":            {429, func() string { return "0" }, []time.Duration{time.Second}},
		"in the past":     {429, func() string { return time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat) }, []time.Duration{time.Second}},
		"a day":           {429, func() string { return "86400" }, []time.Duration{10 * time.Minute}},
		"negative":        {429, func() string { return "-7" }, []time.Duration{time.Second, 2 * time.Second}},
		"absent, growing": {429, func() string { return "" }, []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := graphtest.New()
				c := still(t, s, nil)
				defer c.Close()
				for i, want := range tc.want {
					r := graphtest.Response{Status: tc.status}
					if h := tc.header(); h != "" {
						r.Header = map[string]string{"Retry-After": h}
					}
					s.ScriptWhole(r)
					_, err := c.Groups(t.Context(), user(alice))
					var again *directory.RetryError
					if !errors.As(err, &again) || again.After != want {
						t.Fatalf("refusal %d: %v; want %v", i+1, err, want)
					}
					time.Sleep(again.After)
				}
			})
		})
	}
}

func TestGraphsOwnMeasureIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := graphtest.New()
		s.ScriptWhole(graphtest.Response{Status: 200, Header: map[string]string{"x-ms-throttle-limit-percentage": "0.9"}, Body: `{"value":[]}`})
		c := still(t, s, nil)
		defer c.Close()
		if _, err := c.Groups(t.Context(), user(alice)); err != nil {
			t.Fatal(err)
		}
		if share, closed := c.Throttle(tenantA); share != 0.9 || closed {
			t.Errorf("%v, %v", share, closed)
		}
	})
}

// angry is a source of tokens that has none.
type angry struct{}

func (angry) Token(context.Context, string) (graph.AccessToken, error) {
	return "canary", errors.New("AADSTS700016")
}

func TestWithoutATokenThereIsNoAnswer(t *testing.T) {
	s := graphtest.New()
	c, err := graph.New(angry{}, graph.Config{Tenants: []string{tenantA}, BaseURL: s.Start(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Groups(t.Context(), user(alice))
	if !errors.Is(err, directory.ErrUnavailable) || !strings.Contains(err.Error(), "AADSTS700016") || strings.Contains(err.Error(), "canary") {
		t.Errorf("%v", err)
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}
