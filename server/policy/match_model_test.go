package policy_test

import (
	"regexp"
	"slices"
	"strings"

	"github.com/verdict-authz/verdict/server/policy"
)

// Segments of templates, as the reference reads them. A final slash is a last literal segment that is empty, and so is
// the root; nothing else may be empty.
var (
	segLiteral = regexp.MustCompile(`^[A-Za-z0-9\-._~!$&'()*+,:=@]+$`)
	segParam   = regexp.MustCompile(`^\{([a-z][a-z0-9_]{0,31})(:int|:uuid|\.\.\.)?\}$`)
	anyInt     = regexp.MustCompile(`^[0-9]{1,18}$`)
	anyUUID    = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`)
)

// param is a parameter's name and the part of the path it stands for.
type param struct{ name, value string }

// segmentsOf splits a template or path at its slashes, without the first.
func segmentsOf(path string) []string { return strings.Split(path, "/")[1:] }

// parameter returns a template segment's name and form (":int", ":uuid", "..." or ""); not ok: it is a literal.
func parameter(segment string) (name, form string, ok bool) {
	m := segParam.FindStringSubmatch(segment)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// rank orders what a template segment can be; the higher is preferred.
func rank(segment string) int {
	_, form, isParam := parameter(segment)
	switch {
	case !isParam:
		return 3
	case form == ":int" || form == ":uuid":
		return 2
	case form == "":
		return 1
	}
	return 0
}

// matchTemplate says whether the template stands for the path, and with which parameters.
func matchTemplate(template, path string) ([]param, bool) {
	if !strings.HasPrefix(path, "/") {
		return nil, false
	}
	want, got := segmentsOf(template), segmentsOf(path)
	var params []param
	for i, segment := range want {
		if i >= len(got) {
			return nil, false
		}
		name, form, isParam := parameter(segment)
		value := got[i]
		fits := false
		switch {
		case !isParam:
			fits = segment == value
		case form == ":int":
			fits = anyInt.MatchString(value)
		case form == ":uuid":
			fits = anyUUID.MatchString(value)
		case form == "...":
			if slices.Contains(got[i:], "") {
				return nil, false
			}
			return append(params, param{name, strings.Join(got[i:], "/")}), true
		default:
			fits = value != ""
		}
		if !fits {
			return nil, false
		}
		if isParam {
			params = append(params, param{name, value})
		}
	}
	return params, len(want) == len(got)
}

// moreSpecific says whether a is preferred to b for a path that both stand for.
func moreSpecific(a, b string) bool {
	as, bs := segmentsOf(a), segmentsOf(b)
	for i := range min(len(as), len(bs)) {
		if rank(as[i]) != rank(bs[i]) {
			return rank(as[i]) > rank(bs[i])
		}
	}
	panic("two routes of a valid policy tie: " + a + " and " + b)
}

// match finds the route of a request by trying all; nil: there is none.
func (m *reference) match(api, method, path string) (*policy.Route, []param) {
	var best *policy.Route
	var params []param
	for i := range m.facts.Routes {
		r := &m.facts.Routes[i]
		if r.API != api || !slices.Contains(r.Methods, method) {
			continue
		}
		p, ok := matchTemplate(r.Template, path)
		if ok && (best == nil || moreSpecific(r.Template, best.Template)) {
			best, params = r, p
		}
	}
	return best, params
}

// shape is a template without the names of its parameters.
func shape(template string) string {
	segments := segmentsOf(template)
	for i, s := range segments {
		if _, form, isParam := parameter(s); isParam {
			segments[i] = "{" + form + "}"
		}
	}
	return strings.Join(segments, "/")
}

// templateFault says what is wrong with a template; "" is nothing.
func templateFault(template string) string {
	if !strings.HasPrefix(template, "/") || len(template) > 1024 {
		return "does not begin with a slash or is too long"
	}
	if template == "/" {
		return ""
	}
	segments := segmentsOf(template)
	names := map[string]bool{}
	for i, s := range segments {
		last := i == len(segments)-1
		name, form, isParam := parameter(s)
		switch {
		case s == "" && last:
		case isParam && names[name]:
			return "names a parameter twice"
		case isParam && form == "..." && !last:
			return "goes on after a tail"
		case isParam:
			names[name] = true
		case !segLiteral.MatchString(s) || s == "." || s == "..":
			return "has a segment that is neither a literal nor a parameter"
		}
	}
	if segments[len(segments)-1] == "" {
		segments = segments[:len(segments)-1]
	}
	if len(names) > 16 || len(segments) > 64 {
		return "has too many parameters or segments"
	}
	return ""
}

// catchesAll says whether a template has a tail and no literal, so that it stands for nearly everything.
func catchesAll(template string) bool {
	isLiteral := func(s string) bool { return rank(s) == 3 }
	return strings.HasSuffix(template, "...}") && !slices.ContainsFunc(segmentsOf(template), isLiteral)
}
