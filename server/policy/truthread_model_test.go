package policy_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

var looksLikeGUID = regexp.MustCompile(`^[0-9A-Fa-f]{8}-[0-9A-Fa-f-]*$`)

// guidFor gives a name its GUID, so that tables can speak of contoso and clerks; what looks like one stays.
func guidFor(name string) string {
	if name == "" || looksLikeGUID.MatchString(name) {
		return name
	}
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(name)))
	return sum[:8] + "-" + sum[8:12] + "-" + sum[12:16] + "-" + sum[16:20] + "-" + sum[20:32]
}

// subjectFor is a subject of names as grants have it; the roles of approle are names in verdict too and stay.
func subjectFor(text string) string {
	kind, rest, ok := strings.Cut(text, ":")
	if !ok || kind == "approle" {
		return text
	}
	parts := strings.Split(rest, "/")
	for i := range parts {
		parts[i] = guidFor(parts[i])
	}
	return kind + ":" + strings.Join(parts, "/")
}

// words are what is left of a line; take cuts off and returns all words up to the next that is in stop.
type words []string

func (w *words) next() string {
	if len(*w) == 0 {
		return ""
	}
	word := (*w)[0]
	*w = (*w)[1:]
	return word
}

func (w *words) take(stop ...string) []string {
	var out []string
	for len(*w) > 0 {
		for _, s := range stop {
			if (*w)[0] == s {
				return out
			}
		}
		out = append(out, w.next())
	}
	return out
}

// readPolicy reads the policy of a table, a fact a line; routes and grants are of the api above them.
func readPolicy(section string) (policy.Facts, error) {
	f := policy.Facts{Revision: 1}
	for _, line := range tableLines(section) {
		w := words(strings.Fields(line))
		var err error
		switch kind := w.next(); kind {
		case "api":
			id := w.next()
			f.APIs = append(f.APIs, policy.API{ID: id, Audiences: []string{"api://" + id}})
		case "route":
			err = readRoute(&f, w)
		case "grant":
			err = readGrant(&f, w)
		default:
			err = readOfAPI(&f, kind, w)
		}
		if err != nil {
			return f, fmt.Errorf("%s: %w", line, err)
		}
	}
	if len(f.APIs) == 0 {
		return f, errors.New("a policy without an api")
	}
	return f, nil
}

// readOfAPI reads what belongs to the api itself, such as "scope Orders.Read carries orders.read".
func readOfAPI(f *policy.Facts, kind string, w words) error {
	if len(f.APIs) == 0 {
		return errors.New("there is no api above")
	}
	a := &f.APIs[len(f.APIs)-1]
	switch kind {
	case "permissions":
		a.Permissions = append(a.Permissions, w...)
	case "hosts":
		a.Hosts = append(a.Hosts, w...)
	case "audiences":
		a.Audiences = append([]string(nil), w...)
	case "scope":
		name := w.next()
		if w.next() != "carries" {
			return errors.New("a scope carries permissions")
		}
		a.Scopes = append(a.Scopes, policy.ScopeRule{Scope: name, Permissions: w})
	case "client":
		name := w.next()
		if w.next() != "uses" {
			return errors.New("a client uses permissions")
		}
		a.Actors = append(a.Actors, policy.ActorRule{ClientID: guidFor(name), Permissions: w})
	default:
		return fmt.Errorf("what is %q", kind)
	}
	return nil
}

// readRoute reads "list GET,HEAD /orders needs all of orders.read when method==GET", "is public" or "is for anyone known".
func readRoute(f *policy.Facts, w words) error {
	if len(f.APIs) == 0 {
		return errors.New("there is no api above")
	}
	r := policy.Route{API: f.APIs[len(f.APIs)-1].ID, ID: w.next(), Methods: strings.Split(w.next(), ","), Template: w.next()}
	switch need := strings.Join(w.take("of", "public", "known", "nothing"), " ") + " " + w.next(); need {
	case "is public":
		r.Requirement = policy.RequirePublic
	case "is for anyone known":
		r.Requirement = policy.RequireAuthenticated
	case "needs all of":
		r.Requirement, r.Permissions = policy.RequireAllOf, w.take("when")
	case "needs any of":
		r.Requirement, r.Permissions = policy.RequireAnyOf, w.take("when")
	case "needs nothing":
	default:
		return fmt.Errorf("what is %q", need)
	}
	if len(w) > 0 {
		if w.next() != "when" {
			return errors.New("only a condition can follow")
		}
		r.Condition = strings.Join(w, " ")
	}
	f.Routes = append(f.Routes, r)
	return nil
}

// readGrant reads "g-1 allows group:contoso/clerks orders.* from 2026-03-01T00:00:00Z until 2026-04-01T00:00:00Z when true".
func readGrant(f *policy.Facts, w words) (err error) {
	if len(f.APIs) == 0 {
		return errors.New("there is no api above")
	}
	g := policy.Grant{API: f.APIs[len(f.APIs)-1].ID, ID: w.next()}
	switch effect := w.next(); effect {
	case "allows":
		g.Effect = policy.Allow
	case "denies":
		g.Effect = policy.Deny
	default:
		return fmt.Errorf("what is %q", effect)
	}
	g.Subject = subjectFor(w.next())
	g.Permissions = w.take("from", "until", "when")
	for len(w) > 0 && err == nil {
		switch w.next() {
		case "from":
			g.NotBefore, err = time.Parse(time.RFC3339Nano, w.next())
		case "until":
			g.ExpiresAt, err = time.Parse(time.RFC3339Nano, w.next())
		case "when":
			g.Condition = strings.Join(w.take(), " ")
		default:
			return errors.New("only from, until and when can follow")
		}
	}
	f.Grants = append(f.Grants, g)
	return err
}

// readCallers reads "anna: user contoso/anna, through portal, groups clerks, scopes Orders.Read", a caller a line.
func readCallers(section string) (map[string]policy.Principal, error) {
	callers := map[string]policy.Principal{}
	for _, line := range tableLines(section) {
		name, rest, _ := strings.Cut(line, ":")
		var p policy.Principal
		for part := range strings.SplitSeq(rest, ",") {
			w := words(strings.Fields(part))
			switch kind := w.next(); kind {
			case "user", "app":
				p.Kind = map[string]policy.PrincipalKind{"user": policy.PrincipalUser, "app": policy.PrincipalApp}[kind]
				tenant, id, _ := strings.Cut(w.next(), "/")
				p.TenantID, p.ObjectID = guidFor(tenant), guidFor(id)
			case "through":
				p.ClientID = guidFor(w.next())
			case "groups":
				p.Groups = guidsFor(w)
			case "directory-roles":
				p.WIDs = guidsFor(w)
			case "roles":
				p.Roles = w
			case "scopes":
				p.Scopes = w
			default:
				return nil, fmt.Errorf("%s: what is %q", line, kind)
			}
		}
		if p.Kind == policy.PrincipalUnknown {
			return nil, fmt.Errorf("%s: neither user nor app", line)
		}
		callers[name] = p
	}
	return callers, nil
}

func guidsFor(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, guidFor(n))
	}
	return out
}
