package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// notSettings are variables of this prefix that other parts of the project read: tests and tools.
var notSettings = []string{"VERDICT_TEST_", "VERDICT_ENVOY", "VERDICT_POSTGRES_BIN"}

// checkEnvironment refuses variables that look like settings and are none, since a misspelt one would silently leave a
// default in force.
func checkEnvironment(parser *kong.Kong, env []string) error {
	var known []string
	err := kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, ok := node.(*kong.Flag); ok {
			known = append(known, flag.Envs...)
		}
		return next(nil)
	})
	if err != nil {
		return fmt.Errorf("list settings: %w", err)
	}
	var problems []error
	for _, pair := range env {
		name, _, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, prefix+"_") || slices.Contains(known, name) ||
			slices.ContainsFunc(notSettings, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		problems = append(problems, fmt.Errorf("%s: no such setting; did you mean %s?", name, nearest(name, known)))
	}
	return errors.Join(problems...)
}

// nearest is the entry of known, not empty, with the fewest edits to name.
func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return edits(name, a) - edits(name, b) })
}

// edits is the Levenshtein distance of a and b.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
