package policy

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// mustCompile compiles f with the constants of compileFake as conditions.
func mustCompile(tb testing.TB, f Facts) *Snapshot {
	tb.Helper()
	s, err := Compile(f, compileFake)
	if err != nil {
		var invalid *InvalidError
		if errors.As(err, &invalid) {
			tb.Fatal(invalid.Problems)
		}
		tb.Fatal(err)
	}
	return s
}

// shop is a small policy without a fault.
func shop() Facts {
	return Facts{
		Revision: 7,
		APIs: []API{
			{
				ID: "orders", Audiences: []string{"orders"}, Hosts: []string{"orders.example.com"},
				Permissions: []string{"orders.read", "orders.write", "orders.items.read", "audit.read"},
				Scopes: []ScopeRule{
					{Scope: "Orders.Read", Permissions: []string{"orders.read"}}, {Scope: "Orders.All", Permissions: []string{"orders.*"}},
				},
				Actors: []ActorRule{{ClientID: guid(9, 9), Permissions: []string{"orders.read"}}},
			},
			{ID: "stock", Audiences: []string{"stock"}, Permissions: []string{"stock.read"}},
		},
		Routes: []Route{
			{API: "orders", ID: "list", Methods: []string{"GET"}, Template: "/orders", Requirement: RequireAllOf, Permissions: []string{"orders.read"}},
			{API: "orders", ID: "health", Methods: []string{"GET"}, Template: "/health", Requirement: RequirePublic},
			{API: "stock", ID: "list", Methods: []string{"GET"}, Template: "/{id}", Requirement: RequireAuthenticated},
		},
		Grants: []Grant{
			{ID: "g-1", API: "orders", Subject: "tenant:" + tid, Permissions: []string{"orders.*"}, Effect: Allow},
			{ID: "g-2", API: "stock", Subject: "wid:" + oid, Permissions: []string{"stock.read"}, Effect: Deny, Condition: "true"},
		},
	}
}

// what is wrong, after one thing in the shop has been changed.
func TestCompileSaysWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(f *Facts)
		want   string
	}{
		"nothing": {func(*Facts) {}, ""},
		"an api without id": {func(f *Facts) { f.APIs = append(f.APIs, API{Audiences: []string{"x"}}) },
			"api/: id: an id is 1 to 63 of a-z, 0-9 and -, beginning with a letter"},
		"two apis of an id": {func(f *Facts) { f.APIs[1].ID = "orders"; f.Routes, f.Grants = f.Routes[:2], f.Grants[:1] },
			"api/orders: id: another api has this id; ids are unique"},
		"no audience": {func(f *Facts) { f.APIs[0].Audiences = nil },
			"api/orders: audiences: none given; name the audience (aud) of the tokens that this api accepts"},
		"an empty audience": {func(f *Facts) { f.APIs[0].Audiences = []string{""} },
			"api/orders: audiences[0]: an audience is 1 to 256 characters"},
		"an audience twice": {func(f *Facts) { f.APIs[0].Audiences = []string{"a", "a"} },
			"api/orders: audiences[1]: a is listed twice; remove one"},
		"a host that is not canonical": {func(f *Facts) { f.APIs[0].Hosts[0] = "Orders.example.com" },
			`api/orders: hosts[0]: "Orders.example.com" is not canonical; write orders.example.com`},
		"a host that is none": {func(f *Facts) { f.APIs[0].Hosts[0] = "a/b" },
			`api/orders: hosts[0]: "a/b" is not a host name; write it as in orders.example.com`},
		"a host of two apis": {func(f *Facts) { f.APIs[1].Hosts = []string{"orders.example.com"} },
			"api/stock: hosts[0]: orders.example.com belongs to api orders already; a host belongs to one api"},
		"a host twice": {func(f *Facts) { f.APIs[0].Hosts = []string{"a.example.com", "a.example.com"} },
			"api/orders: hosts[1]: a.example.com is listed twice; remove one"},
		"a permission that is a wildcard": {func(f *Facts) { f.APIs[1].Permissions = append(f.APIs[1].Permissions, "stock.*") },
			`api/stock: permissions[1]: "stock.*": a wildcard cannot stand here; name one permission`},
		"a scope without a name": {func(f *Facts) { f.APIs[0].Scopes[0].Scope = "" },
			`api/orders: scopes[0].scope: "": a scope is 1 to 120 printable ASCII characters without spaces`},
		"a scope of an unknown permission": {func(f *Facts) { f.APIs[0].Scopes[1].Permissions[0] = "order.*" },
			`api/orders: scopes[1].permissions[0]: "order.*" matches no permission of api orders; did you mean orders.*?`},
		"a scope for nothing": {func(f *Facts) { f.APIs[0].Scopes[1].Permissions = nil },
			"api/orders: scopes[1].permissions: none given; name what the scope may carry, or remove the rule"},
		"a client in capitals": {func(f *Facts) { f.APIs[0].Actors[0].ClientID = "AAAAAAAA-0000-4000-8000-000000000001" },
			`api/orders: actors[0].client_id: "AAAAAAAA-0000-4000-8000-000000000001" is not a client id; write a GUID in lower case with hyphens, or the id of a provider's client`},
		"an allowed client of control characters": {func(f *Facts) { f.APIs[0].AllowedClients = []string{"x\ny"} },
			`api/orders: allowed_clients[0]: "x\ny" is not a client id; write a GUID in lower case with hyphens, or the id of a provider's client`},
		"a route of no api": {func(f *Facts) { f.Routes[0].API = "order" },
			`route/order/list: api: no api has the id "order"; add the api or correct the id`},
		"a route without id": {func(f *Facts) { f.Routes[0].ID = "" },
			"route/orders/: id: an id is 1 to 63 of a-z, 0-9, -, _ and ., beginning with a letter"},
		"two routes of an id": {func(f *Facts) { f.Routes[1].ID = "list" },
			"route/orders/list: id: another route of the api has this id; ids are unique"},
		"a template that is none": {func(f *Facts) { f.Routes[0].Template = "orders" },
			`route/orders/list: template: "orders": a template begins with /`},
		"no methods": {func(f *Facts) { f.Routes[0].Methods = nil },
			"route/orders/list: methods: none given; name at least one, such as GET"},
		"a method in lower case": {func(f *Facts) { f.Routes[0].Methods = []string{"get"} },
			`route/orders/list: methods[0]: "get" is not a method; write it in upper case, such as GET`},
		"a method twice": {func(f *Facts) { f.Routes[0].Methods = []string{"GET", "GET"} },
			"route/orders/list: methods[1]: GET is listed twice; remove one"},
		"no requirement": {func(f *Facts) { f.Routes[0].Requirement = RequireUnset },
			"route/orders/list: requirement: none given; set one of public, authenticated, all_of, any_of"},
		"all of nothing": {func(f *Facts) { f.Routes[0].Permissions = nil },
			"route/orders/list: all_of.permissions: none given; name at least one, or make the route authenticated"},
		"any of what is not declared": {func(f *Facts) { f.Routes[0].Requirement = RequireAnyOf; f.Routes[0].Permissions[0] = "orders.raed" },
			`route/orders/list: any_of.permissions[0]: "orders.raed" matches no permission of api orders; did you mean orders.read?`},
		"a permission of another api": {func(f *Facts) { f.Routes[0].Permissions[0] = "stock.read" },
			`route/orders/list: all_of.permissions[0]: "stock.read" matches no permission of api orders; did you mean audit.read?`},
		"a wildcard in a route": {func(f *Facts) { f.Routes[0].Permissions[0] = "orders.*" },
			`route/orders/list: all_of.permissions[0]: "orders.*": a wildcard cannot stand here; name one permission`},
		"a public route with permissions": {func(f *Facts) { f.Routes[1].Permissions = []string{"orders.read"} },
			"route/orders/health: permissions: a public or authenticated route asks for no permission; remove them or require all_of"},
		"a public route with a condition": {func(f *Facts) { f.Routes[1].Condition = "true" },
			"route/orders/health: condition: a public route asks nothing of the caller; remove the condition or require authenticated"},
		"a public route that asks for a sign-in": {func(f *Facts) { f.Routes[1].MaxTokenAge = time.Minute },
			"route/orders/health: max_token_age: a public route asks nothing of the caller; remove it or require authenticated"},
		"a public route that asks for a context": {func(f *Facts) { f.Routes[1].AuthContext = "c1" },
			"route/orders/health: auth_context: a public route asks nothing of the caller; remove it or require authenticated"},
		"a public route that asks for a client": {func(f *Facts) { f.Routes[1].ConfidentialClient = true },
			"route/orders/health: confidential_client: a public route asks nothing of the caller; remove it or require authenticated"},
		"a negative age": {func(f *Facts) { f.Routes[0].MaxTokenAge = -time.Second },
			"route/orders/list: max_token_age: -1s is not a whole number of seconds up to 86400"},
		"an age of more than a day": {func(f *Facts) { f.Routes[0].MaxTokenAge = 24*time.Hour + time.Second },
			"route/orders/list: max_token_age: 24h0m1s is not a whole number of seconds up to 86400"},
		"an age that no challenge can tell": {func(f *Facts) { f.Routes[0].MaxTokenAge = 1500 * time.Millisecond },
			"route/orders/list: max_token_age: 1.5s is not a whole number of seconds up to 86400"},
		"an authentication context that is none": {func(f *Facts) { f.Routes[0].AuthContext = "c0" },
			`route/orders/list: auth_context: "c0": an authentication context is c1 to c99`},
		"a privileged permission that is not declared": {func(f *Facts) { f.APIs[0].Privileged = []string{"orders.read", "orders.purge"} },
			`api/orders: privileged[1]: "orders.purge" is not among the permissions of the api`},
		"a condition that does not compile": {func(f *Facts) { f.Routes[0].Condition = "?" },
			`route/orders/list: condition: unexpected "?"`},
		"a condition that is too long": {func(f *Facts) { f.Grants[1].Condition = strings.Repeat("x", 2049) },
			"grant/g-2: condition: longer than 2048 bytes"},
		"an upgrade in upper case": {func(f *Facts) { f.Routes[0].Upgrade = "WebSocket" },
			`route/orders/list: upgrade: "WebSocket": name one protocol in lower case, such as websocket, of at most 32 characters`},
		"a public catch-all": {func(f *Facts) { f.Routes[1].Template = "/{rest...}" },
			"route/orders/health: template: /{rest...} matches every path and cannot be public or authenticated; begin it with a literal segment or require permissions"},
		"an authenticated catch-all below a parameter": {func(f *Facts) { f.Routes[2].Template = "/{x}/{rest...}" },
			"route/stock/list: template: /{x}/{rest...} matches every path and cannot be public or authenticated; begin it with a literal segment or require permissions"},
		"a catch-all that requires a permission is fine": {func(f *Facts) { f.Routes[0].Template = "/{rest...}" }, ""},
		"a public tail below a literal is fine":          {func(f *Facts) { f.Routes[1].Template = "/assets/{rest...}" }, ""},
		"two routes that tie": {func(f *Facts) { f.Routes[0].Template, f.Routes[1].Template = "/{x}/a", "/{y}/a" },
			"route/orders/list: template: /{x}/a ties with route health (/{y}/a) for GET; change a template or the methods"},
		"equal shapes with other methods are fine":  {func(f *Facts) { f.Routes[0].Template, f.Routes[0].Methods = "/health", []string{"PUT"} }, ""},
		"typed and plain are other shapes":          {func(f *Facts) { f.Routes[0].Template, f.Routes[1].Template = "/{x:int}/a", "/{y}/a" }, ""},
		"with and without a slash are other shapes": {func(f *Facts) { f.Routes[0].Template, f.Routes[1].Template = "/a", "/a/" }, ""},
		"a grant without id": {func(f *Facts) { f.Grants[0].ID = "" },
			"grant/: id: an id is 1 to 63 of a-z, 0-9, -, _ and ., beginning with a letter or digit"},
		"two grants of an id": {func(f *Facts) { f.Grants[1].ID = "g-1" },
			"grant/g-1: id: another grant has this id; ids are unique"},
		"a grant in no api": {func(f *Facts) { f.Grants[0].API = "" },
			`grant/g-1: api: no api has the id ""; add the api or correct the id`},
		"a subject that is none": {func(f *Facts) { f.Grants[0].Subject = "everyone" },
			`grant/g-1: subject: "everyone": begin with one of group:, user:, app:, approle:, wid:, tenant:`},
		"a role of another api": {func(f *Facts) { f.Grants[0].Subject = "approle:stock/Reader" },
			"grant/g-1: subject: approle:stock/Reader is a role of api stock and can never match in api orders; write approle:orders/Reader"},
		"a grant of nothing": {func(f *Facts) { f.Grants[0].Permissions = nil },
			"grant/g-1: permissions: none given; name at least one"},
		"a grant of everything": {func(f *Facts) { f.Grants[0].Permissions[0] = "*" },
			`grant/g-1: permissions[0]: "*": * alone is refused; name the permissions or write a prefix such as orders.*`},
		"a wildcard that matches nothing": {func(f *Facts) { f.Grants[0].Permissions = []string{"orders.read", "orders.read.*"} },
			`grant/g-1: permissions[1]: "orders.read.*" matches no permission of api orders; did you mean orders.items.*?`},
		"an effect that is none": {func(f *Facts) { f.Grants[0].Effect = 2 }, "grant/g-1: effect: set allow or deny"},
		"a window that ends before it begins is fine": {func(f *Facts) {
			f.Grants[0].NotBefore, f.Grants[0].ExpiresAt = time.Unix(2, 0), time.Unix(1, 0)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := shop()
			tc.change(&f)
			s, err := Compile(f, compileFake)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var invalid *InvalidError
			if s != nil || !errors.Is(err, ErrInvalid) || !errors.As(err, &invalid) {
				t.Fatalf("%v, %v", s, err)
			}
			if len(invalid.Problems) != 1 || invalid.Problems[0].String() != tc.want {
				t.Fatalf("got  %q\nwant %q", invalid.Problems, tc.want)
			}
		})
	}
}

func TestCompileWithoutCompilerRefusesConditions(t *testing.T) {
	_, err := Compile(shop(), nil)
	if want := "policy is invalid: grant/g-2: condition: conditions are not supported here"; err == nil || err.Error() != want {
		t.Fatalf("%v, want %s", err, want)
	}
}

func TestCompileSaysEverythingAtOnce(t *testing.T) {
	f := shop()
	f.APIs[0].Audiences = nil
	f.Routes[0].Template = "x"
	f.Grants[0].Subject = "x"
	f.Grants[1].Effect = 9
	_, err := Compile(f, compileFake)
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	var facts []string
	for _, p := range invalid.Problems {
		facts = append(facts, p.Fact)
	}
	want := []string{"api/orders", "route/orders/list", "grant/g-1", "grant/g-2"}
	if !reflect.DeepEqual(facts, want) {
		t.Fatalf("%v, want %v", facts, want)
	}
	if got := err.Error(); !strings.HasSuffix(got, "(and 3 more)") {
		t.Fatal(got)
	}
}

func TestCompileListsAtMostAHundredProblems(t *testing.T) {
	f := shop()
	for i := range 250 {
		f.Grants = append(f.Grants, Grant{
			ID: fmt.Sprintf("bad-%d", i), API: "orders", Subject: "tenant:" + tid, Permissions: []string{"orders.delete"}, Effect: Allow,
		})
	}
	_, err := Compile(f, compileFake)
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) != 100 || invalid.Omitted != 150 {
		t.Fatalf("%d and %d", len(invalid.Problems), invalid.Omitted)
	}
}

func TestSnapshotKeepsNothingOfTheCaller(t *testing.T) {
	f := shop()
	s := mustCompile(t, f)
	want := describe(s)
	for i := range f.APIs {
		for _, list := range [][]string{f.APIs[i].Audiences, f.APIs[i].Hosts, f.APIs[i].Permissions} {
			clear(list)
		}
		for j := range f.APIs[i].Scopes {
			clear(f.APIs[i].Scopes[j].Permissions)
		}
		clear(f.APIs[i].Scopes)
		for j := range f.APIs[i].Actors {
			clear(f.APIs[i].Actors[j].Permissions)
		}
		clear(f.APIs[i].Actors)
	}
	for i := range f.Routes {
		clear(f.Routes[i].Methods)
		clear(f.Routes[i].Permissions)
	}
	for i := range f.Grants {
		clear(f.Grants[i].Permissions)
	}
	clear(f.APIs)
	clear(f.Routes)
	clear(f.Grants)
	if got := describe(s); got != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSnapshotSaysWhatItHolds(t *testing.T) {
	s := mustCompile(t, shop())
	if s.Revision() != 7 || s.Counts() != (Counts{APIs: 2, Routes: 3, Grants: 2}) {
		t.Errorf("revision %d, %+v", s.Revision(), s.Counts())
	}
	a := s.APIByHost("orders.example.com")
	if a == nil || a != s.APIByID("orders") || s.APIByID("order") != nil || s.APIByHost("example.com") != nil {
		t.Fatal("apis are not found by id and host")
	}
	if got, want := a.Permissions(), []string{"audit.read", "orders.items.read", "orders.read", "orders.write"}; !reflect.DeepEqual(got, want) {
		t.Errorf("permissions %v, want %v", got, want)
	}
	if !a.HasPermission("orders.read") || a.HasPermission("orders.*") || a.HasPermission("") {
		t.Error("HasPermission is wrong")
	}
	for name, want := range map[string][]string{
		"orders.read": {"x", "Orders.Read", "Orders.All"}, "orders.write": {"x", "Orders.All"}, "audit.read": {"x"}, "orders.*": {"x"},
	} {
		if got := a.ScopesFor(name, []string{"x"}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is carried by %v, want %v", name, got, want)
		}
	}
	var empty Snapshot
	if empty.APIByID("orders") != nil || empty.APIByHost("") != nil || len(empty.APIs()) != 0 || empty.Revision() != 0 {
		t.Error("the zero snapshot holds something")
	}
}
