package store

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Canonical is a in the form it is kept in: no empty lists.
func (a API) Canonical() API {
	a.Audiences = list(a.Audiences)
	a.Hosts = list(a.Hosts)
	a.Permissions = list(a.Permissions)
	a.Scopes = slices.Clone(list(a.Scopes))
	for i := range a.Scopes {
		a.Scopes[i].Permissions = list(a.Scopes[i].Permissions)
	}
	a.Actors = slices.Clone(list(a.Actors))
	for i := range a.Actors {
		a.Actors[i].Permissions = list(a.Actors[i].Permissions)
	}
	a.AllowedClients = list(a.AllowedClients)
	return a
}

// Canonical is r in the form it is kept in: no empty lists.
func (r Route) Canonical() Route {
	r.Methods = list(r.Methods)
	r.Permissions = list(r.Permissions)
	return r
}

// Canonical is g in the form it is kept in: no empty lists, instants in UTC and whole microseconds.
func (g Grant) Canonical() Grant {
	g.Permissions = list(g.Permissions)
	g.NotBefore = Instant(g.NotBefore)
	g.ExpiresAt = Instant(g.ExpiresAt)
	return g
}

// Canonical is d in the form it is kept in: no empty lists, At in UTC and whole microseconds, Took in whole microseconds,
// valid text, no Epoch and Seq without an Instance. ErrInvalid when the ID is not a UUID in lower case, a number is too large, At is
// outside the years 1 to 9999 or the leaf has another length.
func (d Decision) Canonical() (Decision, error) {
	if !isUUID(d.ID) {
		return d, fmt.Errorf("decision %q: the id is not a UUID in lower case: %w", d.ID, ErrInvalid)
	}
	if d.Revision > MaxRevision {
		return d, fmt.Errorf("decision %s: revision %d: %w", d.ID, d.Revision, ErrInvalid)
	}
	if max(d.Epoch, d.Seq, d.Repeats) > MaxRevision {
		return d, fmt.Errorf("decision %s: epoch %d, sequence %d, repeats %d: %w", d.ID, d.Epoch, d.Seq, d.Repeats, ErrInvalid)
	}
	if d.Instance != "" && (d.Epoch == 0 || d.Seq == 0) {
		return d, fmt.Errorf("decision %s: of instance %q without an epoch and a number: %w", d.ID, d.Instance, ErrInvalid)
	}
	if len(d.Leaf) != 0 && len(d.Leaf) != LeafSize {
		return d, fmt.Errorf("decision %s: a leaf of %d bytes: %w", d.ID, len(d.Leaf), ErrInvalid)
	}
	if y := d.At.UTC().Year(); y < 1 || y > 9999 {
		return d, fmt.Errorf("decision %s: in year %d: %w", d.ID, y, ErrInvalid)
	}
	d.At = Instant(d.At)
	d.Took = d.Took.Truncate(time.Microsecond)
	for _, s := range []*string{&d.Detail, &d.TenantID, &d.PrincipalID, &d.ClientID, &d.TokenID, &d.API, &d.Route, &d.Template,
		&d.Method, &d.Host, &d.RawPath, &d.Resource, &d.Door, &d.PEP, &d.RequestID, &d.SourceIP, &d.Instance,
		&d.AgentParent, &d.AgentFacets} {
		*s = mend(*s)
	}
	for _, l := range []*[]string{&d.Permissions, &d.Grants, &d.Subjects, &d.Scopes, &d.Missing, &d.GrantSubjects} {
		*l = mendAll(*l)
	}
	if d.Instance == "" {
		d.Epoch, d.Seq = 0, 0
	}
	d.Leaf = list(d.Leaf)
	return d, nil
}

// LeafSize is the length of Decision.Leaf, unless it is empty.
const LeafSize = 32

// MaxRevision is the largest number a revision can have; databases have no unsigned integers.
const MaxRevision = 1<<63 - 1

// Instant is t as stores keep it: UTC, whole microseconds. The zero time stays zero.
func Instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

func list[T any](l []T) []T {
	if len(l) == 0 {
		return nil
	}
	return l
}

// storable says whether every database keeps s as it is.
func storable(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func mend(s string) string {
	if storable(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
}

func mendAll(l []string) []string {
	if len(l) == 0 {
		return nil
	}
	if !slices.ContainsFunc(l, func(s string) bool { return !storable(s) }) {
		return l
	}
	mended := make([]string, len(l))
	for i, s := range l {
		mended[i] = mend(s)
	}
	return mended
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c < '0' || c > '9' && c < 'a' || c > 'f':
			return false
		}
	}
	return true
}

// texts are all strings of a.
func (a API) texts() iter.Seq[string] {
	return func(yield func(string) bool) {
		ok := each(yield, a.ID, a.DisplayName, string(a.AuditDurability), string(a.OnAuditFailure)) && each(yield, a.Audiences...) && each(yield, a.Hosts...) &&
			each(yield, a.AllowedClients...)
		for i := 0; ok && i < len(a.Permissions); i++ {
			ok = each(yield, a.Permissions[i].Name, a.Permissions[i].Description)
		}
		for i := 0; ok && i < len(a.Scopes); i++ {
			ok = yield(a.Scopes[i].Scope) && each(yield, a.Scopes[i].Permissions...)
		}
		for i := 0; ok && i < len(a.Actors); i++ {
			ok = yield(a.Actors[i].ClientID) && each(yield, a.Actors[i].Permissions...)
		}
	}
}

// texts are all strings of r.
func (r Route) texts() iter.Seq[string] {
	return func(yield func(string) bool) {
		_ = each(yield, r.API, r.ID, r.Template, string(r.Requirement), r.Condition, r.Upgrade, r.AuthContext) &&
			each(yield, r.Methods...) && each(yield, r.Permissions...)
	}
}

// texts are all strings of g.
func (g Grant) texts() iter.Seq[string] {
	return func(yield func(string) bool) {
		_ = each(yield, g.ID, g.API, g.Subject, g.SubjectDisplayName, string(g.Effect), g.Condition, g.Reason, g.Ticket) &&
			each(yield, g.Permissions...)
	}
}

func each(yield func(string) bool, ss ...string) bool {
	for _, s := range ss {
		if !yield(s) {
			return false
		}
	}
	return true
}
