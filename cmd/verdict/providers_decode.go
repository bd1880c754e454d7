package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// decoder reads a document strictly and collects everything that is wrong with it.
type decoder struct{ problems []error }

// reader reads the value at a place of the document.
type reader func(place string, v any)

func (d *decoder) bad(place, format string, args ...any) {
	if place == "" {
		place = "the document"
	}
	d.problems = append(d.problems, fmt.Errorf("%s: "+format, append([]any{place}, args...)...))
}

// object reads an object with no other keys than those of fields.
func (d *decoder) object(place string, v any, fields map[string]reader) {
	o, ok := v.(map[string]any)
	if !ok {
		d.bad(place, "want keys and values, got %s", kindOf(v))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		at := key
		if place != "" {
			at = place + "." + key
		}
		read, known := fields[key]
		if !known {
			d.bad(at, "unknown key%s", meant(key, slices.Sorted(maps.Keys(fields))))
			continue
		}
		read(at, o[key])
	}
}

func (d *decoder) text(into *string) reader {
	return func(place string, v any) {
		s, ok := v.(string)
		if !ok || s == "" {
			d.bad(place, "want a text, got %s; leave the key out, or put quotes around", kindOf(v))
			return
		}
		*into = s
	}
}

func (d *decoder) flag(into *bool) reader {
	return func(place string, v any) {
		b, ok := v.(bool)
		if !ok {
			d.bad(place, "want true or false, got %s", kindOf(v))
			return
		}
		*into = b
	}
}

func (d *decoder) list(into *[]any) reader {
	return func(place string, v any) {
		l, ok := v.([]any)
		if !ok {
			d.bad(place, "want a list, got %s", kindOf(v))
			return
		}
		*into = l
	}
}

func (d *decoder) texts(into *[]string) reader {
	return func(place string, v any) {
		var items []any
		d.list(&items)(place, v)
		for i, item := range items {
			var s string
			d.text(&s)(fmt.Sprintf("%s[%d]", place, i), item)
			*into = append(*into, s)
		}
	}
}

func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "nothing"
	case string:
		if v == "" {
			return "an empty text"
		}
		return fmt.Sprintf("%q", v)
	case bool, float64:
		return fmt.Sprint(v)
	case []any:
		return "a list"
	}
	return "keys and values"
}

// meant names the known key that is nearest to key, if one is near.
func meant(key string, known []string) string {
	best, least := "", 1+len(key)/2
	for _, k := range known {
		if n := distance(strings.ToLower(key), k); n < least {
			best, least = k, n
		}
	}
	if best == "" {
		return "; there are " + strings.Join(known, ", ")
	}
	return "; did you mean " + best + "?"
}

// distance is how many letters have to be put in, left out or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0]++
		for j := range len(b) {
			step := corner
			if a[i] != b[j] {
				step = 1 + min(corner, row[j], row[j+1])
			}
			corner, row[j+1] = row[j+1], step
		}
	}
	return row[len(b)]
}
