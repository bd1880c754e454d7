package condition

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/request"
)

// paramsFor are the parameters of a path matched by a template, from the engine itself.
func paramsFor(t testing.TB, template, path string) *policy.Params {
	t.Helper()
	s, err := policy.Compile(policy.Facts{
		Revision: 1,
		APIs:     []policy.API{{ID: "orders", Audiences: []string{"a"}}},
		Routes: []policy.Route{{API: "orders", ID: "r", Methods: []string{"GET"}, Template: template,
			Requirement: policy.RequireAuthenticated}},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := new(policy.Params)
	if s.APIByID("orders").Match(request.GET, path, p) == nil {
		t.Fatalf("%s does not match %s", template, path)
	}
	return p
}

const aliceID = "bbbbbbbb-0001-4000-8000-000000000001"

// alice asks for one of her orders, on a Wednesday at half past ten UTC.
func alice(t testing.TB) *policy.Input {
	return &policy.Input{
		Now:    time.Date(2026, 3, 4, 10, 30, 15, 0, time.UTC),
		Method: "GET", Host: "orders.example.com", Path: "/users/" + aliceID + "/orders/42",
		Params:   paramsFor(t, "/users/{user}/orders/{id}", "/users/"+aliceID+"/orders/42"),
		SourceIP: netip.MustParseAddr("10.1.2.3"),
		Resource: "EU-4711",
		Principal: &policy.Principal{Kind: policy.PrincipalUser, TenantID: "11111111-1111-4111-8111-111111111111", ObjectID: aliceID,
			ClientID: "33333333-3333-4333-8333-333333333333", Scopes: []string{"Orders.Access", "Orders.Read"},
			Roles: []string{"Orders.Approver"}, Groups: []string{"g-readers", "g-writers"}},
	}
}

func mustCompile(t testing.TB, source string) policy.Condition {
	t.Helper()
	c, err := Compile(source)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return c
}

func TestHolds(t *testing.T) {
	for name, tc := range map[string]struct {
		source string
		want   bool
		err    error
	}{
		"the method":                             {source: `request.method == "GET"`, want: true},
		"another method":                         {source: `request.method == "POST"`},
		"the host":                               {source: `request.host == "orders.example.com"`, want: true},
		"the path":                               {source: `request.path.startsWith("/users/")`, want: true},
		"a parameter by index":                   {source: `request.params["id"] == "42"`, want: true},
		"a parameter by name":                    {source: `request.params.id == "42"`, want: true},
		"a parameter that is not there":          {source: `request.params.order == "42"`, err: ErrNotComputed},
		"has of a parameter":                     {source: `has(request.params.id)`, want: true},
		"has of one that is not there":           {source: `has(request.params.order)`},
		"a parameter's name in the parameters":   {source: `"id" in request.params && !("order" in request.params)`, want: true},
		"a number is no parameter's name":        {source: `request.params.size() == 2 && request.params.exists(n, request.params[n] == "42")`, want: true},
		"parameters compare with a map":          {source: fmt.Sprintf(`request.params == {"id": "42", "user": %q}`, aliceID), want: true},
		"a map compares with parameters":         {source: fmt.Sprintf(`{"id": "42", "user": %q} == request.params`, aliceID), want: true},
		"a map with another value":               {source: fmt.Sprintf(`request.params == {"id": "43", "user": %q}`, aliceID)},
		"a map with other names":                 {source: `request.params == {"id": "42", "customer": "x"}`},
		"a smaller map":                          {source: `request.params == {"id": "42"}`},
		"parameters compare with themselves":     {source: `request.params == request.params`, want: true},
		"every parameter":                        {source: `request.params.all(n, n in ["id", "user"])`, want: true},
		"the source address":                     {source: `request.source_ip == "10.1.2.3"`, want: true},
		"the resource":                           {source: `resource.id.startsWith("EU-")`, want: true},
		"the kind":                               {source: `principal.kind == "user"`, want: true},
		"the tenant":                             {source: `principal.tenant_id == "11111111-1111-4111-8111-111111111111"`, want: true},
		"the object id":                          {source: `principal.object_id == request.params.user`, want: true},
		"the client":                             {source: `principal.client_id == "33333333-3333-4333-8333-333333333333"`, want: true},
		"a scope":                                {source: `"Orders.Read" in principal.scopes`, want: true},
		"a role":                                 {source: `"Orders.Approver" in principal.roles`, want: true},
		"a group":                                {source: `"g-writers" in principal.groups`, want: true},
		"a group of others":                      {source: `"g-admins" in principal.groups`},
		"exists":                                 {source: `principal.groups.exists(g, g.endsWith("readers"))`, want: true},
		"all":                                    {source: `principal.groups.all(g, g.endsWith("readers"))`},
		"all of nothing":                         {source: `[].all(g, false)`, want: true},
		"the size of a list":                     {source: `size(principal.groups) == 2`, want: true},
		"an item of a list":                      {source: `principal.roles[0] == "Orders.Approver"`, want: true},
		"an item that is not there":              {source: `principal.roles[1] == "x"`, err: ErrNotComputed},
		"has of what is set":                     {source: `has(request.source_ip) && has(principal.groups) && has(resource.id) && has(request.params)`, want: true},
		"now compares with instants":             {source: `now >= timestamp("2026-03-04T10:30:15Z") && now < timestamp("2026-03-04T10:30:16Z")`, want: true},
		"now and durations":                      {source: `now - duration("24h") < timestamp("2026-03-04T00:00:00Z")`, want: true},
		"now in UTC":                             {source: `now.getHours() == 10 && now.getMinutes() == 30 && now.getSeconds() == 15 && now.getDayOfWeek() == 3`, want: true},
		"now in a zone":                          {source: `now.getHours("Europe/Berlin") == 11`, want: true},
		"now with an offset":                     {source: `now.getHours("-11:30") == 23 && now.getMinutes("-11:30") == 0 && now.getDate("-11:30") == 3`, want: true},
		"now with an offset to the east":         {source: `now.getHours("+05:30") == 16 && now.getMinutes("05:30") == 0`, want: true},
		"the date of a zone":                     {source: `now.getFullYear("UTC") == 2026 && now.getMonth("UTC") == 2 && now.getDate("UTC") == 4 && now.getDayOfMonth("UTC") == 3 && now.getDayOfYear("UTC") == 62 && now.getDayOfWeek("UTC") == 3`, want: true},
		"the rest of a zone":                     {source: `now.getSeconds("UTC") == 15 && now.getMilliseconds("UTC") == 0`, want: true},
		"a pattern":                              {source: `request.path.matches("^/users/[0-9a-f-]{36}/orders/[0-9]+$")`, want: true},
		"a pattern, as a function":               {source: `matches(resource.id, "^US-")`},
		"a leading dot":                          {source: `.request.method == "GET"`, want: true},
		"several lines":                          {source: "request.method == \"GET\" &&\n  // comment\n  resource.id != \"\"", want: true},
		"a constant":                             {source: `true`, want: true},
		"a division by zero":                     {source: `1 / (size(principal.groups) - 2) == 1`, err: ErrNotComputed},
		"a text that is no instant":              {source: `timestamp(resource.id) < now`, err: ErrNotComputed},
		"a text that is no number":               {source: `int(resource.id) > 1`, err: ErrNotComputed},
		"an overflow":                            {source: `9223372036854775807 + size(principal.groups) > 0`, err: ErrNotComputed},
		"true or an error":                       {source: `request.method == "GET" || request.params.order == "1"`, want: true},
		"an error or true":                       {source: `request.params.order == "1" || request.method == "GET"`, want: true},
		"false or an error":                      {source: `request.method == "PUT" || request.params.order == "1"`, err: ErrNotComputed},
		"false and an error":                     {source: `request.method == "PUT" && request.params.order == "1"`},
		"a branch that is not taken never fails": {source: `has(request.params.order) ? request.params.order == "1" : true`, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := mustCompile(t, tc.source).Holds(alice(t))
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%s: %v, %v; want %v, %v", tc.source, got, err, tc.want, tc.err)
			}
		})
	}
}

func TestHoldsWithWhatIsNotKnown(t *testing.T) {
	for name, tc := range map[string]struct {
		source string
		change func(*policy.Input)
		want   bool
		err    error
	}{
		"no source address":                     {`request.source_ip == "10.1.2.3"`, func(in *policy.Input) { in.SourceIP = netip.Addr{} }, false, ErrSourceIPUnknown},
		"no source address, not equal either":   {`request.source_ip != "10.1.2.3"`, func(in *policy.Input) { in.SourceIP = netip.Addr{} }, false, ErrSourceIPUnknown},
		"no source address in a network":        {`!ip_in(request.source_ip, "10.0.0.0/8")`, func(in *policy.Input) { in.SourceIP = netip.Addr{} }, false, ErrSourceIPUnknown},
		"no source address, asked for":          {`has(request.source_ip)`, func(in *policy.Input) { in.SourceIP = netip.Addr{} }, false, nil},
		"no source address, not needed":         {`request.method == "GET" || ip_in(request.source_ip, "10.0.0.0/8")`, func(in *policy.Input) { in.SourceIP = netip.Addr{} }, true, nil},
		"no parameters":                         {`request.params.id == "42"`, func(in *policy.Input) { in.Params = nil }, false, ErrNotComputed},
		"no parameters, asked for":              {`has(request.params) || has(request.params.id) || "id" in request.params`, func(in *policy.Input) { in.Params = nil }, false, nil},
		"no parameters are an empty map":        {`request.params == {} && size(request.params) == 0 && request.params.all(n, false)`, func(in *policy.Input) { in.Params = nil }, true, nil},
		"empty parameters":                      {`request.params == {} && !has(request.params)`, func(in *policy.Input) { in.Params = new(policy.Params) }, true, nil},
		"no principal":                          {`principal.object_id == ""`, func(in *policy.Input) { in.Principal = nil }, false, ErrNotComputed},
		"no principal has no groups to compare": {`!("g" in principal.groups)`, func(in *policy.Input) { in.Principal = nil }, false, ErrNotComputed},
		"no principal, asked for":               {`has(principal.object_id) || has(principal.kind)`, func(in *policy.Input) { in.Principal = nil }, false, nil},
		"a kind nobody set":                     {`principal.kind != "user"`, func(in *policy.Input) { in.Principal.Kind = policy.PrincipalUnknown }, false, ErrNotComputed},
		"an application":                        {`principal.kind == "app"`, func(in *policy.Input) { in.Principal.Kind = policy.PrincipalApp }, true, nil},
		"no groups":                             {`!has(principal.groups) && !("g" in principal.groups) && size(principal.groups) == 0`, func(in *policy.Input) { in.Principal.Groups = nil }, true, nil},
		"no resource":                           {`!has(resource.id) && resource.id == ""`, func(in *policy.Input) { in.Resource = "" }, true, nil},
		"now in another zone is the same now":   {`now.getHours() == 10`, func(in *policy.Input) { in.Now = in.Now.In(time.FixedZone("x", 7200)) }, true, nil},
		"now in winter and in summer":           {`now.getHours("Europe/Berlin") == 12`, func(in *policy.Input) { in.Now = in.Now.AddDate(0, 4, 0) }, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			in := alice(t)
			tc.change(in)
			got, err := mustCompile(t, tc.source).Holds(in)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Errorf("%s: %v, %v; want %v, %v", tc.source, got, err, tc.want, tc.err)
			}
		})
	}
}

// Errors go to logs and to callers; what a condition reads is a claim or part of a request.
func TestErrorsCarryNoValues(t *testing.T) {
	const secret = "s3cr3t"
	in := alice(t)
	in.Resource, in.Host, in.Path = secret, secret, secret
	in.Principal.ObjectID, in.Principal.Groups = secret, []string{secret}
	for _, source := range []string{
		`request.params[principal.object_id] == "x"`, `timestamp(resource.id) < now`, `duration(request.host) == duration("1h")`,
		`int(request.path) == 1`, `ip_in(resource.id, "10.0.0.0/8")`, `ip_in("10.0.0.1", resource.id)`, `{"a": 1}[resource.id] == 1`,
		`principal.groups[7] == resource.id`, `double(principal.groups[0]) > 1.0`, `bool(resource.id)`,
	} {
		holds, err := mustCompile(t, source).Holds(in)
		if holds || !errors.Is(err, ErrNotComputed) {
			t.Errorf("%s: %v, %v", source, holds, err)
		} else if strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
			t.Errorf("%s: the error says %v", source, err)
		}
	}
}

func TestHardCostLimit(t *testing.T) {
	in := alice(t)
	for range 20_000 { // more than the estimate reckons with
		in.Principal.Groups = append(in.Principal.Groups, "ffffffff-0000-4000-8000-000000000000")
	}
	c := mustCompile(t, `principal.groups.all(g, g != "ffffffff-0000-4000-8000-000000000001") && principal.groups.all(g, g.size() == 36 || g != "")`)
	start := time.Now()
	holds, err := c.Holds(in)
	if holds || !errors.Is(err, ErrCostExceeded) {
		t.Fatalf("%v, %v", holds, err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	in.Principal.Groups = in.Principal.Groups[:10]
	if holds, err := c.Holds(in); !holds || err != nil {
		t.Errorf("the same condition with few groups: %v, %v", holds, err)
	}
}

// Patterns are charged by what they do, so that a long text under a pattern that is a lot of work ends in an error.
func TestPatternsAreCharged(t *testing.T) {
	c := mustCompile(t, `resource.id.matches("^(a*b*){45}$")`)
	in := alice(t)
	in.Resource = strings.Repeat("ab", 30)
	if holds, err := c.Holds(in); !holds || err != nil {
		t.Errorf("a short text: %v, %v", holds, err)
	}
	in.Resource = strings.Repeat("ab", 10_000)
	if holds, err := c.Holds(in); holds || !errors.Is(err, ErrCostExceeded) {
		t.Errorf("a long text: %v, %v", holds, err)
	}
}

func TestSameInputSameAnswer(t *testing.T) {
	c := mustCompile(t, `now.getHours("Europe/Berlin") == 11 && principal.groups.exists(g, g == "g-writers") && request.params.id == "42" && ip_in(request.source_ip, "10.0.0.0/8")`)
	in := alice(t)
	other := alice(t)
	other.Principal.Groups = nil
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 200 {
				if holds, err := c.Holds(in); !holds || err != nil {
					t.Errorf("%v, %v", holds, err)
					return
				}
				if holds, err := c.Holds(other); holds || err != nil {
					t.Errorf("the other one: %v, %v", holds, err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// Every decision under a condition pays this; the rest is the evaluator's own bookkeeping.
func TestNothingIsCopiedToEvaluate(t *testing.T) {
	const most = 12 // the race detector adds a few
	in := alice(t)
	for _, source := range []string{
		`request.method == "GET"`, `request.params.user == principal.object_id`, `ip_in(request.source_ip, "10.0.0.0/8")`,
		`now.getHours("Europe/Berlin") < 18`, `"g-writers" in principal.groups`, `request.path.matches("^/users/.*/orders/.+$")`,
	} {
		c := mustCompile(t, source)
		if got := testing.AllocsPerRun(100, func() { _, _ = c.Holds(in) }); got > most {
			t.Errorf("%s: %v allocations; at most %v", source, got, most)
		}
	}
}

func BenchmarkHolds(b *testing.B) {
	in := alice(b)
	for name, source := range map[string]string{
		"method":  `request.method == "GET"`,
		"own":     `request.params.user == principal.object_id`,
		"network": `ip_in(request.source_ip, "10.0.0.0/8")`,
		"hours":   `now.getHours("Europe/Berlin") >= 8 && now.getHours("Europe/Berlin") < 18`,
		"pattern": `request.path.matches("^/users/.*/orders/.+$")`,
	} {
		b.Run(name, func(b *testing.B) {
			c := mustCompile(b, source)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = c.Holds(in)
			}
		})
	}
}
