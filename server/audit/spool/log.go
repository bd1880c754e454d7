package spool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"
)

// Log is an open spool. It is safe for concurrent use; Next, Rewind and Advance are for one consumer.
type Log struct {
	dir   string
	cfg   Config
	fs    FS
	log   *slog.Logger
	id    identity
	epoch uint64
	seed  uint32 // of epoch
	lock  io.Closer

	// role is held, by a send, by the one goroutine that may write to the current segment or replace it.
	role chan struct{}
	bufs [][]byte      // what the holder of role writes
	wake chan struct{} // has a token when the flusher should look again
	quit chan struct{} // closed for the flusher to end
	bg   sync.WaitGroup

	mu      sync.Mutex // held for copies, never for the disk
	segs    []*segment // in order; the current one, if there is one, is the last
	out     File       // of the current segment; nil: there is none, since nothing was appended or after a failure
	retired []File     // full segments that wait for their fsync
	newName bool       // the directory waits for its fsync
	ordinal uint32     // of the next segment
	pend    pending
	filling *batch // what the next write will take; nil: nothing
	spare   *batch
	next    uint64     // number of the next record
	written mark       // acknowledged in ModeSpool
	synced  mark       // acknowledged in ModeStrict
	dirty   time.Time  // since when something waits for its fsync; zero: nothing does
	round   *syncRound // the ModeStrict appenders that the next fsync answers
	tainted bool       // an fsync failed and the segment is about to be replaced
	broken  error      // why there is no current segment; nil when all is well
	retryAt time.Time  // with broken: the disk is left alone until then
	closed  bool       // nothing more is taken
	stopped bool       // the flusher has ended
	disk    int64      // bytes of all files of segs
	count   counters
	marks   ages
	warned  bool

	syncMu sync.Mutex // held during fsyncs of segments, so that no two ask about one file at once; taken before mu

	readMu     sync.Mutex // taken before mu
	pos        Seq        // up to which Next has read
	cur        *cursor
	checkpoint Seq  // written under mu too
	reserve    bool // the file is there
	ended      bool // nothing more is read
	closeErr   error
	once       sync.Once
}

// mark is a place in the stream of the epoch's frames: everything before off, up to and with record seq.
type mark struct {
	off, seq uint64
}

// segment is a file of frames.
type segment struct {
	name    segmentName
	created time.Time
	size    int64 // up to where it may be read: what was not acknowledged is not
	disk    int64 // length of the file
}

// counters are those parts of Status that only grow.
type counters struct {
	appended, refused            uint64
	writeFailures, fsyncFailures uint64
	lastSync                     time.Time
	lastSyncTook                 time.Duration
}

// Open opens the spool in dir, which it creates if need be. It reads what earlier processes left, cuts the torn tail
// that a crash may have left, and begins a new epoch. No segment is created before the first Append, so that a spool can
// be opened and drained while the disk is full.
func Open(dir string, log *slog.Logger, cfg Config) (*Log, error) {
	if dir == "" || log == nil {
		return nil, errors.New("spool: a directory and a logger are needed")
	}
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l := &Log{
		dir: dir, cfg: cfg, fs: cfg.FS, log: log,
		role: make(chan struct{}, 1), wake: make(chan struct{}, 1), quit: make(chan struct{}),
		next: 1, ordinal: 1, round: newSyncRound(),
	}
	if err := l.fs.MkdirAll(dir); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if l.lock, err = l.fs.Lock(l.path(lockName)); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	if err := l.recover(); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %s: %w", dir, err), l.lock.Close())
	}
	l.bg.Go(l.flush)
	return l, nil
}

// Instance is what Seq counts within.
func (l *Log) Instance() Instance { return l.id.instance }

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// Close takes no further records, makes the ones that it has durable, and seals the epoch, so that the next process can
// prove that its tail is whole. The error says what is not known to be on disk. Further calls return the same.
func (l *Log) Close() error {
	l.once.Do(func() { l.closeErr = l.close() })
	return l.closeErr
}

func (l *Log) close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()

	l.role <- struct{}{} // whoever wrote is done, and nobody begins
	l.mu.Lock()
	b := l.filling
	l.mu.Unlock()
	if b != nil {
		l.writeBatch(b)
	}
	<-l.role
	close(l.quit)
	l.bg.Wait()

	l.role <- struct{}{}
	err := l.seal()
	<-l.role // before readMu: Advance takes the role while it holds that
	l.readMu.Lock()
	l.dropCursor()
	l.ended = true
	l.readMu.Unlock()
	return errors.Join(err, l.lock.Close())
}

// seal ends the current segment with the frame that says that nothing follows. The flusher has ended and the role is
// held.
func (l *Log) seal() error {
	l.mu.Lock()
	out, unsynced, next, cause := l.out, l.written.seq-l.synced.seq, l.next, l.broken
	retired := l.retired
	l.out, l.retired = nil, nil
	l.mu.Unlock()
	for _, f := range retired {
		f.Close()
	}
	if unsynced > 0 {
		if out != nil {
			out.Close()
		}
		return fmt.Errorf("close spool: %d records not known to be on disk: %w", unsynced, cause)
	}
	if out == nil {
		return nil
	}
	frame := make([]byte, frameHeader)
	putFrameHeader(frame, l.seed, next, 0)
	_, err := writeAll(out, frame)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("seal spool, whose records are all on disk: %w", err)
	}
	return nil
}

// writeAll is Write that knows no short write without an error.
func writeAll(f io.Writer, b []byte) (int, error) {
	n, err := f.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}
