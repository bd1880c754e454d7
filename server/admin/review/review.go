package review

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/status"
	"github.com/verdict-authz/verdict/store"
)

const (
	day              = 24 * time.Hour
	unusedAfter      = 90 * day  // when the request does not say
	expiringWithin   = 30 * day  // as above
	lookBack         = 400 * day // how far the ledger of use is asked; so the longest that unused_after can be told for
	longestExpiring  = 3650 * day
	mostChanges      = 1000
	mostPermissions  = 4_000_000 // lines of permissions in one answer, some hundred MiB
	concurrentReview = 1         // each holds the whole policy in memory
)

// Facts reads the policy; see store.PolicyReader.
type Facts interface {
	Load(ctx context.Context) (store.Facts, error)
}

// Uses reads the ledger of what use was made of grants; see store.DecisionCounter.
type Uses interface {
	GrantUse(ctx context.Context, from time.Time) ([]store.GrantUse, error)
}

// Changes reads what administrators changed; see store.ChangeReader.
type Changes interface {
	ListChanges(ctx context.Context, f store.ChangeFilter, after store.ChangeCursor, limit, facts int) ([]store.AdminChange, error)
}

// Config tunes a Reviewer. The zero value is usable.
type Config struct {
	Now func() time.Time // nil means time.Now
}

// Reviewer makes access reviews. It is safe for concurrent use; reviews wait for one another.
type Reviewer struct {
	facts   Facts
	uses    Uses
	changes Changes
	now     func() time.Time
	turn    chan struct{}
}

// New returns a reviewer of what the three know.
func New(facts Facts, uses Uses, changes Changes, cfg Config) (*Reviewer, error) {
	if facts == nil || uses == nil || changes == nil {
		return nil, errors.New("access review: policy facts, grant use and changes are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Reviewer{facts: facts, uses: uses, changes: changes, now: cfg.Now, turn: make(chan struct{}, concurrentReview)}, nil
}

// terms are what a request asks for.
type terms struct {
	api      string
	now      time.Time
	unused   time.Time // not used since: unused
	expiring time.Time // ends up to then: expiring
}

func (r *Reviewer) terms(req *verdictv1.AccessReviewRequest) (terms, error) {
	var vs []status.Violation
	span := func(d *durationpb.Duration, otherwise, least, most time.Duration, field, text string) time.Duration {
		if d == nil {
			return otherwise
		}
		if d.CheckValid() != nil || d.AsDuration() < least || d.AsDuration() > most {
			vs = append(vs, status.Violation{Field: field, Text: text})
		}
		return d.AsDuration()
	}
	unused := span(req.GetUnusedAfter(), unusedAfter, time.Second, lookBack, "unused_after",
		"must be within a second and 400 days, as far as the use of grants is looked back on")
	expiring := span(req.GetExpiringWithin(), expiringWithin, 0, longestExpiring, "expiring_within", "must be within 0 and 3650 days")
	if len(vs) > 0 {
		return terms{}, status.Invalid(vs...)
	}
	now := store.Instant(r.now())
	return terms{api: req.GetApi(), now: now, unused: now.Add(-unused), expiring: now.Add(expiring)}, nil
}

// Review makes the review that req asks for. The error is store.ErrNotFound for an api that is not there, so that a
// misspelt one is no evidence of an api without grants.
func (r *Reviewer) Review(ctx context.Context, req *verdictv1.AccessReviewRequest) (*verdictv1.AccessReviewResponse, error) {
	t, err := r.terms(req)
	if err != nil {
		return nil, err
	}
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("access review: wait for the one before: %w", ctx.Err())
	}
	facts, err := r.facts.Load(ctx)
	if err != nil {
		return nil, fmt.Errorf("access review: load the policy: %w", err)
	}
	if t.api != "" && !slices.ContainsFunc(facts.APIs, func(a store.API) bool { return a.ID == t.api }) {
		return nil, fmt.Errorf("access review: api %q: %w", t.api, store.ErrNotFound)
	}
	uses, err := r.uses.GrantUse(ctx, t.now.Add(-lookBack))
	if err != nil {
		return nil, fmt.Errorf("access review: read the use of grants: %w", err)
	}
	changes, err := r.changes.ListChanges(ctx, store.ChangeFilter{From: t.unused}, store.ChangeCursor{}, mostChanges, 0)
	if err != nil {
		return nil, fmt.Errorf("access review: read changes: %w", err)
	}
	grants, err := t.grants(&facts, uses)
	if err != nil {
		return nil, err
	}
	return &verdictv1.AccessReviewResponse{
		At: timestamppb.New(t.now), Revision: facts.Revision, Grants: grants, Changes: changeProtos(changes),
	}, nil
}

// grants is a line for each grant under review, by api, subject and id.
func (t *terms) grants(facts *store.Facts, uses []store.GrantUse) ([]*verdictv1.GrantReview, error) {
	used := make(map[string]*store.GrantUse, len(uses))
	for i := range uses {
		used[uses[i].Grant] = &uses[i]
	}
	declared := make(map[string]*vocabulary, len(facts.APIs))
	for i := range facts.APIs {
		declared[facts.APIs[i].ID] = newVocabulary(facts.APIs[i].Permissions)
	}
	lines, permissions := []*verdictv1.GrantReview{}, 0
	for i := range facts.Grants {
		g := &facts.Grants[i]
		if t.api != "" && g.API != t.api {
			continue
		}
		line := t.line(g, used[g.ID])
		if v := declared[g.API]; v != nil {
			line.Permissions = v.resolve(g.Permissions)
		}
		if permissions += len(line.Permissions); permissions > mostPermissions {
			return nil, fmt.Errorf("access review: the grants give more than %d permissions, too many for one answer; review one api at a time: %w",
				mostPermissions, status.ErrPrecondition)
		}
		lines = append(lines, line)
	}
	slices.SortFunc(lines, func(a, b *verdictv1.GrantReview) int {
		x, y := a.GetGrant(), b.GetGrant()
		return cmp.Or(strings.Compare(x.GetApi(), y.GetApi()), strings.Compare(x.GetSubject(), y.GetSubject()), strings.Compare(x.GetId(), y.GetId()))
	})
	return lines, nil
}

// line is the review of one grant; u is nil when it never decided.
func (t *terms) line(g *store.Grant, u *store.GrantUse) *verdictv1.GrantReview {
	line := &verdictv1.GrantReview{Grant: grantProto(g), Unused: true}
	if u != nil {
		line.FirstUsed, line.LastUsed, line.Principals = timestamppb.New(u.First), timestamppb.New(u.Last), u.Principals
		line.Unused = u.Last.Before(t.unused)
	}
	if !g.ExpiresAt.IsZero() {
		line.Expired = !t.now.Before(g.ExpiresAt) // as the engine has it: from that instant on it no longer counts
		line.Expiring = !line.Expired && !g.ExpiresAt.After(t.expiring)
	}
	return line
}
