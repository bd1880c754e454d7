package policy

import (
	"fmt"
	"strings"
	"testing"
)

func TestParseTemplate(t *testing.T) {
	many := strings.Repeat("/a", 64)
	params := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "/{p%d}", i)
		}
		return b.String()
	}
	for name, tc := range map[string]struct {
		in    string
		wrong string // a part of what is said; empty: well formed
	}{
		"the root":                           {"/", ""},
		"literals":                           {"/v1/orders", ""},
		"literals with marks":                {"/a-._~!$&'()*+,:=@", ""},
		"parameters of each kind":            {"/{a}/{b:int}/{c:uuid}/{d...}", ""},
		"a slash at the end":                 {"/a/{x}/", ""},
		"64 segments":                        {many, ""},
		"16 parameters":                      {params(16), ""},
		"three dots are a literal":           {"/...", ""},
		"a name of 32":                       {"/{" + strings.Repeat("a", 32) + "}", ""},
		"nothing":                            {"", "begins with /"},
		"no slash at the beginning":          {"a/b", "begins with /"},
		"an empty segment":                   {"/a//b", "empty segments"},
		"only slashes":                       {"//", "empty segments"},
		"two slashes at the end":             {"/a//", "empty segments"},
		"a dot segment":                      {"/a/./b", "not a literal segment"},
		"a double dot segment":               {"/a/..", "not a literal segment"},
		"a semicolon":                        {"/a;b", "not a literal segment"},
		"an escape":                          {"/a%20b", "not a literal segment"},
		"a query":                            {"/a?b", "not a literal segment"},
		"a letter beyond ASCII":              {"/ä", "not a literal segment"},
		"a part of a segment as a parameter": {"/a{x}", "whole segment"},
		"two parameters in a segment":        {"/{x}{y}", "name is"},
		"an open brace":                      {"/{x", "whole segment"},
		"a parameter without a name":         {"/{}", "name is"},
		"a tail without a name":              {"/{...}", "name is"},
		"a name in upper case":               {"/{Id}", "name is"},
		"a name that begins with a digit":    {"/{1d}", "name is"},
		"a name that begins with _":          {"/{_d}", "name is"},
		"a name of 33":                       {"/{" + strings.Repeat("a", 33) + "}", "name is"},
		"a form that is not known":           {"/{x:hex}", "int or uuid"},
		"a form that is empty":               {"/{x:}", "int or uuid"},
		"a typed tail":                       {"/{x:int...}", "name is"},
		"a name twice":                       {"/{x}/{x:int}", "two parameters are named x"},
		"a tail before the end":              {"/{x...}/a", "must be the last"},
		"a slash after a tail":               {"/a/{x...}/", "cannot follow"},
		"65 segments":                        {many + "/a", "64 segments"},
		"17 parameters":                      {params(17), "16 parameters"},
		"over 1024 characters":               {"/" + strings.Repeat("a", 1024), "1024 characters"},
		"a wildcard of another kind":         {"/{$}", "name is"},
		"a space":                            {"/a b", "not a literal segment"},
	} {
		t.Run(name, func(t *testing.T) {
			_, wrong := parseTemplate(tc.in)
			if (wrong == "") != (tc.wrong == "") || !strings.Contains(wrong, tc.wrong) {
				t.Fatalf("says %q, want %q", wrong, tc.wrong)
			}
		})
	}
}

// print writes a template from its parts.
func (t *template) print() string {
	if len(t.segments) == 0 {
		return "/"
	}
	var b strings.Builder
	for _, s := range t.segments {
		fmt.Fprintf(&b, [...]string{"/%s", "/{%s:int}", "/{%s:uuid}", "/{%s}", "/{%s...}"}[s.kind], s.text)
	}
	if t.slash {
		b.WriteByte('/')
	}
	return b.String()
}

// FuzzTemplate: what is accepted prints as it was read, and a path made from it is found with its parameters.
func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"/", "/a", "/a/", "/{x}/{y:int}/{z:uuid}/{t...}", "/a/{x}/", "//", "/{x...}/", "/a{x}", "/{x:int}/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tm, wrong := parseTemplate(text)
		if wrong != "" {
			return
		}
		if tm.print() != text {
			t.Fatalf("%q prints as %q", text, tm.print())
		}
		var b strings.Builder
		values := [...]string{intSegment: "42", uuidSegment: oid, plainSegment: "plain", tailSegment: "t/u"}
		var want []string
		for _, s := range tm.segments {
			value := s.text
			if s.kind != literalSegment {
				value = values[s.kind]
				want = append(want, value)
			}
			b.WriteString("/" + value)
		}
		path := b.String()
		if tm.slash || path == "" {
			path += "/"
		}
		api := apiOfTemplates(t, text)
		var p Params
		if api.Match(1, path, &p) == nil {
			t.Fatalf("%q does not match %q", text, path)
		}
		if p.Len() != len(want) {
			t.Fatalf("%d parameters, want %q", p.Len(), want)
		}
		for i, w := range want {
			if v, ok := p.Get(tm.params[i]); !ok || v != w || p.Value(i) != w || p.Name(i) != tm.params[i] {
				t.Errorf("%s is %q, want %q", tm.params[i], v, w)
			}
		}
	})
}
