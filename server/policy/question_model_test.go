package policy_test

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// question is one to both engine and reference: about a path of an api, or a permission by its name.
type question struct {
	api        string
	method     string
	path       string
	permission string // when set, method and path are only what conditions see
	principal  policy.Principal
	nobody     bool // there is no principal
	at         time.Time
}

// String is the question for a person who has to find out why two answers differ.
func (q question) String() string {
	what := q.method + " " + q.path
	if q.permission != "" {
		what = "permission " + q.permission + " (" + what + ")"
	}
	return fmt.Sprintf("%+v asks for %s of api %s at %s", q.principal, what, q.api, q.at.Format(time.RFC3339Nano))
}

// input is the question as the engine takes it, without what belongs to a snapshot.
func (q question) input() policy.Input {
	in := policy.Input{
		Now: q.at, Principal: &q.principal, Method: q.method, Host: "orders.example", Path: q.path,
		SourceIP: netip.AddrFrom4([4]byte{192, 0, 2, 1}),
	}
	if q.permission != "" {
		in.Resource = "things/7"
	}
	if q.nobody {
		in.Principal = nil
	}
	return in
}

// principal is a caller, mostly one whom one of the grants means. What a token may hold and grants cannot name, or only
// seem to name, is among it: upper case, slashes, roles as of another api, scopes of an application.
func (g generator) principal(grants []policy.Grant) policy.Principal {
	p := policy.Principal{Kind: policy.PrincipalUser, TenantID: g.oneOf(tenants), ObjectID: g.oneOf(guids), ClientID: g.oneOf(guids)}
	if g.chance(25) {
		p.Kind = policy.PrincipalApp
	}
	p.Groups = g.some(guids, 0, 2)
	if g.chance(40) {
		p.Roles = g.some(roles, 1, 2)
	}
	if g.chance(30) {
		p.WIDs = g.some(guids, 1, 2)
	}
	for range g.IntN(3) {
		if len(grants) > 0 {
			g.become(&p, pick(g, grants).Subject)
		}
	}
	if p.Kind == policy.PrincipalUser || g.chance(10) {
		p.Scopes = g.some(scopes, 0, 4)
	}
	if g.chance(10) {
		p.Groups = append(p.Groups, p.Groups...)
		p.Groups = append(p.Groups, strings.ToUpper(guids[2]), p.TenantID+"/"+guids[0], "")
		p.Roles = append(p.Roles, "orders/Admin", "Admin ", "", "Admin")
		p.WIDs = append(p.WIDs, strings.ToUpper(guids[2]), "")
		p.Scopes = append(p.Scopes, "Orders.Read Orders.ReadWrite", "", "Orders.Read")
	}
	return p
}

// become makes the caller one whom the subject means.
func (g generator) become(p *policy.Principal, subject string) {
	kind, rest, _ := strings.Cut(subject, ":")
	tenant, id, _ := strings.Cut(rest, "/")
	switch kind {
	case "user":
		p.Kind, p.TenantID, p.ObjectID = policy.PrincipalUser, tenant, id
	case "app":
		p.Kind, p.TenantID = policy.PrincipalApp, tenant
		if g.chance(50) {
			p.ObjectID = id
		} else {
			p.ClientID = id
		}
	case "group":
		p.TenantID, p.Groups = tenant, append(p.Groups, id)
	case "approle":
		p.Roles = append(p.Roles, id)
	case "wid":
		p.WIDs = append(p.WIDs, rest)
	case "tenant":
		p.TenantID = rest
	}
}

// segment is one of a path, often of a kind that some parameter refuses.
func (g generator) segment() string {
	if g.chance(50) {
		return g.oneOf(pathLiterals)
	}
	return pick(g, []string{
		"x", "42", "0", "007", "999999999999999999", "1000000000000000000", "-1", "+1", "1.0", "4 2", "%41", "%2F", "A", "..",
		"A0000000-0000-4000-8000-00000000000B", guids[2], guids[2] + "0", "a0000000-0000-4000-8000-00000000000g",
		"a000000000-00-4000-8000-00000000000b", "{x}", "٤٢", "",
	})
}

// path is made for a template, or of anything when there is none.
func (g generator) path(template string) string {
	if template == "" {
		var b strings.Builder
		for range g.IntN(5) {
			b.WriteString("/" + g.segment())
		}
		if b.Len() == 0 || g.chance(20) {
			b.WriteString("/")
		}
		return b.String()
	}
	segments := segmentsOf(template)
	for i, s := range segments {
		_, form, isParam := parameter(s)
		switch {
		case g.chance(4):
			segments[i] = g.segment()
		case !isParam:
		case form == ":int":
			segments[i] = pick(g, []string{"42", "0", "999999999999999999", "1000000000000000000"})
		case form == ":uuid":
			segments[i] = pick(g, []string{guids[0], guids[1], strings.ToUpper(guids[2])})
		case form == "...":
			segments[i] = pick(g, []string{"a", "a/b", "x/y/z", "a/42/b", "42", "a//b"})
		default:
			segments[i] = g.oneOf(pathLiterals)
		}
	}
	path := "/" + strings.Join(segments, "/")
	if g.chance(4) {
		path += "/"
	}
	if g.chance(1) {
		path = strings.TrimPrefix(path, "/")
	}
	return path
}

// question asks about the policy, near its edges.
func (g generator) question(f policy.Facts) question {
	a := pick(g, f.APIs)
	var routes []policy.Route
	for _, r := range f.Routes {
		if r.API == a.ID {
			routes = append(routes, r)
		}
	}
	var grants []policy.Grant
	for _, gr := range f.Grants {
		if gr.API == a.ID {
			grants = append(grants, gr)
		}
	}
	q := question{api: a.ID, principal: g.principal(grants), at: now, method: pick(g, []string{"GET", "POST", "DELETE", "PUT"})}
	if g.chance(40) {
		q.at = g.instant()
	}
	if g.chance(10) {
		q.at = q.at.In(time.FixedZone("east of here", 5*3600+1800))
	}
	template := ""
	if len(routes) > 0 && g.chance(95) {
		r := pick(g, routes)
		template = r.Template
		if g.chance(90) {
			q.method = g.oneOf(r.Methods)
		}
	}
	q.path = g.path(template)
	if template == "" && g.chance(75) || g.chance(20) {
		q.permission = g.oneOf(a.Permissions)
		if g.chance(10) {
			q.permission = pick(g, []string{g.oneOf(declarers), "orders.*", "*", "Orders.read", "orders.", "unheard.of"})
		}
	}
	return q
}
