package policy_test

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/verdict-authz/verdict/server/policy"
)

// The grammars of names, as the reference reads them.
const guidForm = `[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`

var (
	apiID        = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	routeID      = regexp.MustCompile(`^[a-z][a-z0-9._-]{0,62}$`)
	grantID      = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	permission   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*([.][a-z0-9][a-z0-9_-]*){0,7}$`)
	wildcard     = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*([.][a-z0-9][a-z0-9_-]*){0,7}[.][*]$`)
	foreignID    = regexp.MustCompile(`^[\pL\pM\pN\pP\pS ]{1,200}$`)
	guidOnly     = regexp.MustCompile(`^` + guidForm + `$`)
	subjectOfTwo = regexp.MustCompile(`^(user|app|group):` + guidForm + `/` + guidForm + `$`)
	subjectOfOne = regexp.MustCompile(`^(wid|tenant):` + guidForm + `$`)
	subjectOfSID = regexp.MustCompile(`^(user|group):` + guidForm + `/S-1-5(-(0|[1-9][0-9]{0,9})){1,15}$`)
	subjectOfDN  = regexp.MustCompile(`^(user|group):` + guidForm + `/([\pL\pM\pN\pP\pS ]{1,300})$`)
	subjectOfIDP = regexp.MustCompile(`^(?:user|app|group):([a-z][a-z0-9.-]{0,62})/[\pL\pM\pN\pP\pS ]{1,200}$`)
	tenantOfIDP  = regexp.MustCompile(`^tenant:([a-z][a-z0-9.-]{0,62})$`)
	subjectRole  = regexp.MustCompile(`^approle:([a-z][a-z0-9-]{0,62})/([!-.0-~]{1,120})$`)
	plainHost    = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	methods      = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}
)

// Faults that two facts share, or that a fact has because of its api.
const (
	faultNoAPI      = "there is no such api"
	faultIDTaken    = "its id is taken"
	faultHostTaken  = "a host belongs to another api"
	faultUndeclared = "a permission is not declared or repeated"
	faultPattern    = "a pattern is malformed or matches nothing"
	faultTie        = "it ties with "
)

// faults collects what is wrong with facts: which fact, and why.
type faults map[string][]string

func (f faults) add(fact, why string) { f[fact] = append(f[fact], why) }

func (f faults) require(ok bool, fact, why string) {
	if !ok {
		f.add(fact, why)
	}
}

// faultsOf says what makes the facts no valid policy, by the fact that is at fault; none: they are valid.
func faultsOf(facts policy.Facts) faults {
	found := faults{}
	declared := map[string][]string{} // api -> permissions
	hosts := map[string]string{}      // host -> api
	for _, a := range facts.APIs {
		fact := "api/" + a.ID
		_, taken := declared[a.ID]
		found.require(!taken, fact, faultIDTaken)
		declared[a.ID] = append([]string{}, a.Permissions...)
		for _, h := range a.Hosts {
			found.require(plainHost.MatchString(h), fact, "a host is not canonical")
			found.require(hosts[h] == "", fact, faultHostTaken)
			hosts[h] = fact
		}
		found.api(a)
	}
	for i, r := range facts.Routes {
		fact := "route/" + r.API + "/" + r.ID
		names, known := declared[r.API]
		found.require(known, fact, faultNoAPI)
		found.route(r, names)
		for _, other := range facts.Routes[:i] {
			found.require(other.API != r.API || other.ID != r.ID, fact, faultIDTaken)
			found.require(!tie(r, other), fact, faultTie+other.ID)
		}
	}
	taken := map[string]bool{}
	for _, g := range facts.Grants {
		fact := "grant/" + g.ID
		names, known := declared[g.API]
		found.require(known, fact, faultNoAPI)
		found.require(!taken[g.ID], fact, faultIDTaken)
		taken[g.ID] = true
		found.grant(g, names)
	}
	return found
}

func (f faults) api(a policy.API) {
	fact := "api/" + a.ID
	f.require(apiID.MatchString(a.ID), fact, "its id is malformed")
	f.require(len(a.Audiences) > 0, fact, "it has no audience")
	for i, aud := range a.Audiences {
		f.require(aud != "" && !slices.Contains(a.Audiences[:i], aud), fact, "an audience is empty or repeated")
	}
	for i, p := range a.Permissions {
		f.require(permission.MatchString(p) && len(p) <= 128, fact, "a permission is malformed")
		f.require(!slices.Contains(a.Permissions[:i], p), fact, "a permission is repeated")
	}
	for _, rule := range a.Scopes {
		f.require(rule.Scope != "" && len(rule.Permissions) > 0, fact, "a scope rule is empty")
		f.patterns(fact, rule.Permissions, a.Permissions)
	}
	for _, rule := range a.Actors {
		f.require(clientID(rule.ClientID), fact, "a client id is malformed")
		f.patterns(fact, rule.Permissions, a.Permissions)
	}
}

// patterns asks that each pattern is well formed and matches a declared permission.
func (f faults) patterns(fact string, patterns, declared []string) {
	for _, p := range patterns {
		wellFormed := permission.MatchString(p) || wildcard.MatchString(p)
		matches := slices.ContainsFunc(declared, func(d string) bool { return wellFormed && matchesPattern(p, d) })
		f.require(matches, fact, faultPattern)
	}
}

func (f faults) route(r policy.Route, declared []string) {
	fact := "route/" + r.API + "/" + r.ID
	f.require(routeID.MatchString(r.ID), fact, "its id is malformed")
	f.require(len(r.Methods) > 0, fact, "it has no method")
	for i, m := range r.Methods {
		f.require(slices.Contains(methods, m) && !slices.Contains(r.Methods[:i], m), fact, "a method is unknown or repeated")
	}
	if fault := templateFault(r.Template); fault != "" {
		f.add(fact, "its template "+fault)
	}
	f.condition(fact, r.Condition)
	switch r.Requirement {
	case policy.RequirePublic:
		f.require(!catchesAll(r.Template), fact, "it is public and catches all")
		f.require(r.Condition == "", fact, "it is public under a condition")
	case policy.RequireAuthenticated:
		f.require(!catchesAll(r.Template), fact, "it is for all callers and catches all")
	case policy.RequireAllOf, policy.RequireAnyOf:
		f.require(len(r.Permissions) > 0, fact, "it requires no permission")
	default:
		f.add(fact, "it requires nothing known")
	}
	for i, p := range r.Permissions {
		f.require(slices.Contains(declared, p) && !slices.Contains(r.Permissions[:i], p), fact, faultUndeclared)
	}
}

// tie says whether two routes could be meant by the same request and neither is preferred.
func tie(a, b policy.Route) bool {
	shared := slices.ContainsFunc(a.Methods, func(m string) bool { return slices.Contains(b.Methods, m) })
	return a.API == b.API && shared && shape(a.Template) == shape(b.Template)
}

func (f faults) grant(g policy.Grant, declared []string) {
	fact := "grant/" + g.ID
	f.require(grantID.MatchString(g.ID), fact, "its id is malformed")
	f.require(len(g.Permissions) > 0, fact, "it is for no permission")
	f.require(len(sorted(g.Permissions)) == len(g.Permissions), fact, "a pattern is repeated")
	f.patterns(fact, g.Permissions, declared)
	f.condition(fact, g.Condition)
	f.require(g.Effect == policy.Allow || g.Effect == policy.Deny, fact, "its effect is unknown")
	if role := subjectRole.FindStringSubmatch(g.Subject); role != nil {
		f.require(role[1] == g.API, fact, "it names a role of another api")
		return
	}
	f.require(wellFormedSubject(g.Subject), fact, "its subject is malformed")
}

// wellFormedSubject says whether a grant may name the subject, which is no role.
func wellFormedSubject(text string) bool {
	if subjectOfTwo.MatchString(text) || subjectOfOne.MatchString(text) || subjectOfSID.MatchString(text) {
		return true
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, utf8.RuneError) {
		return false
	}
	if dn := subjectOfDN.FindStringSubmatch(text); dn != nil {
		return strings.Index(dn[2], "=") > 0 && strings.ToLower(dn[2]) == dn[2]
	}
	for _, form := range []*regexp.Regexp{subjectOfIDP, tenantOfIDP} {
		if parts := form.FindStringSubmatch(text); parts != nil {
			return !guidOnly.MatchString(parts[len(parts)-1]) // a GUID is a tenant
		}
	}
	return false
}

func (f faults) condition(fact, source string) {
	if source == "" {
		return
	}
	_, err := new(conditions).compile(source)
	f.require(err == nil, fact, "its condition does not compile")
}

// String lists the faults, in no order that matters.
func (f faults) String() string {
	var all []string
	for fact, why := range f {
		all = append(all, fact+": "+strings.Join(why, ", "))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

// clientID: a GUID as Entra writes it, or what another provider may call a client, which is not a GUID in capitals.
func clientID(id string) bool {
	return guidOnly.MatchString(id) || foreignID.MatchString(id) && !guidOnly.MatchString(strings.ToLower(id))
}
