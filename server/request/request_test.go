package request

import (
	"os"
	"slices"
	"strings"
	"testing"
)

func TestEveryFaultHasATextARowAndAPlaceInTheDocuments(t *testing.T) {
	doc, err := os.ReadFile("../../docs/requests.md")
	if err != nil {
		t.Fatal(err)
	}
	reached := map[string]bool{}
	for _, r := range readCatalogue(t) {
		for _, l := range r.lines {
			reached[l.fault] = true
		}
	}
	texts := map[string]bool{}
	for _, f := range Faults() {
		switch text := f.String(); {
		case text == "" || texts[text]:
			t.Errorf("fault %d has no text of its own: %q", f, text)
		case !reached[text]:
			t.Errorf("no row of the catalogue ends in %q", text)
		case !strings.Contains(string(doc), "| `"+text+"` |"):
			t.Errorf("docs/requests.md does not explain %q", text)
		default:
			texts[text] = true
		}
	}
	after := Faults()[len(Faults())-1] + 1
	if Fault(0).String() != "" || after.String() != "request: malformed" || Fault(255).String() != "request: malformed" {
		t.Errorf("outside the list: %q, %q, %q", Fault(0), after, Fault(255))
	}
}

func TestMethods(t *testing.T) {
	all := Method(0)
	for i, name := range methodNames {
		m, ok := ParseMethod(name)
		if !ok || m != 1<<i || m.String() != name {
			t.Errorf("%s is %d, %t and prints as %s", name, m, ok, m)
		}
		if lower, ok := ParseMethod(strings.ToLower(name)); ok {
			t.Errorf("lower case %s is %s", name, lower)
		}
		all |= m
	}
	if got := all.String(); got != "GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS,TRACE,CONNECT" {
		t.Errorf("all are %s", got)
	}
	if got := Method(0).String() + Method(1<<9).String() + Method(1<<15).String(); got != "" {
		t.Errorf("none prints as %q", got)
	}
}

func TestValidSegment(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want bool
	}{
		"a word":                            {"orders", true},
		"everything that stands for itself": {"azAZ09-._~!$&'()*+,:=@", true},
		"a dot at the end":                  {"1.", true},
		"three dots":                        {"...", true},
		"a well-known name":                 {".well-known", true},
		"nothing":                           {"", false},
		"a dot":                             {".", false},
		"two dots":                          {"..", false},
		"a slash":                           {"a/b", false},
		"a semicolon":                       {"a;b", false},
		"an escape":                         {"a%20b", false},
		"a space":                           {"a b", false},
		"a brace":                           {"{id}", false},
		"a byte outside ASCII":              {"caf\u00e9", false},
		"a control byte":                    {"a\x7f", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ValidSegment(tc.in); got != tc.want {
				t.Errorf("ValidSegment(%q) = %t", tc.in, got)
			}
			if f := Canonicalise(&Raw{Method: "GET", Target: "/" + tc.in}, new(Canonical)); tc.want && f != faultNone {
				t.Errorf("a literal that no path can have: %s", f)
			}
		})
	}
}

func TestEscapeRaw(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		max  int
		want string
	}{
		"clean text is itself":                  {"/admin/%2e a", 512, "/admin/%2e a"},
		"clean text is cut":                     {"abcdef", 4, "abcd"},
		"control bytes are escaped":             {"a\x00\r\n\x7fb", 512, `a\x00\x0d\x0a\x7fb`},
		"bytes outside ASCII are escaped":       {"\x80\xff\u00e9", 512, `\x80\xff\xc3\xa9`},
		"a backslash is two":                    {`a\x00`, 512, `a\\x00`},
		"an escape that fits is kept":           {"ab\x00", 6, `ab\x00`},
		"an escape is not cut":                  {"ab\x00", 5, "ab"},
		"what follows a cut escape is cut":      {"ab\x00c", 5, "ab"},
		"a doubled backslash that fits is kept": {`ab\`, 4, `ab\\`},
		"a doubled backslash is not cut":        {`ab\`, 3, "ab"},
		"text after an escape is cut":           {"\x00abc", 6, `\x00ab`},
		"an escape at the limit is left out":    {"abc\x00", 3, "abc"},
		"nothing fits":                          {"abc", 0, ""},
		"a limit below zero is zero":            {"a\x00", -1, ""},
		"nothing stays nothing":                 {"", 512, ""},
		"a terminal sequence loses its power":   {"\x1b[31m", 512, `\x1b[31m`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := EscapeRaw(tc.in, tc.max); got != tc.want {
				t.Errorf("EscapeRaw(%q, %d) = %q, want %q", tc.in, tc.max, got, tc.want)
			}
		})
	}
}

func TestGuardedHeadersAreWhatNobodyBehindMaySee(t *testing.T) {
	names := GuardedHeaders()
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("not sorted, or twice: %q", names)
	}
	for _, name := range names {
		k, alias, ok := kindOf(name)
		if !ok || alias || !k.guarded() || name != strings.ToLower(name) {
			t.Errorf("%s is not a guarded name in lower case", name)
		}
		if k == kindAuthorization || k == kindHost || k == kindOverride {
			t.Errorf("%s is meant for the backend", name)
		}
		if underscored := strings.ReplaceAll(name, "-", "_"); !isFault(faultHeaderAlias, Header{underscored, "a"}) {
			t.Errorf("%s passes", underscored)
		}
		if !isFault(faultConnectionGuarded, Header{"connection", strings.ToUpper(name)}) {
			t.Errorf("connection may name %s", name)
		}
	}
	names[0] = "changed"
	if GuardedHeaders()[0] == "changed" {
		t.Error("a caller changed the list")
	}
	// kindOf folds the first 32 bytes only: a name of that length would be one with everything that begins so.
	for _, name := range append(removed, "x-http-method-override") {
		if len(name) >= 32 && !strings.HasPrefix(name, identityPrefix) && !strings.HasPrefix(name, reservedPrefix) {
			t.Errorf("%s is too long for kindOf", name)
		}
	}
}

func isFault(want Fault, headers ...Header) bool {
	return Canonicalise(&Raw{Method: "GET", Target: "/", Headers: headers}, new(Canonical)) == want
}

// Every byte at every place of the eight that are looked at together, and after them.
func TestValidValueSeesEveryByte(t *testing.T) {
	for at := range 17 {
		for b := range 256 {
			value := []byte("0123456789abcdefg")
			value[at] = byte(b)
			want := b == '\t' || 0x20 <= b && b <= 0x7e
			if got := validValue(string(value)); got != want {
				t.Errorf("byte %#x at %d: %t", b, at, got)
			}
		}
	}
}

func TestTheRequestIsNotChanged(t *testing.T) {
	raw := Raw{Method: "GET", Host: "API.example.com", Target: "/a?b", Headers: []Header{{"Upgrade", "A"}, {"Connection", "Upgrade"}}}
	before := Raw{Method: raw.Method, Host: raw.Host, Target: raw.Target, Headers: slices.Clone(raw.Headers)}
	if f := Canonicalise(&raw, new(Canonical)); f != faultNone {
		t.Fatal(f)
	}
	if raw.Host != before.Host || raw.Target != before.Target || !slices.Equal(raw.Headers, before.Headers) {
		t.Errorf("changed to %+v", raw)
	}
}

// browser is what Envoy hands over of a usual request, token included.
func browser() *Raw {
	return &Raw{
		Method: "GET", Host: "orders.example.com", Target: "/v1/customers/7f3c/orders/1042?expand=lines&page=2",
		Headers: []Header{
			{":authority", "orders.example.com"}, {":method", "GET"},
			{":path", "/v1/customers/7f3c/orders/1042?expand=lines&page=2"}, {":scheme", "https"},
			{"accept", "application/json, text/plain, */*"}, {"accept-encoding", "gzip, deflate, br"},
			{"accept-language", "en-GB,en;q=0.9,de;q=0.8"}, {"authorization", "Bearer " + strings.Repeat("eyJ0eXAiOiJKV1Qi", 110)},
			{"cookie", strings.Repeat("session=0123456789abcdef; ", 12)}, {"referer", "https://shop.example.com/orders"},
			{"sec-fetch-mode", "cors"}, {"traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
			{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"},
			{"x-envoy-external-address", "203.0.113.7"}, {"x-forwarded-for", "203.0.113.7"}, {"x-forwarded-proto", "https"},
			{"x-request-id", "0e3d9f1c-7d0c-4c55-9d5a-9c3d2e1f0a11"},
		},
	}
}

func TestCanonicaliseDoesNotAllocate(t *testing.T) {
	titled := browser() // as API Gateway writes names
	for i := range titled.Headers {
		if h := &titled.Headers[i]; h.Name[0] != ':' {
			h.Name = strings.ToUpper(h.Name[:1]) + h.Name[1:]
		}
	}
	titled.Headers = append(titled.Headers, Header{"X-A-Name-That-Is-Longer-Than-Any-That-Is-Looked-For", ""})
	labelled := browser()
	labelled.Host, labelled.Headers = "xn--bcher-kva.example:8443", nil
	for name, raw := range map[string]*Raw{
		"lower-case names": browser(), "upper-case names": titled, "an A-label": labelled,
		"a refusal": {Method: "GET", Host: "a.example", Target: "/a/../b"},
	} {
		t.Run(name, func(t *testing.T) {
			var c Canonical
			if n := testing.AllocsPerRun(100, func() { Canonicalise(raw, &c) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
			if f := Canonicalise(raw, &c); f != faultNone && f != faultDotSegment {
				t.Error(f)
			}
		})
	}
}

func BenchmarkCanonicalise(b *testing.B) {
	bare := browser()
	bare.Headers = nil
	for _, bc := range []struct {
		name string
		raw  *Raw
	}{{"request line", bare}, {"17 headers", browser()}} {
		b.Run(bc.name, func(b *testing.B) {
			var c Canonical
			b.ReportAllocs()
			for b.Loop() {
				if f := Canonicalise(bc.raw, &c); f != faultNone {
					b.Fatal(f)
				}
			}
		})
	}
}
