package execapi

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// words are all strings of up to five letters out of a few.
func words(letters string, most int) []string {
	list := []string{""}
	for level := list; most > 0; most-- {
		var next []string
		for _, w := range level {
			for _, c := range letters {
				next = append(next, w+string(c))
			}
		}
		list, level = append(list, next...), next
	}
	return list
}

// Matching and intersection agree with regular expressions and with trying every short string.
func TestIntersectsAndMatches(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	all := words("ab/", 7)
	text := func() string {
		var b strings.Builder
		for range rng.IntN(5) {
			b.WriteByte("ab/**"[rng.IntN(5)])
		}
		return b.String()
	}
	met := 0
	for range 400 {
		p, q := text(), text()
		one := regexp.MustCompile(`\A` + strings.ReplaceAll(regexp.QuoteMeta(p), `\*`, `.*`) + `\z`)
		other := regexp.MustCompile(`\A` + strings.ReplaceAll(regexp.QuoteMeta(q), `\*`, `.*`) + `\z`)
		both := false
		for _, w := range all {
			m := one.MatchString(w)
			if got := matches(p, w); got != m {
				t.Fatalf("matches(%q, %q) = %v", p, w, got)
			}
			both = both || m && other.MatchString(w)
		}
		// Two patterns of four steps that meet at all meet in a string of at most eight, mostly far fewer.
		if got := intersects(globPattern(p), globPattern(q)); got != both {
			t.Fatalf("intersects(%q, %q) = %v", p, q, got)
		}
		if both {
			met++
		}
	}
	if met < 50 || met > 350 {
		t.Errorf("%d of 400 met", met)
	}
}

func TestTemplatePathsHoldSegments(t *testing.T) {
	for name, tc := range map[string]struct {
		template, glob string
		want           bool
	}{
		"a segment":                      {"/a/{x}", "/a/b", true},
		"not two":                        {"/a/{x}", "/a/*/*", false},
		"not none":                       {"/a/{x}", "/a/", false},
		"a tail is two, too":             {"/a/{x...}", "/a/*/*", true},
		"a tail does not end in a slash": {"/a/{x...}", "/a/*/", false},
		"a star can be a literal of the template": {"/a/b/c", "/a*c", true},
		"a slash at the end":                      {"/a/{x}/", "/a/*/", true},
		"the root":                                {"/", "/", true},
	} {
		t.Run(name, func(t *testing.T) {
			tmpl := parseTemplate(tc.template)
			if got := intersects(tmpl.paths(), globPattern(tc.glob)); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
