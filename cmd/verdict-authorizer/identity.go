package main

import (
	"slices"
	"strings"
)

// uncovered names what a kept yes or no would have to be kept under and is not, as far as the event shows: the gateway applies
// it to every request with the same identity sources, whatever its route. "": nothing.
func (q *question) uncovered() string {
	has := func(value string) bool { return value != "" && slices.Contains(q.identity, value) }
	var lacks []string
	if values := q.values("authorization"); len(values) > 0 && !has(values[0]) {
		lacks = append(lacks, "$request.header.Authorization")
	}
	if !has(q.RouteKey) {
		lacks = append(lacks, "$context.routeKey")
	}
	method, path, _ := strings.Cut(q.RouteKey, " ")
	if method != q.method && !has(q.method) { // ANY, or $default
		lacks = append(lacks, "$context.httpMethod")
	}
	if (path == "" || strings.ContainsAny(path, "{}")) && !has(q.RawPath) && !has(q.RequestContext.HTTP.Path) {
		lacks = append(lacks, "$context.path")
	}
	return strings.Join(lacks, " and ")
}
