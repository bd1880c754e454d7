package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

const (
	floodWindow = time.Second
	floodKinds  = 1000 // counted apart at a time; the others share one kind for each reason
	floodDetail = "flood: counted"
)

// costsNothing are the reasons that anybody can cause as fast as the line allows, without a token that an issuer has
// signed. What needs one is always recorded by itself, and so is what tells of verdict's own state.
var costsNothing = [...]bool{
	policy.RequestMalformed:       true,
	policy.APIUnknown:             true,
	policy.RouteUnknown:           true,
	policy.UpgradeNotAllowed:      true,
	policy.TokenMissing:           true,
	policy.HeaderAmbiguous:        true,
	policy.SchemeUnsupported:      true,
	policy.TokenTooLarge:          true,
	policy.TokenMalformed:         true,
	policy.EncryptedToken:         true,
	policy.HeaderInvalid:          true,
	policy.AlgNotAllowed:          true,
	policy.CritUnsupported:        true,
	policy.NonceTokenUnverifiable: true,
	policy.KidMissing:             true,
	policy.KeyUnknown:             true,
	policy.DuplicateMember:        true,
	policy.ClaimsMalformed:        true,
	policy.TenantNotAllowed:       true,
	policy.TenantMismatch:         true,
	policy.SignatureInvalid:       true,
	policy.IssuerUntrusted:        true,
	policy.DeadlineTooShort:       true,
}

// floods lets a kind of decision that costs nothing to cause be recorded one by one up to a limit, and counts what is
// above it, so that a flood fills neither disk nor store and none of it goes unsaid.
type floods struct {
	limit int
	put   func(context.Context, *store.Decision) error
	ctx   func() context.Context // how long one sweep of close may wait

	mu      sync.Mutex
	kinds   map[kind]*tally
	counted uint64 // decisions, in all
	closed  bool   // nothing more is counted

	// Records that stand for what was counted and are still to be kept; at most one of each kind. They keep id and content
	// until they are: one of which nobody knows whether it was kept can be put again. The sweeper's, and then close's.
	due []dueRecord
	// life is how long the sweeper waits for the disk: until close. A record that is put twice has two numbers in a spool, and
	// the store takes one of them: the other would look like a record that somebody took away.
	life context.Context //nolint:containedctx // it is of the sweeper, not of a call
	quit context.CancelFunc
	done chan struct{}
}

// kind is what decisions have in common that are counted together.
type kind struct {
	reason         int16
	api, door, pep string
}

// tally is one kind in one window.
type tally struct {
	seen    int            // recorded one by one in this window
	counted uint64         // stand in record
	record  store.Decision // of the first one counted
	due     bool           // a record of this kind is still to be kept
}

type dueRecord struct {
	kind   kind
	record store.Decision
}

// stands is how many decisions the record stands for.
func (d *dueRecord) stands() uint64 { return d.record.Repeats + 1 }

func newFloods(limit int, put func(context.Context, *store.Decision) error, ctx func() context.Context) *floods {
	f := &floods{limit: limit, put: put, ctx: ctx, kinds: make(map[kind]*tally), done: make(chan struct{})}
	f.life, f.quit = context.WithCancel(context.Background())
	return f
}

// count takes d into the count of its kind; false when it has to be recorded by itself.
func (f *floods) count(d *store.Decision) bool {
	if d.Reason < 0 || int(d.Reason) >= len(costsNothing) || !costsNothing[d.Reason] || d.Allowed || proven(d) {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	k, t := f.tally(d)
	if t.seen < f.limit {
		t.seen++
		return false
	}
	if t.counted == 0 {
		id, err := uuid.NewV7()
		if err != nil {
			return false
		}
		t.record = first(d, k, id.String())
	}
	t.counted++
	f.counted++
	return true
}

// proven tells whether somebody stands behind d: then it is theirs, and no flood.
func proven(d *store.Decision) bool {
	return d.PrincipalKind != 0 || d.PrincipalID != "" || d.ClientID != ""
}

// tally is that of d's kind. mu is held.
func (f *floods) tally(d *store.Decision) (kind, *tally) {
	k := kind{reason: d.Reason, api: d.API, door: d.Door, pep: d.PEP}
	t := f.kinds[k]
	if t == nil && len(f.kinds) >= floodKinds {
		k = kind{reason: d.Reason}
		t = f.kinds[k]
	}
	if t == nil {
		t = new(tally)
		f.kinds[k] = t
	}
	return k, t
}

// first is the record of what begins with d: what the kind says, and of the rest only what the first one said.
func first(d *store.Decision, k kind, id string) store.Decision {
	return store.Decision{
		ID: id, At: d.At, Reason: k.reason, Detail: cmp.Or(d.Detail, floodDetail), Revision: d.Revision,
		API: k.api, Door: k.door, PEP: k.pep, Method: strings.Clone(d.Method), Host: strings.Clone(d.Host),
	}
}

// run sweeps once in a window, until close.
func (f *floods) run() {
	defer close(f.done)
	tick := time.NewTicker(floodWindow)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.sweep(f.life)
		case <-f.life.Done():
			return
		}
	}
}

// sweep ends a window: it keeps one record for each kind that was counted. What cannot be kept is for the next sweep;
// until then the kind is counted on.
func (f *floods) sweep(ctx context.Context) {
	f.gather()
	var rest []dueRecord
	var kept []kind
	for i := range f.due {
		if f.put(ctx, &f.due[i].record) == nil {
			kept = append(kept, f.due[i].kind)
		} else {
			rest = append(rest, f.due[i])
		}
	}
	f.due = rest
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range kept {
		f.kinds[k].due = false
	}
}

// gather moves what was counted to due and forgets kinds that have become rare.
func (f *floods) gather() {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ended []dueRecord
	for k, t := range f.kinds {
		if t.seen == 0 && t.counted == 0 && !t.due {
			delete(f.kinds, k)
			continue
		}
		t.seen = 0
		if t.counted == 0 || t.due {
			continue
		}
		t.record.Repeats = t.counted - 1
		ended = append(ended, dueRecord{k, t.record})
		*t = tally{due: true}
	}
	slices.SortFunc(ended, func(a, b dueRecord) int { return cmp.Compare(a.record.ID, b.record.ID) }) // of UUIDv7: by time
	f.due = append(f.due, ended...)
}

// left is how many decisions were counted that no kept record stands for.
func (f *floods) left() uint64 {
	n := uint64(0)
	for i := range f.due {
		n += f.due[i].stands()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.kinds {
		n += t.counted
	}
	return n
}

// total is how many decisions were counted.
func (f *floods) total() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counted
}

// close counts no further and keeps what was counted. It tries for as long as given, less when ctx ends, and returns how
// many decisions are lost.
func (f *floods) close(ctx context.Context, within time.Duration) (lost uint64) {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.quit()
	<-f.done
	end := time.NewTimer(within)
	defer end.Stop()
	for left := f.left(); left > 0; {
		f.sweep(f.ctx())
		before := left
		if left = f.left(); left < before {
			continue // there is room: the rest may follow at once
		}
		select {
		case <-time.After(firstBackoff):
		case <-end.C:
			return left
		case <-ctx.Done():
			return left
		}
	}
	return 0
}

// errFloods says what close could not keep.
func errFloods(n uint64) error {
	return fmt.Errorf("audit: %d decisions of floods were counted and not recorded", n)
}
