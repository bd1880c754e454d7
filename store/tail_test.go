package store_test

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

func TestATailCursorIsWhatItsTextSays(t *testing.T) {
	for name, c := range map[string]store.TailCursor{
		"nothing":     {},
		"an instant":  {Since: time.Date(2031, 2, 3, 4, 5, 6, 789_123_000, time.UTC)},
		"an old one":  {Since: time.Date(1, 2, 3, 0, 0, 0, 0, time.UTC)},
		"every place": {Seen: map[store.Source]store.Position{{Lane: 3}: {Seq: 9}, {Instance: "a\x00é"}: {Epoch: 1, Seq: 2}, {Instance: "b"}: {Epoch: store.MaxRevision, Seq: store.MaxRevision}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := store.ParseTailCursor(c.String())
			if err != nil || !got.Since.Equal(c.Since) || !maps.Equal(got.Seen, c.Seen) {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	}
	if c, err := store.ParseTailCursor(""); err != nil || c.Seen != nil || !c.Since.IsZero() {
		t.Fatalf("empty text: %+v, %v", c, err)
	}
}

func FuzzParseTailCursor(f *testing.F) {
	full := store.TailCursor{Since: time.Unix(1, 0), Seen: map[store.Source]store.Position{{Lane: 1}: {Seq: 2}, {Instance: "verdict-0"}: {Epoch: 3, Seq: 4}}}
	for _, s := range []string{"", "x", full.String(), full.String() + "A", strings.Repeat("_", 100), "AY20A00AA000", store.TailCursor{}.String()} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := store.ParseTailCursor(s)
		if err != nil {
			if !errors.Is(err, store.ErrInvalid) {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		if s != "" && c.String() != s {
			t.Fatalf("%q became %q", s, c.String())
		}
	})
}
