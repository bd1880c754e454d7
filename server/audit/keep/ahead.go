package keep

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// Ahead makes the partitions of the coming days, so that none is made while decisions wait for it.
type Ahead struct {
	store store.DecisionKeeper
	log   *slog.Logger
	cfg   Config

	mu    sync.Mutex
	state Stats
}

// Config tunes an Ahead. The zero value is usable.
type Config struct {
	Days  int              // how many after today; 0 means 7
	Every time.Duration    // how often they are looked at; 0 means 1h, and a tenth of that after a failure
	Now   func() time.Time // nil means time.Now
}

// Stats says how far the partitions reach.
type Stats struct {
	Through   time.Time // the last day that has one for certain; zero: not known yet
	Failures  uint64    // since the start
	LastError string    // of the last try; "": it succeeded
}

// NewAhead returns an Ahead; nothing is made before Run.
func NewAhead(s store.DecisionKeeper, log *slog.Logger, cfg Config) (*Ahead, error) {
	if s == nil || log == nil {
		return nil, errors.New("partitions: a store and a logger are needed")
	}
	if cfg.Days < 0 || cfg.Every < 0 {
		return nil, errors.New("partitions: negative")
	}
	if cfg.Days == 0 {
		cfg.Days = 7
	}
	if cfg.Every == 0 {
		cfg.Every = time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Ahead{store: s, log: log, cfg: cfg}, nil
}

// Run makes partitions until ctx ends, whose error it returns.
func (a *Ahead) Run(ctx context.Context) error {
	for {
		wait := a.cfg.Every
		if !a.look(ctx) {
			wait /= 10
		}
		wait += rand.N(wait/10 + 1) //nolint:gosec // so that replicas do not meet
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// look makes what is missing and says whether that went well.
func (a *Ahead) look(ctx context.Context) bool {
	now := a.cfg.Now().UTC()
	made, err := a.store.EnsurePartitions(ctx, now, a.cfg.Days)
	if ctx.Err() != nil {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.state.Failures++
		a.state.LastError = err.Error()
		a.log.WarnContext(ctx, "partitions of the coming days cannot be made", "error", err, "through", a.state.Through)
		return false
	}
	a.state.Through, a.state.LastError = store.Day(now).AddDate(0, 0, a.cfg.Days), ""
	if made > 0 {
		a.log.InfoContext(ctx, "partitions made", "partitions", made, "through", a.state.Through.Format(time.DateOnly))
	}
	return true
}

// Stats returns how it is.
func (a *Ahead) Stats() Stats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state
}
