package review

import (
	"slices"
	"strings"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// vocabulary is the permissions that an api declares, and what lists of patterns come to. Many grants have the same list,
// so each is worked out once and its answer shared.
type vocabulary struct {
	names    []string // sorted
	resolved map[string][]string
}

func newVocabulary(declared []store.Permission) *vocabulary {
	v := &vocabulary{names: make([]string, len(declared)), resolved: make(map[string][]string)}
	for i, p := range declared {
		v.names[i] = p.Name
	}
	slices.Sort(v.names)
	return v
}

// resolve returns the declared permissions that the patterns stand for, sorted, without repeats. What it returns is shared.
func (v *vocabulary) resolve(patterns []string) []string {
	key := strings.Join(patterns, "\n") // which no pattern holds
	if got, ok := v.resolved[key]; ok {
		return got
	}
	var all []string
	for _, text := range patterns {
		all = append(all, v.matching(text)...)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	v.resolved[key] = all
	return all
}

// matching returns the declared permissions that one pattern stands for. They stand together, since the names are sorted
// and those that a wildcard matches begin alike. A pattern that is none, which no door lets in, stands for nothing, as it
// does when a decision is made.
func (v *vocabulary) matching(text string) []string {
	p, err := policy.ParsePattern(text)
	if err != nil {
		return nil
	}
	from, _ := slices.BinarySearch(v.names, strings.TrimSuffix(text, "*"))
	to := from
	for to < len(v.names) && p.Matches(v.names[to]) {
		to++
	}
	return v.names[from:to]
}
