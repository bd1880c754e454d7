package policy

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePermission(t *testing.T) {
	for name, tc := range map[string]struct {
		in string
		ok bool
	}{
		"two words":                  {"orders.read", true},
		"one word":                   {"read", true},
		"marks inside a word":        {"order-lines_2.read", true},
		"a word may begin with 0":    {"0.1", true},
		"eight words":                {"a.b.c.d.e.f.g.h", true},
		"128 characters":             {strings.Repeat("a", 128), true},
		"nine words":                 {"a.b.c.d.e.f.g.h.i", false},
		"129 characters":             {strings.Repeat("a", 129), false},
		"nothing":                    {"", false},
		"upper case":                 {"Orders.read", false},
		"a wildcard":                 {"orders.*", false},
		"a dot at the end":           {"orders.", false},
		"a dot at the beginning":     {".orders", false},
		"two dots":                   {"orders..read", false},
		"a word beginning with a -":  {"orders.-read", false},
		"a word beginning with an _": {"_orders", false},
		"a space":                    {"orders read", false},
		"a letter beyond ASCII":      {"órders", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePermission(tc.in)
			if (err == nil) != tc.ok || tc.ok && got != tc.in || !tc.ok && !errors.Is(err, ErrInvalid) {
				t.Fatalf("%q, %v", got, err)
			}
			if tc.ok {
				p, err := ParsePattern(tc.in)
				if err != nil || p.String() != tc.in || !p.Matches(tc.in) {
					t.Fatalf("as a pattern: %q, %v", p, err)
				}
			}
		})
	}
}

func TestParsePattern(t *testing.T) {
	for name, tc := range map[string]struct {
		in         string
		matches    string // these
		not        string // and not those
		wellFormed bool
	}{
		"a wildcard stands for one word or more": {
			in: "orders.*", matches: "orders.read orders.items.read", not: "orders ordersx.read order.read x.orders.read", wellFormed: true,
		},
		"a longer wildcard":                    {in: "a.b.*", matches: "a.b.c a.b.c.d", not: "a.b a.c.b a.bb.c", wellFormed: true},
		"a name stands for itself":             {in: "orders.read", matches: "orders.read", not: "orders orders.read.all orders.reader", wellFormed: true},
		"* alone":                              {in: "*"},
		"* inside":                             {in: "orders.*.read"},
		"* as a part of a word":                {in: "orders.re*"},
		"* twice":                              {in: "orders.*.*"},
		"a wildcard of nothing":                {in: ".*"},
		"a wildcard without a dot":             {in: "orders*"},
		"nothing":                              {in: ""},
		"a wildcard of a malformed name":       {in: "Orders.*"},
		"a wildcard of more than 128 in all":   {in: strings.Repeat("a", 127) + ".*"},
		"a wildcard with a space after it":     {in: "orders.* "},
		"a wildcard after nine words":          {in: "a.b.c.d.e.f.g.h.i.*"},
		"a wildcard of eight matches no name ": {in: "a.b.c.d.e.f.g.h.*", not: "a.b.c.d.e.f.g.h", wellFormed: true},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := ParsePattern(tc.in)
			if (err == nil) != tc.wellFormed || !tc.wellFormed && !errors.Is(err, ErrInvalid) {
				t.Fatalf("%q, %v", p, err)
			}
			if tc.wellFormed && p.String() != tc.in {
				t.Fatalf("prints as %q", p)
			}
			for _, m := range strings.Fields(tc.matches) {
				if !p.Matches(m) {
					t.Errorf("does not match %s", m)
				}
			}
			for _, m := range strings.Fields(tc.not) {
				if p.Matches(m) {
					t.Errorf("matches %s", m)
				}
			}
		})
	}
}

func TestZeroPatternMatchesNothing(t *testing.T) {
	for _, name := range []string{"", "a", "a.b"} {
		if (Pattern{}).Matches(name) {
			t.Errorf("matches %q", name)
		}
	}
}

// The engine matches by numbers made from names; they must say what Pattern.Matches says.
func TestVocabularyAgreesWithPatterns(t *testing.T) {
	names := []string{"a", "a.b", "a.b.c", "a.bb", "b.a", "a.b.c.d.e.f.g.h", "c"}
	v := new(vocabulary).with(names)
	for text, number := range v.patterns {
		p, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		for i := range v.permissions {
			if got, want := v.permissions[i].named(number), p.Matches(v.permissions[i].name); got != want {
				t.Errorf("%s and %s: %v, want %v", text, v.permissions[i].name, got, want)
			}
		}
	}
}

func TestVocabularyKeepsNumbers(t *testing.T) {
	first := new(vocabulary).with([]string{"a.x", "b.x"})
	second := first.with([]string{"b.x", "c.x", "d"})
	for _, text := range []string{"b.x", "b.*"} {
		if first.patterns[text] != second.patterns[text] {
			t.Errorf("%s was %d and is %d", text, first.patterns[text], second.patterns[text])
		}
	}
	if _, ok := second.pattern("a.*"); ok || !first.lost(second) || second.lost(second) {
		t.Error("a.* is gone and not missed")
	}
	if _, ok := first.pattern("a.*"); !ok {
		t.Error("the first vocabulary has changed")
	}
}

func TestNearestPermission(t *testing.T) {
	v := new(vocabulary).with([]string{"orders.read", "orders.write", "invoices.read"})
	for in, want := range map[string]string{
		"orders.raed": "orders.read", "order.read": "orders.read", "orders.wirte": "orders.write", "order.*": "orders.*",
		"completely.different.words": "", "orders.rea": "orders.read",
	} {
		if got := v.nearest(in); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
