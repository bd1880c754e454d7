package condition

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

func TestCompileRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ source, says string }{
		"nothing":                                  {"", "empty"},
		"blanks":                                   {" \n", "empty"},
		"what is too long":                         {`"` + strings.Repeat("a", MaxSource-1) + `" == ""`, "at most 2048"},
		"what is not UTF-8":                        {"\"\xff\" == \"\"", "not valid UTF-8"},
		"what is not CEL":                          {`request.method = "GET"`, "line 1, column 16: Syntax error"},
		"half an expression":                       {"request.method ==\n ", "Syntax error"},
		"a misspelt field":                         {`principal.tennant_id == "x"`, "line 1, column 10: principal has no tennant_id; did you mean tenant_id?"},
		"a misspelt field in has":                  {`has(request.sourceip)`, "request has no sourceip; did you mean source_ip?"},
		"a misspelt field on the second line":      {"request.method == \"GET\" &&\n  \"g\" in principal.gropus", "line 2, column 19: principal has no gropus; did you mean groups?"},
		"a field of nothing like it":               {`resource.colour == "x"`, "resource has no colour; there are id"},
		"a claim":                                  {`principal.preferred_username == "x"`, "principal has no preferred_username; there are kind, tenant_id, object_id, client_id, scopes, roles, groups"},
		"a misspelt variable":                      {`principle.kind == "user"`, "there is no principle; did you mean principal?"},
		"a variable of another product":            {`token.sub == "x"`, "there is no token; there are now, principal, request, resource"},
		"a misspelt function":                      {`ip_inn(request.source_ip, "10.0.0.0/8")`, "there is no function ip_inn; did you mean ip_in?"},
		"a misspelt method":                        {`request.path.startWith("/")`, "there is no function startWith; did you mean startsWith?"},
		"a macro that makes lists":                 {`principal.roles.map(r, r) == ["x"]`, "map is not available; use exists, all or has"},
		"a macro that filters":                     {`principal.roles.filter(r, true) == []`, "filter is not available"},
		"dyn, which would undo the types":          {`dyn(principal.kind) == 1`, "there is no function dyn"},
		"type":                                     {`type(now) == timestamp`, "there is no function type"},
		"a variable that hides another":            {`principal.groups.exists(principal, true)`, "principal is a variable already"},
		"a variable outside its macro":             {`principal.groups.exists(g, true) && g == "x"`, "undeclared reference to 'g'"},
		"a text":                                   {`request.method`, "the result is string; a condition is a bool"},
		"a number":                                 {`1`, "the result is int"},
		"null":                                     {`null`, "the result is null"},
		"types that do not compare":                {`principal.kind == 1`, "found no matching overload for '_==_' applied to '(string, int)'"},
		"a list compared with a text":              {`principal.groups == "g"`, "'(list(string), string)'"},
		"an object as a value":                     {`request == request`, "request is not a value; name one of its fields"},
		"an object in a list":                      {`[principal].exists(p, p.kind == "user")`, "principal is not a value"},
		"an object behind a choice":                {`(true ? request : request).method == "GET"`, "request is not a value"},
		"an object that is made":                   {`principal{kind: "user"}.kind == "user"`, "conditions make no objects such as principal{}"},
		"a message that is made":                   {`google.protobuf.Duration{seconds: 1} == null`, "conditions make no objects"},
		"a pattern that is not literal":            {`request.path.matches(resource.id)`, "the pattern of matches is a literal text"},
		"the same as a function":                   {`matches(request.path, resource.id)`, "the pattern of matches is a literal text"},
		"a pattern put together":                   {`request.path.matches("^/" + resource.id)`, "the pattern of matches is a literal text"},
		"a pattern that is none":                   {`request.path.matches("(")`, "missing closing )"},
		"a pattern that is too long":               {`request.path.matches("` + strings.Repeat("a", maxPattern+1) + `")`, "at most 256 characters"},
		"a pattern that grows":                     {`request.path.matches("((a{30}){30}){30}")`, "regexp"},
		"a pattern that grows less":                {`request.path.matches("(a{40}){25}b{900}")`, "exceeds limit"},
		"many patterns that are some work":         {strings.Repeat(`request.path.matches("(.*a){30}") || `, 20) + "false", "may cost up to"},
		"a network with bits after its prefix":     {`ip_in(request.source_ip, "10.0.0.1/8")`, "10.0.0.1/8 has bits after its prefix; the network is 10.0.0.0/8"},
		"an address as a network":                  {`ip_in(request.source_ip, "10.0.0.1")`, "the network of that one address is 10.0.0.1/32"},
		"an IPv6 address as a network":             {`ip_in(request.source_ip, "::1")`, "the network of that one address is ::1/128"},
		"an IPv4 network written as IPv6":          {`ip_in(request.source_ip, "::ffff:10.0.0.0/104")`, "write an IPv4 network as such"},
		"a network of words":                       {`ip_in(request.source_ip, "office")`, `"office" is not a network`},
		"an address of words":                      {`ip_in("office", "10.0.0.0/8")`, `"office" is not an IP address`},
		"a network and an address the wrong way":   {`ip_in("10.0.0.0/8", request.source_ip)`, `"10.0.0.0/8" is not an IP address`},
		"a day as an instant":                      {`now < timestamp("2027-01-01")`, `not a timestamp such as "2027-01-31T08:00:00Z"`},
		"a duration without a unit":                {`now - duration("90") < now`, `not a duration such as "90m"`},
		"a time zone that is none":                 {`now.getHours("Europe/Atlantis") == 1`, `"Europe/Atlantis" is not a time zone`},
		"the time zone of the machine":             {`now.getHours("Local") == 1`, `"Local" is not a time zone`},
		"no time zone":                             {`now.getHours("") == 1`, `"" is not a time zone`},
		"a time zone that is a file":               {`now.getHours("../../etc/passwd") == 1`, "is not a time zone"},
		"an offset of more than a day":             {`now.getHours("+24:00") == 1`, "is not a time zone"},
		"a time zone that is not literal":          {`now.getHours(request.host) == 1`, "the time zone is a literal text"},
		"a loop over groups inside another":        {`principal.groups.all(g, principal.groups.exists(h, g == h))`, "may cost up to 1000"},
		"a loop over roles inside one over groups": {`principal.groups.all(g, principal.roles.exists(h, g == h))`, "may cost up to"},
		"a map of lists of different types":        {`["a", 1].exists(x, true)`, "expected type"},
		"what is nested too deeply":                {strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200), ""},
		"lists nested too deeply":                  {strings.Repeat("[", 300) + strings.Repeat("]", 300) + " == []", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Compile(tc.source)
			var source *SourceError
			if c != nil || !errors.As(err, &source) || !errors.Is(err, policy.ErrInvalid) {
				t.Fatalf("%.80s: compiled to %v, error %v", tc.source, c, err)
			}
			if !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%.80s\n says  %s\n wants %s", tc.source, err, tc.says)
			}
		})
	}
}

func TestCompileAccepts(t *testing.T) {
	for name, source := range map[string]string{
		"2048 characters":                      `"` + strings.Repeat("ä", MaxSource-8) + `" != ""`,
		"the ids of two objects in a path":     `request.path.matches("^/a/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/b/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")`,
		"the longest pattern":                  `resource.id.matches("` + strings.Repeat("a", maxPattern) + `")`,
		"two loops over groups":                `principal.groups.exists(g, g == "bbbbbbbb-0001-4000-8000-000000000001") || principal.groups.all(g, g != "bbbbbbbb-0001-4000-8000-000000000002")`,
		"loops over a list of the condition":   `["a", "b", "c"].exists(p, request.path.startsWith(p) && ["x", "y"].all(q, q != p))`,
		"a loop over parameters with patterns": `request.params.all(n, request.params[n].matches("^[a-z0-9-]{1,64}$"))`,
		"groups against a list":                `principal.groups.exists(g, g in ["a", "b", "c"])`,
		"texts put together":                   `request.path == "/users/" + principal.object_id`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(source); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConfiguredCostLimit(t *testing.T) {
	const source = `"g" in principal.groups`
	small, err := New(Config{CostLimit: 100})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.Compile(source); err == nil || !strings.Contains(err.Error(), "at most 100") {
		t.Errorf("with a limit of 100: %v", err)
	}
	large, err := New(Config{CostLimit: 1_000_000_000})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := large.Compile(`principal.roles.all(g, principal.roles.exists(h, g == h))`); err != nil {
		t.Errorf("with a limit of a billion: %v", err)
	}
}

// What users copy from the guide is accepted, and every variable is in it.
func TestGuide(t *testing.T) {
	text, err := os.ReadFile("../../docs/conditions.md")
	if err != nil {
		t.Fatal(err)
	}
	compiled := 0
	for n, block := range strings.Split(string(text), "```\n") {
		if n%2 == 0 || strings.HasPrefix(block, "line ") { // prose, or a message
			continue
		}
		if _, err := Compile(block); err != nil {
			t.Errorf("%s: %v", block, err)
		}
		compiled++
	}
	if compiled < 6 {
		t.Errorf("only %d examples were found", compiled)
	}
	for _, o := range objects {
		for _, f := range o.fields {
			if row := "| `" + o.name + "." + f.name + "` |"; !strings.Contains(string(text), row) {
				t.Errorf("no row %s", row)
			}
		}
	}
}

// Every field is declared, readable, settled for has() and bounded for the cost estimate.
func TestEveryField(t *testing.T) {
	in := alice(t)
	for _, o := range objects {
		for _, f := range o.fields {
			t.Run(o.name+"."+f.name, func(t *testing.T) {
				path := o.name + "." + f.name
				if holds, err := mustCompile(t, fmt.Sprintf(`has(%s) && %s == %s`, path, path, path)).Holds(in); !holds || err != nil {
					t.Errorf("%v, %v", holds, err)
				}
				if holds, err := mustCompile(t, fmt.Sprintf(`size(%s) > 0`, path)).Holds(in); !holds || err != nil {
					t.Errorf("its size: %v, %v", holds, err)
				}
				if f.max.bytes == 0 {
					t.Error("no bound")
				}
			})
		}
	}
}

// The message of a policy that is refused names grant and place.
func TestMessageInsideAPolicy(t *testing.T) {
	_, err := policy.Compile(policy.Facts{
		Revision: 1,
		APIs:     []policy.API{{ID: "orders", Audiences: []string{"a"}, Permissions: []string{"orders.read"}}},
		Grants: []policy.Grant{{ID: "g-1", API: "orders", Subject: "tenant:11111111-1111-4111-8111-111111111111",
			Permissions: []string{"orders.read"}, Effect: policy.Allow, Condition: `principal.knid == "user"`}},
	}, Compile)
	if err == nil || !errors.Is(err, policy.ErrInvalid) {
		t.Fatal(err)
	}
	for _, part := range []string{"g-1", "condition: line 1, column 10: principal has no knid; did you mean kind?"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: does not say %s", err, part)
		}
	}
}

// FuzzCompile looks for a source that panics, that passes the limits, or that holds and fails at once.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`principal.kind == "user"`, `request.params.id == "42"`, `ip_in(request.source_ip, "10.0.0.0/8")`, `principal.groups.exists(g, g == "x")`,
		`now.getHours("Europe/Berlin") < 18`, `request.path.matches("^/a/[0-9]+$")`, `has(request.params.id) ? request.params["id"] != "" : false`,
		`timestamp(resource.id) < now`, `[1, 2].all(x, x > 0)`, `{"a": "b"} == request.params`, `1 / 0 == 1`, `principal{kind: "x"}`, `r"\x" == b'1'`, `"\u0000"`, `.now`,
	} {
		f.Add(seed)
	}
	in := alice(f)
	known := []error{ErrNotComputed, ErrSourceIPUnknown, ErrCostExceeded}
	f.Fuzz(func(t *testing.T, source string) {
		c, err := Compile(source)
		if err != nil {
			var refused *SourceError
			if c != nil || !errors.As(err, &refused) || refused.Text == "" {
				t.Fatalf("compiled to %v, error %#v", c, err)
			}
			return
		}
		for _, in := range []*policy.Input{in, {}} {
			holds, err := c.Holds(in)
			again, errAgain := c.Holds(in)
			if holds != again || !errors.Is(errAgain, err) {
				t.Fatalf("%v, %v; and then %v, %v", holds, err, again, errAgain)
			}
			if err == nil {
				continue
			}
			listed := false
			for _, k := range known {
				listed = listed || err == k //nolint:errorlint // the very values, not something around them
			}
			if holds || !listed {
				t.Fatalf("%v, %v", holds, err)
			}
		}
	})
}
