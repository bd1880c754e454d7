package seal

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/verdict-authz/verdict/store"
)

// Store is what a Sealer works with; see store.DecisionSealer and store.Coordinator.
type Store interface {
	Reader
	AppendDigest(ctx context.Context, d store.Digest) error
	CountInWindow(ctx context.Context, from, to time.Time) (records, changes uint64, err error)
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (held bool, err error)
	ReleaseLease(ctx context.Context, name, holder string) error
	Cursor(ctx context.Context, name string) (value string, err error)
	SetCursor(ctx context.Context, name, value, expect string) error
}

const (
	leaseName = "audit-seal"
	leaseTTL  = time.Minute
	// LateWithin is how long after its window a record is still expected: a spool may wait for its node that long.
	LateWithin = 48 * time.Hour
	// windowsARound bounds how long a round is after a long pause.
	windowsARound = 256
	// latePass is how long it takes to look at all windows of the last LateWithin once.
	latePass = time.Hour
	day      = 24 * time.Hour
)

// Config tunes a Sealer. The zero value is usable.
type Config struct {
	Every  time.Duration    // length of a window, a whole part of a day; 0 means 1h
	Delay  time.Duration    // from the end of a window until it is sealed, so that few records are late; 0 means 2m
	Look   time.Duration    // how often to look for a window to seal; 0 means 30s, or Every when that is shorter
	Most   uint64           // records in a digest: a window of more is sealed in parts; 0 means 1,000,000, which are 54 MB
	Sink   Sink             // gets a copy of each digest; nil: no copies
	Holder string           // name of this replica in the lease; "" means a random one
	Now    func() time.Time // nil means time.Now
}

// Sealer seals windows one after the other, on one replica at a time.
type Sealer struct {
	store Store
	key   ed25519.PrivateKey
	keyID string
	log   *slog.Logger
	cfg   Config

	// Of the one goroutine that runs it.
	tip   tip
	parts int64 // into how many parts windows are cut
	late  lateState
	lease time.Time // when it was last renewed

	mu    sync.Mutex
	stats Stats
}

// Stats says how far a Sealer is.
type Stats struct {
	Holds         bool      // this replica seals
	LastDigest    uint64    // number of the newest digest of any replica; 0: none
	SealedThrough time.Time // end of the newest sealed window of any replica; zero: none
	Copied        uint64    // number of the last digest in the sink
	// Since the start of this replica:
	Sealed, Backfilled uint64 // digests of windows, and of what came late
	Records, Late      uint64 // in these
	Findings           uint64 // records that were changed or gone when they should not, copies that contradict; each is in the log
	Failures           uint64 // rounds that ended with an error
	LastError          string // of the last round; "": it went well
}

// New returns a Sealer that signs with key; nothing is sealed before Run.
func New(s Store, key ed25519.PrivateKey, log *slog.Logger, cfg Config) (*Sealer, error) {
	if s == nil || log == nil {
		return nil, errors.New("seal: a store and a logger are needed")
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("seal: an Ed25519 private key is needed")
	}
	if cfg.Every < 0 || cfg.Delay < 0 || cfg.Look < 0 {
		return nil, errors.New("seal: a duration is negative")
	}
	if cfg.Every == 0 {
		cfg.Every = time.Hour
	}
	if cfg.Every < time.Second || day%cfg.Every != 0 {
		return nil, fmt.Errorf("seal: windows of %s are not a whole part of a day, or under a second", cfg.Every)
	}
	if cfg.Delay == 0 {
		cfg.Delay = 2 * time.Minute
	}
	if cfg.Look == 0 {
		cfg.Look = min(30*time.Second, cfg.Every)
	}
	if cfg.Most == 0 {
		cfg.Most = 1_000_000
	}
	if cfg.Holder == "" {
		cfg.Holder = uuid.NewString()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, errors.New("seal: the private key has no Ed25519 public key")
	}
	return &Sealer{store: s, key: key, keyID: KeyID(pub), log: log, cfg: cfg, parts: 1,
		late: lateState{changes: make(map[uint64]uint64), explained: make(map[time.Time]tally)}}, nil
}

// Stats returns how it is.
func (s *Sealer) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

func (s *Sealer) note(f func(*Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.stats)
}

// finding counts and logs something that should not be.
func (s *Sealer) finding(ctx context.Context, text string, attrs ...any) {
	s.note(func(st *Stats) { st.Findings++ })
	s.log.ErrorContext(ctx, text, attrs...)
}

// Run seals until ctx ends, whose error it returns. Any number of replicas may run: the one with the lease seals, the others
// take over when it stops.
func (s *Sealer) Run(ctx context.Context) error {
	for {
		wait := s.cfg.Look
		more, err := s.round(ctx)
		if ctx.Err() != nil {
			break
		}
		if more && err == nil {
			wait = 0
		}
		s.told(ctx, err)
		select {
		case <-time.After(wait):
			continue
		case <-ctx.Done():
		}
		break
	}
	s.giveBack(ctx)
	return ctx.Err()
}

// giveBack ends the lease, so that another replica need not wait for its end.
func (s *Sealer) giveBack(ctx context.Context) {
	if !s.Stats().Holds {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.store.ReleaseLease(ctx, leaseName, s.cfg.Holder); err != nil {
		s.log.WarnContext(ctx, "the lease of sealing cannot be given back, it ends by itself", "error", err)
	}
	s.note(func(st *Stats) { st.Holds = false })
}

// told logs an error when it is another than that of the round before.
func (s *Sealer) told(ctx context.Context, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	before := s.Stats().LastError
	s.note(func(st *Stats) {
		st.LastError = text
		if err != nil {
			st.Failures++
		}
	})
	switch {
	case err != nil && text != before:
		s.log.WarnContext(ctx, "sealing does not go on, it is tried again", "error", err)
	case err == nil && before != "":
		s.log.InfoContext(ctx, "sealing goes on")
	}
}

// Round seals what is due, looks through the windows of the last two days for what came late, and copies digests, if this
// replica can have the lease for that long. Run does the same, little by little.
func (s *Sealer) Round(ctx context.Context) error {
	defer s.giveBack(ctx)
	for {
		more, err := s.round(ctx)
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	if !s.Stats().Holds {
		return nil
	}
	if err := s.lookForLate(ctx, true); err != nil {
		return err
	}
	return s.copy(ctx)
}

// round does a bounded piece of work, and says whether there is more. That another replica was first is no error.
func (s *Sealer) round(ctx context.Context) (more bool, err error) {
	more, err = s.work(ctx)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, errLostLease) {
		return false, nil
	}
	return more, err
}

func (s *Sealer) work(ctx context.Context) (more bool, err error) {
	held, err := s.store.AcquireLease(ctx, leaseName, s.cfg.Holder, leaseTTL)
	s.note(func(st *Stats) { st.Holds = held && err == nil })
	if err != nil {
		return false, err
	}
	s.lease = s.cfg.Now()
	if err := s.findTip(ctx); err != nil {
		return false, err
	}
	if !held {
		return false, nil
	}
	for range windowsARound {
		did, err := s.sealNext(ctx)
		if err != nil {
			return false, err
		}
		if !did {
			if err := s.lookForLate(ctx, false); err != nil {
				return false, err
			}
			return false, s.copy(ctx)
		}
	}
	return true, s.copy(ctx)
}

// errLostLease says that another replica may seal by now.
var errLostLease = errors.New("the lease of sealing was lost")

// keepLease renews the lease when it is time.
func (s *Sealer) keepLease(ctx context.Context) error {
	if since := s.cfg.Now().Sub(s.lease); since >= 0 && since < leaseTTL/3 {
		return nil
	}
	held, err := s.store.AcquireLease(ctx, leaseName, s.cfg.Holder, leaseTTL)
	if err != nil {
		return err
	}
	if !held {
		s.note(func(st *Stats) { st.Holds = false })
		return errLostLease
	}
	s.lease = s.cfg.Now()
	return nil
}

// tip is the end of the chain.
type tip struct {
	number  uint64 // 0: there is no digest
	hash    []byte
	through time.Time // end of the last window that is sealed; zero: none
	first   time.Time // begin of the first window
}

// findTip brings the tip up to what is in the store. Between rounds another replica may have sealed.
func (s *Sealer) findTip(ctx context.Context) error {
	latest, err := s.store.LatestDigest(ctx)
	if errors.Is(err, store.ErrNotFound) {
		s.tip = tip{}
		return nil
	}
	if err != nil {
		return err
	}
	h := Hash(&latest)
	if s.tip.number == latest.Number && bytes.Equal(s.tip.hash, h[:]) {
		return nil
	}
	if latest.KeyID == s.keyID {
		if fault := (keyring{s.keyID: s.key.Public().(ed25519.PublicKey)}).fault(&latest); fault != "" {
			s.finding(ctx, "the newest digest was changed", "digest", latest.Number, "fault", fault)
		}
	}
	t := tip{number: latest.Number, hash: h[:]}
	for d, before := latest, latest.Number; ; {
		if d.Kind == store.DigestHourly {
			t.through = d.To
			break
		}
		if before = before - 1; before == 0 {
			break
		}
		l, err := s.store.Digests(ctx, time.Time{}, time.Time{}, before-1, 1)
		if err != nil {
			return err
		}
		if len(l) == 0 {
			return fmt.Errorf("digest %d is not there: %w", before, store.ErrNotFound)
		}
		d = l[0]
	}
	first, err := s.store.Digests(ctx, time.Time{}, time.Time{}, 0, 1)
	if err != nil {
		return err
	}
	if len(first) > 0 {
		t.first = first[0].From
	}
	s.tip = t
	s.note(func(st *Stats) { st.LastDigest, st.SealedThrough = t.number, t.through })
	return nil
}

// append signs the digest of b, chains it and keeps it.
func (s *Sealer) append(ctx context.Context, b *bundle, kind store.DigestKind) error {
	if err := s.keepLease(ctx); err != nil {
		return err
	}
	d := b.digest(kind)
	d.Number, d.Previous = s.tip.number+1, s.tip.hash
	sign(&d, s.key, s.keyID)
	if err := s.store.AppendDigest(ctx, d); err != nil {
		s.tip = tip{} // whoever was first, or whether it was kept after all: the next round looks
		return err
	}
	h := Hash(&d)
	s.tip.number, s.tip.hash = d.Number, h[:]
	s.late.changes[d.Number] = b.changes
	if kind == store.DigestHourly {
		s.tip.through = d.To
		if s.tip.first.IsZero() {
			s.tip.first = d.From
		}
	}
	s.note(func(st *Stats) {
		st.LastDigest, st.SealedThrough = s.tip.number, s.tip.through
		st.Records += b.records
		if kind == store.DigestHourly {
			st.Sealed++
		} else {
			st.Backfilled++
			st.Late += b.records
		}
	})
	s.log.InfoContext(ctx, "digest made", "digest", d.Number, "kind", string(kind), "from", d.From, "to", d.To, "records", b.records,
		"changes", b.changes, "root", fmt.Sprintf("%x", d.Root[:sha256.Size/4]))
	return nil
}
