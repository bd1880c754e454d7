package seal

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// VerifyReader is what Verify reads; see store.DecisionSealer.
type VerifyReader interface {
	Reader
	DecisionDays(ctx context.Context) ([]store.Partition, error)
}

// Copies are digests that were put aside; see Folder.
type Copies interface {
	// Numbers are those of the digests that there are copies of, ascending.
	Numbers(ctx context.Context) ([]uint64, error)
	// Copy returns the copy of a digest: store.ErrNotFound when there is none, ErrContradicts when it cannot be read.
	Copy(ctx context.Context, number uint64) (store.Digest, error)
}

// VerifyConfig tunes Verify. The zero value is usable.
type VerifyConfig struct {
	Copies    Copies           // compared with the digests of the store; nil: none
	KeptSince time.Time        // a day from then on that is not kept is a finding; zero: days may be retained away
	Most      int              // findings in the result; 0 means 10,000. All are counted
	Report    func(Progress)   // is told after each window; nil: nobody
	Now       func() time.Time // nil means time.Now
}

// Progress is how far Verify is.
type Progress struct {
	Through time.Time
	Windows int // that were looked at
	Of      int
	Records uint64
	Found   uint64
}

// edge is how much beside the range is looked at, so that numbers which passed each other at its edges are no gaps.
const edge = 2 * time.Minute

// Verify checks the chain of digests from its first to its last, and what they say of the windows that meet [from, to); a zero
// `from` is the begin of the chain, a zero `to` its end. It holds one window in memory, about 54 bytes a record. What is
// wrong is in the result: an error means that it could not be found out.
func Verify(ctx context.Context, r VerifyReader, keys []ed25519.PublicKey, from, to time.Time, cfg VerifyConfig) (*Result, error) {
	ring, err := newKeyring(keys)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, errors.New("verify: no store")
	}
	if !to.IsZero() && !to.After(from) {
		return nil, fmt.Errorf("verify: %s is not after %s", to.Format(time.RFC3339), from.Format(time.RFC3339))
	}
	if cfg.Most == 0 {
		cfg.Most = 10_000
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	v := &verifier{r: r, ring: ring, cfg: cfg, from: from, to: to, res: &Result{}, gaps: make(gaps)}
	if err := v.days(ctx); err != nil {
		return nil, err
	}
	if err := v.chain(ctx); err != nil {
		return nil, err
	}
	if err := v.windows(ctx); err != nil {
		return nil, err
	}
	v.res.relocate()
	v.res.sort()
	return v.res, nil
}

// verifier is one run of Verify.
type verifier struct {
	r        VerifyReader
	ring     keyring
	cfg      VerifyConfig
	from, to time.Time
	res      *Result
	gaps     gaps
	kept     map[time.Time]keeping
	gone     map[time.Time]bool // days in the result

	// From the chain:
	hourly   []link // whose windows meet the range, by time
	backfill []link
	before   link      // the last window before the range; number 0: none
	begins   time.Time // where the chain begins
	whole    bool      // and nothing was taken from its begin
	broken   bool      // digests are missing: what is in none may have been in one of these
	doubt    bool      // digests of the range cannot be believed, which was told
	jumped   bool      // the digest before cannot be believed or is missing, so windows may not follow
}

// link is a digest and whether it can be believed.
type link struct {
	store.Digest
	trusted bool
}

func (v *verifier) add(f Finding) {
	v.res.Found++
	if len(v.res.Findings) < v.cfg.Most {
		v.res.Findings = append(v.res.Findings, f)
	}
}

// keeping is how a day is kept.
type keeping struct {
	whole bool // its records are in the store
	rest  bool // it was taken away, and what came late is there
}

// replacement is the name of a partition that was made after the first one of its day was taken away.
var replacement = regexp.MustCompile(`_[0-9]{8}_[0-9]+$`)

func (v *verifier) days(ctx context.Context) error {
	partitions, err := v.r.DecisionDays(ctx)
	if err != nil {
		return fmt.Errorf("verify: which days are kept: %w", err)
	}
	v.kept, v.gone = make(map[time.Time]keeping), make(map[time.Time]bool)
	for _, p := range partitions {
		k := v.kept[p.Day]
		k.whole = k.whole || !p.Detached && !replacement.MatchString(p.Name)
		k.rest = k.rest || !p.Detached
		v.kept[p.Day] = k
	}
	return nil
}

// away notes sealed records of a day that is not kept any more.
func (v *verifier) away(at time.Time, records uint64) {
	d := store.Day(at)
	v.res.NotKept += records
	if v.gone[d] || records == 0 {
		return
	}
	v.gone[d] = true
	v.res.Days = append(v.res.Days, d)
	if !v.cfg.KeptSince.IsZero() && !d.Before(store.Day(v.cfg.KeptSince)) {
		v.add(Finding{Kind: DayGone, At: d, Detail: "it should still be kept"})
	}
}
