package pdp

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/request"
	"github.com/verdict-authz/verdict/server/revocation"
	"github.com/verdict-authz/verdict/store"
)

// Policy is where the current policy comes from; *snapshot.Follower is one.
type Policy interface {
	Current() *policy.Snapshot // nil: none yet
	Stale(now time.Time) bool
	// WaitFor returns nil once Current has at least this revision, or an error when ctx ends first.
	WaitFor(ctx context.Context, revision uint64) error
}

// Verifier proves tokens; *entra.Verifier is one.
type Verifier interface {
	Verify(ctx context.Context, token string, want entra.Expect) (*entra.Token, entra.Refusal)
}

// Revocations tells which tokens are refused before they expire; *revocation.Feed is one.
type Revocations interface {
	// Check returns the revocation that refuses the token, nil for none. known is false while none were ever loaded.
	Check(t revocation.Facts) (hit *store.Revocation, known bool)
	// Stale tells whether the revocations in use may be too old for an api that is strict about them.
	Stale(now time.Time) bool
}

// Recorder keeps decisions; *audit.Recorder is one. It copies d, lists included, which are used again. An error means that the
// decision must not be given.
type Recorder interface {
	Record(d store.Decision, want policy.Keeping) error
}

// Observer is told of every answer, after it was recorded; *metrics.Registry is one. It must not wait.
type Observer interface {
	Observe(door string, effect policy.Effect, reason policy.Reason, took time.Duration)
}

// Config tunes a PDP. The zero value is usable.
type Config struct {
	Now func() time.Time // nil means time.Now
	// Authorities are where users of a provider sign in, by the provider's name, such as https://login.microsoftonline.com.
	// A provider that is not there has no claims challenges.
	Authorities map[string]string
	Observer    Observer // nil: nobody is told
	Anonymous   bool     // answers keep the principal out of the call's log line, as records keep it out of theirs
	Groups      Groups   // nil: what tokens list; groups that do not fit in a token are unresolved
}

// PDP decides. It is safe for concurrent use.
type PDP struct {
	policy      Policy
	verifier    Verifier
	revocations Revocations
	authorities map[string]string
	recorder    Recorder
	observer    Observer // nil: none
	anonymous   bool
	groups      Groups // nil: none
	log         *slog.Logger
	now         func() time.Time
	scratch     sync.Pool // of *scratch
}

// scratch is what one decision needs and the next can reuse.
type scratch struct {
	canonical request.Canonical
	params    policy.Params
	subjects  []policy.SubjectRef
	eval      policy.Scratch
	basis     basis
}

// New returns a PDP over its collaborators, all required.
func New(p Policy, v Verifier, rev Revocations, r Recorder, log *slog.Logger, cfg Config) (*PDP, error) {
	if p == nil || v == nil || rev == nil || r == nil || log == nil {
		return nil, errors.New("pdp: policy, verifier, revocations, recorder and log are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &PDP{policy: p, verifier: v, revocations: rev, recorder: r, observer: cfg.Observer, anonymous: cfg.Anonymous, groups: cfg.Groups, log: log, now: cfg.Now, authorities: cfg.Authorities}
	d.scratch.New = func() any { return new(scratch) }
	return d, nil
}

// Decide answers q. It never fails: what cannot be decided is a deny whose reason says so.
func (p *PDP) Decide(ctx context.Context, q *Question) Answer {
	return p.decide(ctx, q, nil)
}

// DecideAll answers each of qs on one and the same policy, the first that satisfies the largest MinRevision among them.
func (p *PDP) DecideAll(ctx context.Context, qs []Question) []Answer {
	var highest uint64
	for i := range qs {
		highest = max(highest, qs[i].MinRevision)
	}
	snap, reason := p.snapshot(ctx, highest, p.now())
	answers := make([]Answer, len(qs))
	for i := range qs {
		answers[i] = p.decide(ctx, &qs[i], &pinned{snap, reason})
	}
	return answers
}

// pinned is a policy chosen for several decisions, or why there is none.
type pinned struct {
	snap   *policy.Snapshot
	reason policy.Reason
}

// What a decision needs of the caller's deadline: under minBudget nothing is begun; what waits leaves replyBudget for the
// answer to travel. Envoy's default timeout is 200 ms.
const (
	minBudget   = 5 * time.Millisecond
	replyBudget = 10 * time.Millisecond
)

func (p *PDP) decide(ctx context.Context, q *Question, pin *pinned) Answer {
	return p.answer(ctx, q, func(ctx context.Context, s *scratch, a *Answer) {
		r := p.walk(ctx, q, pin, s, a)
		if q.Permitted {
			a.Permitted = p.permitted(ctx, q, r, s, a)
		}
	})
}

// answer lets decide fill in an answer and records it, whatever happens on the way.
func (p *PDP) answer(ctx context.Context, q *Question, decide func(context.Context, *scratch, *Answer)) (a Answer) {
	began := p.now()
	a = Answer{ID: newID(), At: began.UTC(), anonymous: p.anonymous}
	s, _ := p.scratch.Get().(*scratch)
	defer func() {
		if cause := recover(); cause != nil {
			p.log.Error("panic while deciding", "decision_id", a.ID, "cause", cause, "stack", string(debug.Stack()))
			s = new(scratch) // the old one may be half written
			a = Answer{ID: a.ID, At: a.At, Reason: policy.Internal}
		}
		p.keep(q, s, &a, p.now().Sub(began))
		if p.observer != nil {
			p.observer.Observe(q.Door, a.Effect, a.Reason, p.now().Sub(began))
		}
		s.basis.forget()
		p.scratch.Put(s)
	}()
	ctx, cancel, ok := budget(ctx)
	defer cancel()
	if !ok {
		a.deny(policy.DeadlineTooShort, "")
		return a
	}
	decide(ctx, s, &a)
	return a
}

// budget shortens ctx by what the reply needs; not ok when too little is left to begin.
func budget(ctx context.Context) (context.Context, context.CancelFunc, bool) {
	end, has := ctx.Deadline()
	if !has {
		return ctx, func() {}, true
	}
	if time.Until(end) < minBudget {
		return ctx, func() {}, false
	}
	ctx, cancel := context.WithDeadline(ctx, end.Add(-replyBudget))
	return ctx, cancel, true
}

// snapshot returns the policy to decide on, or why there is none.
func (p *PDP) snapshot(ctx context.Context, atLeast uint64, now time.Time) (*policy.Snapshot, policy.Reason) {
	snap := p.policy.Current()
	if snap == nil {
		return nil, policy.PolicyUnavailable
	}
	if p.policy.Stale(now) {
		return nil, policy.PolicyStale
	}
	if snap.Revision() < atLeast {
		if err := p.policy.WaitFor(ctx, atLeast); err != nil {
			return nil, policy.RevisionNotReached
		}
		snap = p.policy.Current()
	}
	return snap, policy.ReasonNone
}

func (a *Answer) deny(r policy.Reason, detail string) {
	a.Effect, a.Reason, a.Detail = policy.Deny, r, detail
}

// newID makes the id of a decision: UUIDv7, so that records sort by time.
func newID() string {
	id, err := uuid.NewV7()
	if err != nil { // the system has no randomness; nothing it signs or serves can be trusted either
		panic(err)
	}
	return id.String()
}
