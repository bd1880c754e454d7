package audit

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/verdict-authz/verdict/server/audit/spool"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

// What Record can say, for errors.Is.
var (
	ErrFull   = errors.New("no room for audit records")
	ErrFailed = errors.New("audit record not kept")
	ErrClosed = errors.New("audit recorder closed")
)

// Recorder takes decision records and writes them behind the decisions' back. It is safe for concurrent use.
type Recorder struct {
	to  store.DecisionAppender
	log *slog.Logger
	cfg Config

	// Records wait in one of the two, which from is.
	queue   *queue
	backlog *backlog
	from    source

	floods   *floods
	commits  *commits
	patience *patience
	refusals refusals

	ctx     context.Context // of the writes; ends when Close gives up
	giveUp  context.CancelFunc
	written chan struct{} // closed when the writer has ended
	done    sync.WaitGroup
	once    sync.Once
	lost    error // what Close returns
	trouble trouble

	// probe is the record last written. Writing it again changes nothing, so it tells whether the store works.
	probe store.Decision // writer only
}

// source is where records wait for the writer. next, more, settle and done are the writer's.
type source interface {
	// next waits for a batch; nil at the end, or when ctx ends.
	next(ctx context.Context) []store.Decision
	// more is the batch behind that, if there is one already, to be written together with it.
	more() []store.Decision
	// settle moves records that next and more returned from waiting to written and lost.
	settle(written, lost int)
	// done says that all that next and more returned is settled.
	done()
	// close refuses further records, and has next end when there are none left.
	close()
	// leave is called last. It accounts for what is left and says what of it is lost; cause is why it is left.
	leave(cause error) error
	stats() Stats
}

// Stats is the account of a Recorder: each record it took is in exactly one of Queued, Written and Lost. The sum of
// Repeats+1 of the records that stand for a flood is Aggregated, once they are kept, less what Close could not keep.
type Stats struct {
	Queued     uint64 // wait, those being written included; of records that an earlier process left in a spool, those read so far
	Written    uint64
	Lost       uint64 // not taken with OnFailure Count, refused by the store one by one, unreadable in the spool, or left over in memory by Close
	Refused    uint64 // with OnFailure Deny: not taken (ErrFull, ErrFailed, ErrClosed), or with sync-db not committed in time
	Late       uint64 // with sync-db: taken, but not committed in time; with OnFailure Deny they are in Refused too
	Aggregated uint64 // decisions of floods, counted in place of a record each; in Lost are those whose count Close could not keep

	LastError    string    // of the last failed write since the start; for operators, not for callers
	FailingSince time.Time // zero: the last write succeeded

	LastRefusal string // why a record was last not taken, or not in time

	// Of a spool; zero without one.
	SpoolBytes, SpoolMaxBytes int64         // on disk, and the limit
	OldestAge                 time.Duration // of the oldest record that waits, those of earlier processes included
	Warn                      bool          // the limit is near, or the disk refuses
	SpoolError                string        // why the disk refuses now; "": it does not
}

// NewRecorder starts a recorder that holds records in memory and writes them to the given store until Close.
func NewRecorder(to store.DecisionAppender, log *slog.Logger, cfg Config) (*Recorder, error) {
	cfg, err := complete(to, log, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Durability == policy.DurabilitySpool || cfg.Durability == policy.DurabilityStrict {
		return nil, errors.New("audit durability: spool and strict need a spool")
	}
	r := newRecorder(to, log, cfg)
	r.queue = newQueue(cfg.Queue, cfg.Batch, cfg.Wait, r.commits)
	r.start(r.queue)
	return r, nil
}

// NewSpooled starts a recorder that keeps records in a spool and writes them, and those that an earlier process left
// there, to the given store until Close. The spool becomes the Recorder's: nobody else uses it, and Close closes it.
func NewSpooled(to store.DecisionAppender, sp *spool.Log, log *slog.Logger, cfg Config) (*Recorder, error) {
	if sp == nil {
		return nil, errors.New("audit recorder: no spool")
	}
	cfg, err := complete(to, log, cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Durability == policy.DurabilityDefault {
		cfg.Durability = policy.DurabilitySpool
	}
	r := newRecorder(to, log, cfg)
	r.backlog = newBacklog(sp, log, cfg, r.commits, r.trouble.failed)
	r.start(r.backlog)
	return r, nil
}

func complete(to store.DecisionAppender, log *slog.Logger, cfg Config) (Config, error) {
	if to == nil || log == nil {
		return cfg, errors.New("audit recorder: a store and a logger are needed")
	}
	return cfg.withDefaults()
}

func newRecorder(to store.DecisionAppender, log *slog.Logger, cfg Config) *Recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Recorder{to: to, log: log, cfg: cfg, ctx: ctx, giveUp: cancel, written: make(chan struct{})}
	r.trouble.log, r.trouble.now = log, cfg.Now
	r.trouble.queued = func() uint64 { return r.from.stats().Queued }
	r.commits, r.patience = newCommits(), newPatience(cfg.Patience)
	r.floods = newFloods(cfg.FloodLimit, func(ctx context.Context, d *store.Decision) error { return r.put(ctx, d, spool.ModeSpool) },
		r.patience.ctx)
	return r
}

func (r *Recorder) start(from source) {
	r.from = from
	r.done.Go(r.write)
	r.done.Go(r.report)
	r.done.Go(r.floods.run)
	r.done.Go(func() { r.patience.renew(r.written) })
}

// Record takes a copy of d, its slices included: the caller may use them again. So may it the memory of Method, Host,
// RawPath, Resource, RequestID and SourceIP, which may be cuts of a request's buffer; the other strings may be kept as they
// are.
//
// nil means what want.Durability says, or Config.Durability where that is the default:
//   - without a spool the default is that the record is in memory, and Record returns at once; whoever wants more gets sync-db;
//   - spool and strict wait for the disk, as a rule microseconds, in strict for an fsync;
//   - sync-db waits until the store has committed the record. All who wait share writes.
//
// It waits for others no longer than Config.Patience says. (Who writes to the disk for the others waits for the kernel as
// long as that takes.)
//
// Where want.OnFailure, or Config.OnFailure, says deny it returns ErrFull when there is no room, ErrFailed when disk or
// store refuse or keep it waiting too long, and ErrClosed after Close, and the decision must not be given. Where it says
// count such a record is lost, counted, and the answer is nil. What came too late may be written all the same; a record
// that waited for its commit in vain stays where it is, will be written, and is no loss.
//
// Denials that anybody can cause for nothing are recorded like that up to Config.FloodLimit a second and kind, which is
// reason, api, door and PEP. Those above it are counted, and Record returns nil: after a second at most one record with
// Repeats stands for them. A crash of the process loses the counts of that second.
func (r *Recorder) Record(d store.Decision, want policy.Keeping) error {
	if r.floods.count(&d) {
		return nil
	}
	durability, lose := r.cfg.keeping(want, r.backlog != nil)
	if durability == policy.DurabilitySyncDB {
		return r.commit(&d, lose)
	}
	if err := r.put(r.patience.ctx(), &d, modeOf(durability)); err != nil {
		return r.refusals.answer(err, lose)
	}
	return nil
}

// put keeps d where records wait, or says why it cannot. It does not go by way of r.from, through which d would escape to
// the heap.
func (r *Recorder) put(ctx context.Context, d *store.Decision, mode spool.Mode) error {
	if r.backlog != nil {
		return r.backlog.add(ctx, d, mode)
	}
	return r.queue.add(d)
}

// Stats returns the account as it is now.
func (r *Recorder) Stats() Stats {
	s := r.from.stats()
	r.refusals.addTo(&s)
	s.Aggregated = r.floods.total()
	s.LastError, s.FailingSince = r.trouble.state()
	return s
}

// Close takes no further records and writes those that wait, until ctx ends. What could not be written by then stays in
// the spool for the next process, which is no loss; without a spool it is counted as lost and told by the error. With one
// the error says what is not known to be on disk. Of floods it keeps what was counted; what cannot be kept within
// Config.Patience is lost and told too. Further calls wait for the first and return the same.
func (r *Recorder) Close(ctx context.Context) error {
	r.once.Do(func() { r.lost = r.close(ctx) })
	return r.lost
}

func (r *Recorder) close(ctx context.Context) error {
	var err error
	if n := r.floods.close(ctx, r.cfg.Patience); n > 0 {
		r.refusals.lost.Add(n)
		err = errFloods(n)
	}
	r.from.close()
	select {
	case <-r.written:
	case <-ctx.Done():
	}
	r.giveUp()
	r.done.Wait()
	err = errors.Join(err, r.from.leave(context.Cause(ctx)))
	if err != nil {
		r.log.Error("audit records lost at close", "error", err, "last_error", r.Stats().LastError)
	}
	return err
}

// report says at every interval how many records were lost or refused meanwhile, and a last time at the end.
func (r *Recorder) report() {
	tick := time.NewTicker(r.cfg.Report)
	defer tick.Stop()
	var told Stats
	tell := func() {
		s := r.Stats()
		if s.Lost > told.Lost {
			r.log.Error("audit records lost", "records", s.Lost-told.Lost, "lost_total", s.Lost, "queued", s.Queued,
				"error", s.LastError, "last_refusal", s.LastRefusal)
		}
		if s.Refused > told.Refused {
			r.log.Error("audit records refused, decisions denied", "records", s.Refused-told.Refused, "queued", s.Queued,
				"error", s.LastError, "last_refusal", s.LastRefusal)
		}
		told = s
	}
	for {
		select {
		case <-tick.C:
			tell()
		case <-r.written:
			tell()
			return
		}
	}
}
