package spool

import (
	"encoding/hex"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// Mode says what a nil error of Append means. The zero value is ModeSpool.
type Mode uint8

// The modes of Append.
const (
	ModeSpool  Mode = iota // handed to the kernel; fsynced soon after (Config.FlushEvery)
	ModeStrict             // fsynced, together with what others wait for
)

// String is the word that configuration uses.
func (m Mode) String() string {
	if m == ModeStrict {
		return "strict"
	}
	return "spool"
}

// ParseMode reads the word that configuration uses.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "spool":
		return ModeSpool, nil
	case "strict":
		return ModeStrict, nil
	}
	return ModeSpool, fmt.Errorf("durability %q: neither spool nor strict", s)
}

// Instance names one spool directory, drawn at random when it is first opened. (Instance, Seq) names a record for good.
type Instance [16]byte

// String is the instance in hexadecimal, 32 characters.
func (i Instance) String() string { return hex.EncodeToString(i[:]) }

// Seq is the place of a record in its spool. Epoch grows with each opening that appends; N counts from 1 without gaps
// within the epoch. {e, 0} is the place before the first record of epoch e.
type Seq struct {
	Epoch, N uint64
}

// Less reports whether s comes before t.
func (s Seq) Less(t Seq) bool {
	return s.Epoch < t.Epoch || s.Epoch == t.Epoch && s.N < t.N
}

// String is the place for people to read.
func (s Seq) String() string { return fmt.Sprintf("%d.%d", s.Epoch, s.N) }

// MaxRecord is the most bytes of one record.
const MaxRecord = 1 << 20

// What Append and Open can say, for errors.Is.
var (
	ErrFull     = errors.New("spool full")                     // Config.MaxBytes is reached, or the disk is full
	ErrClosed   = errors.New("spool closed")                   // after Close
	ErrFailed   = errors.New("spool failed")                   // the disk refuses; tried again after Config.Retry
	ErrTooLarge = errors.New("spool record size")              // no bytes at all, or more than MaxRecord
	ErrLocked   = errors.New("spool locked")                   // another process has the directory open
	ErrForeign  = errors.New("spool segment of another spool") // its header names another instance
)

// Config tunes a Log. The zero value is usable.
type Config struct {
	// SegmentBytes is where a segment ends and the next begins; 0 means 64 MiB. A quarter of MaxBytes at most, so that
	// draining makes room.
	SegmentBytes int64
	MaxBytes     int64            // most bytes of all segments together; 0 means 2 GiB
	WarnAt       float64          // share of MaxBytes from which Status warns; 0 means 0.8
	FlushEvery   time.Duration    // longest that a ModeSpool record waits for its fsync to begin; 0 means 10ms
	GroupMax     int              // ModeStrict appenders that make an fsync begin at once; 0 means 256
	GroupWait    time.Duration    // longest that a ModeStrict appender waits for others to share its fsync; 0 means 1ms
	Retry        time.Duration    // pause after a failure before the disk is tried again; 0 means 100ms
	FS           FS               // nil means the machine's
	Now          func() time.Time // nil means time.Now
}

// withDefaults fills in what was left zero and refuses what makes no sense.
func (c Config) withDefaults() (Config, error) {
	var err error
	refuse := func(bad bool, text string) {
		if bad {
			err = errors.Join(err, errors.New(text))
		}
	}
	refuse(c.SegmentBytes < 0 || c.MaxBytes < 0, "spool sizes: negative")
	refuse(c.MaxBytes != 0 && c.MaxBytes < minBytes, "spool size limit: less than 4 KiB")
	refuse(!(c.WarnAt >= 0 && c.WarnAt <= 1), "spool warning: not between 0 and 1")
	refuse(c.GroupMax < 0, "spool group: negative")
	refuse(c.FlushEvery < 0 || c.GroupWait < 0 || c.Retry < 0, "spool durations: negative")
	if err != nil {
		return c, err
	}
	c.MaxBytes = or(c.MaxBytes, 2<<30)
	c.SegmentBytes = min(or(c.SegmentBytes, 64<<20), c.MaxBytes/4)
	c.WarnAt = or(c.WarnAt, 0.8)
	c.FlushEvery = or(c.FlushEvery, 10*time.Millisecond)
	c.GroupMax = or(c.GroupMax, 256)
	c.GroupWait = or(c.GroupWait, time.Millisecond)
	c.Retry = or(c.Retry, 100*time.Millisecond)
	if c.FS == nil {
		c.FS = osFS{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// minBytes is the smallest limit that leaves room for a few segments.
const minBytes = 4 << 10

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// noSpace reports whether err says that there is no room, rather than that the disk is broken. EFBIG is the process's
// own limit on the size of a file (RLIMIT_FSIZE).
func noSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// refusal names what the disk said in this package's words.
func refusal(err error) error {
	if noSpace(err) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("%w: %w", ErrFailed, err)
}
