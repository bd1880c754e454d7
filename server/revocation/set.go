package revocation

import (
	"fmt"
	"maps"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// Facts are what a revocation can name of a token. What is empty is not looked up.
type Facts struct {
	TenantID  string
	ObjectID  string    // oid
	ClientID  string    // azp
	SessionID string    // sid
	TokenID   string    // uti
	IssuedAt  time.Time // iat
}

// key is what is revoked; value is empty for a tenant.
type key struct{ tenant, value string }

// slot is the place of a kind in a set.
type slot int

const (
	principals slot = iota
	clients
	sessions
	tokens
	tenants
	slots
)

var slotOf = map[store.RevocationKind]slot{
	store.RevokePrincipal: principals, store.RevokeClient: clients, store.RevokeSession: sessions, store.RevokeToken: tokens,
	store.RevokeTenant: tenants,
}

// set is the revocations known after a change. It is never written to once it is published; the next set shares the maps
// that did not change.
type set struct {
	seq  uint64
	by   [slots]map[key]*store.Revocation
	next time.Time // when the first of them expires; zero: none will
}

// check returns the revocation that refuses the token; of several the one with the latest NotBefore, since a token that is
// newer than that passes them all.
func (s *set) check(t *Facts) *store.Revocation {
	var hit *store.Revocation
	for at := range slots {
		known := s.by[at]
		if len(known) == 0 {
			continue
		}
		var value string
		switch at {
		case principals:
			value = t.ObjectID
		case clients:
			value = t.ClientID
		case sessions:
			value = t.SessionID
		case tokens:
			value = t.TokenID
		}
		if value == "" && at != tenants {
			continue
		}
		r := known[key{t.TenantID, value}]
		// Equal counts: whether the token or the revocation came first within the second cannot be told.
		if r == nil || t.IssuedAt.After(r.NotBefore) || hit != nil && !r.NotBefore.After(hit.NotBefore) {
			continue
		}
		hit = r
	}
	return hit
}

// apply is the set that a delta leads to. A kind that is not known is an error: what it refuses would be let through.
func (s *set) apply(d store.RevocationDelta) (*set, error) {
	if d.Seq == s.seq && len(d.Changed) == 0 {
		return s, nil
	}
	to := &set{seq: d.Seq, by: s.by}
	var own [slots]bool // maps that are already to's own
	for i := range d.Changed {
		r := &d.Changed[i]
		at, known := slotOf[r.Kind]
		if !known {
			return nil, fmt.Errorf("revocation %s is of kind %q, which this release does not know; use a newer verdict", r.ID, r.Kind)
		}
		if !own[at] {
			to.by[at], own[at] = maps.Clone(s.by[at]), true
			if to.by[at] == nil {
				to.by[at] = map[key]*store.Revocation{}
			}
		}
		k := key{r.TenantID, r.Value}
		switch was := to.by[at][k]; {
		case !r.Deleted:
			to.by[at][k] = r
		case was != nil && was.ID == r.ID:
			delete(to.by[at], k)
		}
	}
	to.next = to.earliest()
	return to, nil
}

// prune is s without what has expired.
func (s *set) prune(now time.Time) *set {
	if s.next.IsZero() || now.Before(s.next) {
		return s
	}
	to := &set{seq: s.seq}
	for at, known := range s.by {
		left := maps.Clone(known)
		maps.DeleteFunc(left, func(_ key, r *store.Revocation) bool { return !now.Before(r.ExpiresAt) })
		to.by[at] = left
	}
	to.next = to.earliest()
	return to
}

func (s *set) earliest() time.Time {
	var first time.Time
	for _, known := range s.by {
		for _, r := range known {
			if first.IsZero() || r.ExpiresAt.Before(first) {
				first = r.ExpiresAt
			}
		}
	}
	return first
}

func (s *set) len() int {
	n := 0
	for _, known := range s.by {
		n += len(known)
	}
	return n
}
