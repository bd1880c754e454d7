package review

import (
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/store"
)

// grantProto is a grant as PolicyService returns it, etag included, so that who reviews it can change just that state of it.
// A test compares the two.
func grantProto(g *store.Grant) *verdictv1.Grant {
	p := &verdictv1.Grant{
		Id: g.ID, Api: g.API, Subject: g.Subject, SubjectDisplayName: g.SubjectDisplayName, Permissions: g.Permissions,
		Condition: g.Condition, NotBefore: instant(g.NotBefore), ExpiresAt: instant(g.ExpiresAt), Reason: g.Reason, Ticket: g.Ticket,
		Etag: "r" + strconv.FormatUint(g.Revision, 36),
	}
	switch g.Effect {
	case store.Allow:
		p.Effect = verdictv1.GrantEffect_GRANT_EFFECT_ALLOW
	case store.Deny:
		p.Effect = verdictv1.GrantEffect_GRANT_EFFECT_DENY
	}
	return p
}

// instant is t, nil for none.
func instant(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

var trails = map[store.Trail]verdictv1.Trail{
	store.TrailPolicy:     verdictv1.Trail_TRAIL_POLICY,
	store.TrailRevocation: verdictv1.Trail_TRAIL_REVOCATION,
	store.TrailTrust:      verdictv1.Trail_TRAIL_TRUST,
}

// changeProtos are the changes without their facts; ListChanges has those.
func changeProtos(changes []store.AdminChange) []*verdictv1.Change {
	all := make([]*verdictv1.Change, len(changes))
	for i := range changes {
		c := &changes[i]
		all[i] = &verdictv1.Change{
			Trail: trails[c.Trail], Number: c.Number, Time: timestamppb.New(c.At), Actor: c.Actor, Reason: c.Reason, Ticket: c.Ticket, Total: c.Total,
		}
	}
	return all
}
