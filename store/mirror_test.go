package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/store"
)

func TestAGUIDIsReadInOneFormOnly(t *testing.T) {
	const text = "0198a000-bcde-4f00-8000-0123456789ab"
	for name, tc := range map[string]struct {
		in string
		ok bool
	}{
		"lower case":           {text, true},
		"upper case":           {strings.ToUpper(text), true},
		"nothing":              {"", false},
		"no hyphens":           {strings.ReplaceAll(text, "-", ""), false},
		"hyphens elsewhere":    {"0198a00-0bcde-4f00-8000-0123456789ab", false},
		"braces":               {"{" + text + "}", false},
		"too long":             {text + "0", false},
		"no hexadecimal digit": {strings.Replace(text, "b", "g", 1), false},
		"a hyphen too many":    {strings.Replace(text, "c", "-", 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			g, err := store.ParseGUID(tc.in)
			if tc.ok && (err != nil || g.String() != text) || !tc.ok && !errors.Is(err, store.ErrInvalid) {
				t.Errorf("got %s, %v", g, err)
			}
		})
	}
}

func TestGUIDsSortAsTheirTexts(t *testing.T) {
	var ids []store.GUID
	var texts []string
	for i := range 200 {
		var g store.GUID
		for j := range g {
			g[j] = byte(i * (j + 7) * 31)
		}
		ids, texts = append(ids, g), append(texts, g.String())
	}
	slices.SortFunc(ids, store.GUID.Compare)
	slices.Sort(texts)
	for i, g := range ids {
		if g.String() != texts[i] {
			t.Fatalf("%d: %s and %s", i, g, texts[i])
		}
	}
}
