package export

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// Store is what an Exporter needs of a store.
type Store interface {
	store.DecisionFollower
	store.Coordinator
}

// Start says where an exporter without a cursor begins. The zero value is StartNow.
type Start uint8

// Where an exporter can begin.
const (
	StartNow       Start = iota // with what is recorded from then on
	StartBeginning              // with the oldest record that the store has
)

// String is the word that configuration uses.
func (s Start) String() string {
	if s == StartBeginning {
		return "beginning"
	}
	return "now"
}

// ParseStart reads the word that configuration uses.
func ParseStart(text string) (Start, error) {
	switch text {
	case "now":
		return StartNow, nil
	case "beginning":
		return StartBeginning, nil
	}
	return StartNow, fmt.Errorf("export start %q: neither now nor beginning", text)
}

// Config tunes an Exporter. Name must be given; of the others the zero value is usable.
type Config struct {
	Name     string        // of the sink: otlp, files, kafka. The lease and the cursor are called export/Name
	Batch    int           // most records of one Send; 0 means 500
	Poll     time.Duration // pause after a look that found no record; 0 means 1s
	LeaseTTL time.Duration // after how long another replica takes over from one that died; a Send may take half of it. 0 means 30s
	Holder   string        // name of this replica in the lease; "" means a random one
	Backoff  time.Duration // longest pause between two tries, which starts at 200ms; 0 means 30s. A sink may ask for a longer one
	Start    Start         // where to begin without a cursor

	Now func() time.Time // nil means time.Now
}

const (
	// firstBackoff is the pause after the first failed try; it doubles up to Config.Backoff.
	firstBackoff = 200 * time.Millisecond
	// longestLater bounds the pause that a sink may ask for.
	longestLater = 10 * time.Minute
	// partingTime is for what is done after the end: a file that is completed, the lease.
	partingTime = 5 * time.Second
)

// Exporter gives records to one sink, on one replica at a time.
type Exporter struct {
	store Store
	sink  Sink
	log   *slog.Logger
	cfg   Config

	// Of the one goroutine that runs it.
	leased time.Time        // when the lease was last renewed
	cursor store.TailCursor // as the store has it
	text   string           // of cursor
	probe  []store.Decision // the last record that the sink took; empty: none yet

	mu    sync.Mutex
	stats Stats
}

// Stats says how far an Exporter is, as this replica knows.
type Stats struct {
	Holding bool // this replica exports
	// Oldest is the time of the oldest record that is waiting, and Lag how long ago that is. Zero: none is, as far as is
	// known, or another replica exports.
	Oldest time.Time
	Lag    time.Duration
	// Since the start of this replica:
	Exported  uint64 // records that the sink has
	Refused   uint64 // records that the sink will never take; each is in the log
	Failures  uint64 // tries that failed
	LastError string // of the last try; "": it went well
}

// New returns an Exporter; nothing happens before Run.
func New(s Store, sink Sink, log *slog.Logger, cfg Config) (*Exporter, error) {
	if s == nil || sink == nil || log == nil {
		return nil, errors.New("export: a store, a sink and a logger are needed")
	}
	var err error
	refuse := func(bad bool, text string) {
		if bad {
			err = errors.Join(err, errors.New("export: "+text))
		}
	}
	refuse(cfg.Name == "", "a name is needed")
	refuse(cfg.Batch < 0, "a negative batch")
	refuse(cfg.Poll < 0 || cfg.LeaseTTL < 0 || cfg.Backoff < 0, "a negative duration")
	refuse(cfg.Start > StartBeginning, "start is neither now nor beginning")
	if err != nil {
		return nil, err
	}
	if cfg.Batch == 0 {
		cfg.Batch = 500
	}
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = 30 * time.Second
	}
	if cfg.Backoff == 0 {
		cfg.Backoff = 30 * time.Second
	}
	if cfg.Holder == "" {
		cfg.Holder = rand.Text()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Exporter{store: s, sink: sink, log: log.With("exporter", cfg.Name), cfg: cfg}, nil
}

// Name is that of the sink.
func (e *Exporter) Name() string { return e.cfg.Name }

// key is the name of the lease and of the cursor; retention waits for cursors by these names.
func (e *Exporter) key() string { return "export/" + e.cfg.Name }

// Stats returns how far it is.
func (e *Exporter) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	if !s.Oldest.IsZero() {
		s.Lag = max(0, e.cfg.Now().Sub(s.Oldest))
	}
	return s
}

func (e *Exporter) note(f func(*Stats)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(&e.stats)
}

// failed notes a failure; the first of a row is logged.
func (e *Exporter) failed(err error) {
	text, first := brief(err.Error()), false
	e.note(func(s *Stats) {
		first = s.LastError == ""
		s.Failures++
		s.LastError = text
	})
	if first {
		e.log.Warn("export fails", "error", text)
	}
}

// worked notes that a try went well; the first after failures is logged.
func (e *Exporter) worked() {
	again := false
	e.note(func(s *Stats) {
		again = s.LastError != ""
		s.LastError = ""
	})
	if again {
		e.log.Info("export works again")
	}
}
