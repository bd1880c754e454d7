package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/request"
)

// apiOfTemplates compiles an api with a route for each template, which may begin with methods: "GET,POST /a". The id of a
// route is r and its place. All require one permission.
func apiOfTemplates(tb testing.TB, templates ...string) *CompiledAPI {
	tb.Helper()
	f := Facts{APIs: []API{{ID: "a", Audiences: []string{"a"}, Permissions: []string{"x"}}}}
	for i, text := range templates {
		f.Routes = append(f.Routes, routeOf(i, text))
	}
	return mustCompile(tb, f).APIByID("a")
}

func routeOf(i int, text string) Route {
	methods, template, found := strings.Cut(text, " ")
	if !found {
		methods, template = "GET", text
	}
	return Route{
		API: "a", ID: fmt.Sprintf("r%d", i), Methods: strings.Split(methods, ","), Template: template,
		Requirement: RequireAllOf, Permissions: []string{"x"},
	}
}

func TestMatch(t *testing.T) {
	uuid := "ABCDEF01-2345-6789-abcd-ef0123456789"
	for name, tc := range map[string]struct {
		routes string // separated by blanks; METHOD:template
		ask    map[string]string
	}{
		"the root is only itself": {"/", map[string]string{"/": "/", "": "none", "/a": "none", "//": "none"}},
		"literals match as they are": {"/a/b", map[string]string{
			"/a/b": "/a/b", "/a": "none", "/a/b/": "none", "/a/b/c": "none", "/A/b": "none", "a/b": "none", "/a//b": "none", "//a/b": "none",
		}},
		"a slash at the end is another path": {"/a /a/", map[string]string{"/a": "/a", "/a/": "/a/", "/a//": "none"}},
		"only the one with a slash":          {"/a/", map[string]string{"/a": "none", "/a/": "/a/"}},
		"a parameter takes one segment": {"/a/{x}", map[string]string{
			"/a/b": "/a/{x} x=b", "/a/": "none", "/a": "none", "/a/b/c": "none", "/a/%20b": "/a/{x} x=%20b", "/a//": "none",
		}},
		"a parameter before a slash": {"/a/{x}/", map[string]string{"/a/b/": "/a/{x}/ x=b", "/a/b": "none", "/a//": "none"}},
		"typed parameters": {"/{n:int} /{u:uuid} /{s}", map[string]string{
			"/0": "/{n:int} n=0", "/007": "/{n:int} n=007", "/999999999999999999": "/{n:int} n=999999999999999999",
			"/1000000000000000000": "/{s} s=1000000000000000000", "/-1": "/{s} s=-1", "/+1": "/{s} s=+1", "/1a": "/{s} s=1a",
			"/" + uuid: "/{u:uuid} u=" + uuid, "/" + uuid[1:]: "/{s} s=" + uuid[1:], "/" + uuid + "0": "/{s} s=" + uuid + "0",
			"/" + strings.Replace(uuid, "-", "0", 1): "/{s} s=" + strings.Replace(uuid, "-", "0", 1),
			"/" + strings.Replace(uuid, "A", "G", 1): "/{s} s=" + strings.Replace(uuid, "A", "G", 1),
		}},
		"literal before typed before plain before tail": {"/a/7 /a/{n:int} /a/{x} /a/{t...}", map[string]string{
			"/a/7": "/a/7", "/a/8": "/a/{n:int} n=8", "/a/b": "/a/{x} x=b", "/a/b/c": "/a/{t...} t=b/c", "/a": "none", "/a/": "none",
		}},
		"the first segment that differs decides": {"/{x}/b /a/{y}", map[string]string{
			"/a/b": "/a/{y} y=b", "/c/b": "/{x}/b x=c", "/a/c": "/a/{y} y=c",
		}},
		"what fails further on is taken back": {"/a/b/c /a/{x}/d /{y}/b/e /{z...}", map[string]string{
			"/a/b/c": "/a/b/c", "/a/b/d": "/a/{x}/d x=b", "/a/b/e": "/{y}/b/e y=a", "/a/b/f": "/{z...} z=a/b/f",
		}},
		"a longer way back": {"/a/{x}/{y}/z /a/{t...}", map[string]string{
			"/a/1/2/z": "/a/{x}/{y}/z x=1 y=2", "/a/1/2/3": "/a/{t...} t=1/2/3",
		}},
		"a typed parameter that fails further on": {"/{n:int}/a /{s}/b", map[string]string{
			"/1/a": "/{n:int}/a n=1", "/1/b": "/{s}/b s=1", "/x/a": "none",
		}},
		"a tail takes the rest": {"/f/{p...}", map[string]string{
			"/f/a": "/f/{p...} p=a", "/f/a/b/c.txt": "/f/{p...} p=a/b/c.txt", "/f": "none", "/f/": "none", "/f/a/": "none", "/f/a//b": "none",
			"/f//a": "none",
		}},
		"methods choose among equal shapes": {"GET:/a/{x} POST:/a/{y}", map[string]string{
			"/a/1": "/a/{x} x=1", "POST /a/1": "/a/{y} y=1", "PUT /a/1": "none",
		}},
		"a literal of another method does not hide": {"GET:/a/lit POST:/a/{x}", map[string]string{
			"/a/lit": "/a/lit", "POST /a/lit": "/a/{x} x=lit", "/a/b": "none",
		}},
		"GET is not HEAD": {"GET:/a", map[string]string{"HEAD /a": "none", "OPTIONS /a": "none"}},
	} {
		t.Run(name, func(t *testing.T) {
			var templates []string
			for _, r := range strings.Fields(tc.routes) {
				templates = append(templates, strings.Replace(r, ":/", " /", 1))
			}
			api := apiOfTemplates(t, templates...)
			for ask, want := range tc.ask {
				if got := matchText(api, ask); got != want {
					t.Errorf("%s: %s, want %s", ask, got, want)
				}
			}
		})
	}
}

// matchText asks for "METHOD path" or a path and writes the route's template and parameters.
func matchText(api *CompiledAPI, ask string) string {
	method := request.GET
	if word, path, found := strings.Cut(ask, " "); found {
		method, _ = request.ParseMethod(word)
		ask = path
	}
	var p Params
	r := api.Match(method, ask, &p)
	if r == nil {
		return "none"
	}
	text := r.Facts().Template
	for i := range p.Len() {
		text += " " + p.Name(i) + "=" + p.Value(i)
	}
	return text
}

func TestMatchOfSeveralMethodsWantsAll(t *testing.T) {
	api := apiOfTemplates(t, "GET,POST /a", "GET /b", "POST /{x}")
	both := request.GET | request.POST
	for path, want := range map[string]string{"/a": "r0", "/b": ""} {
		got := ""
		if r := api.Match(both, path, nil); r != nil {
			got = r.ID()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
	if api.Match(0, "/a", nil) != nil {
		t.Error("no method matches a route")
	}
}

func TestParamsAreEmptyAfterNoMatch(t *testing.T) {
	api := apiOfTemplates(t, "/a/{x}")
	var p Params
	if api.Match(request.GET, "/a/b", &p) == nil || p.Len() != 1 {
		t.Fatal("no parameter")
	}
	if api.Match(request.GET, "/b", &p) != nil || p.Len() != 0 {
		t.Fatal("a parameter of the path before")
	}
	if _, ok := p.Get("x"); ok {
		t.Fatal("x is still there")
	}
	p.Reset()
	if p.Len() != 0 || p.values != [maxParams]string{} {
		t.Fatal("Reset keeps a part of a path")
	}
}

func TestEveryRouteOfManyIsFound(t *testing.T) {
	const n = 10_000
	api := mustCompile(t, benchFacts(0, n)).APIByID("orders")
	for i := range n {
		m, path := benchPath(i)
		if r := api.Match(m, path, nil); r == nil || r.ID() != fmt.Sprintf("r-%d", i) {
			t.Fatalf("%s %s: %v, want r-%d", m, path, r, i)
		}
	}
}
