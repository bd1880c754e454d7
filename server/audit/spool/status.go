package spool

import (
	"sort"
	"time"
)

// Status is the account of a Log as it is now.
type Status struct {
	Bytes     int64         // of all segments on disk, damaged and abandoned ones included
	MaxBytes  int64         // the limit, at which Append says ErrFull
	Warn      bool          // Bytes is at Config.WarnAt of the limit or above, or the disk refuses
	Segments  int           // files
	OldestAge time.Duration // of the oldest record that the checkpoint has not passed, to a second or so; 0: all are drained

	Epoch      uint64
	Appended   uint64 // records of this epoch that were written (ModeSpool's promise)
	Synced     uint64 // of those, known to be on disk (ModeStrict's promise)
	Refused    uint64 // Append said no
	Checkpoint Seq

	LastFsync     time.Time     // the end of the last that succeeded; zero: none yet
	LastFsyncTook time.Duration // all files of one round
	FsyncFailures uint64        // each cost a segment
	WriteFailures uint64        // segments that could not be created, each try counted
	Failing       error         // why Append refuses; nil: the disk takes records
}

// Status returns the account.
func (l *Log) Status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Status{
		Bytes: l.disk, MaxBytes: l.cfg.MaxBytes, Warn: l.near(), Segments: len(l.segs), OldestAge: l.oldestAge(),
		Epoch: l.epoch, Appended: l.count.appended, Synced: min(l.synced.seq, l.written.seq), Refused: l.count.refused,
		Checkpoint: l.checkpoint,
		LastFsync:  l.count.lastSync, LastFsyncTook: l.count.lastSyncTook,
		FsyncFailures: l.count.fsyncFailures, WriteFailures: l.count.writeFailures, Failing: l.broken,
	}
}

// near reports whether the limit is near or the disk refuses. mu is held.
func (l *Log) near() bool {
	return l.broken != nil || float64(l.disk) >= l.cfg.WarnAt*float64(l.cfg.MaxBytes)
}

// oldestAge is that of the oldest record not drained. mu is held.
func (l *Log) oldestAge() time.Duration {
	now := l.cfg.Now()
	drained := uint64(0)
	if l.checkpoint.Epoch == l.epoch {
		drained = l.checkpoint.N
	} else if len(l.segs) > 0 && l.segs[0].name.epoch < l.epoch {
		return max(0, now.Sub(l.segs[0].created))
	}
	if drained >= l.written.seq {
		return 0
	}
	return max(0, now.Sub(l.marks.of(drained+1)))
}

// warn logs once when the limit comes near, and once when it is far again.
func (l *Log) warn() {
	l.mu.Lock()
	near, bytes := l.near(), l.disk
	changed := near != l.warned
	l.warned = near
	l.mu.Unlock()
	switch {
	case changed && near:
		l.log.Warn("spool nearly full or failing", "bytes", bytes, "max_bytes", l.cfg.MaxBytes)
	case changed:
		l.log.Info("spool has room again", "bytes", bytes, "max_bytes", l.cfg.MaxBytes)
	}
}

// ages remembers when records of this epoch were appended: one in a second, and fewer when nothing is drained for so
// long that this would be many.
type ages struct {
	every time.Duration
	list  []age
}

type age struct {
	seq uint64
	at  time.Time
}

// maxAges is an hour of marks and a bit.
const maxAges = 4096

func (a *ages) add(seq uint64, now time.Time) {
	if n := len(a.list); n > 0 && now.Sub(a.list[n-1].at) < max(a.every, time.Second) {
		return
	}
	a.list = append(a.list, age{seq, now})
	if len(a.list) > maxAges {
		for i := range len(a.list) / 2 {
			a.list[i] = a.list[2*i]
		}
		a.list = a.list[:len(a.list)/2]
		a.every = 2 * max(a.every, time.Second)
	}
}

// of returns when the record was appended, or somewhat earlier.
func (a *ages) of(seq uint64) time.Time {
	i := sort.Search(len(a.list), func(i int) bool { return a.list[i].seq > seq })
	if i == 0 {
		return time.Time{}
	}
	return a.list[i-1].at
}

// drop forgets what is only needed for records before seq.
func (a *ages) drop(seq uint64) {
	i := sort.Search(len(a.list), func(i int) bool { return a.list[i].seq > seq })
	if i > 1 {
		a.list = append(a.list[:0], a.list[i-1:]...)
	}
	if len(a.list) < maxAges/2 {
		a.every = 0
	}
}
