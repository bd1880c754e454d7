package entra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Verifier proves tokens of the configured tenants. It is safe for concurrent use.
type Verifier struct {
	cfg       Config
	log       *slog.Logger
	skew      int64 // seconds
	providers []*provider
	clients   map[*provider]*http.Client
	unknown   *unknownKeys

	registry atomic.Pointer[registry]
	denied   atomic.Pointer[map[string]struct{}] // key ids; nil: none
	change   sync.Mutex                          // of registry
	changed  chan struct{}                       // tells Run, once for any number of changes
}

// NewVerifier checks cfg and makes a Verifier. It fetches nothing: call Refresh before serving and keep Run running. What
// an earlier process kept in Config.CacheDir serves from the start.
func NewVerifier(cfg Config, log *slog.Logger) (*Verifier, error) {
	cfg, err := cfg.withDefaults()
	if log == nil {
		err = errors.Join(err, errors.New("no logger is given"))
	}
	v := &Verifier{cfg: cfg, log: log, clients: make(map[*provider]*http.Client), changed: make(chan struct{}, 1)}
	v.skew = int64(cfg.Skew / time.Second)
	v.unknown = newUnknownKeys(cfg.UnknownKeysKept, cfg.UnknownKeyEvery)
	tenants := make(map[*provider][]string)
	named := make(map[string]bool)
	for _, p := range cfg.Providers {
		q, pErr := newProvider(p)
		if pErr != nil {
			err = errors.Join(err, pErr)
			continue
		}
		if named[q.Name] && p.Name != "" { // names that were made up may be the same; then the issuers tell
			err = errors.Join(err, fmt.Errorf("provider %q: name: another provider has it", q.Name))
		}
		named[q.Name] = true
		v.providers = append(v.providers, q)
		v.clients[q] = newClient(q, v.cfg)
		tenants[q] = q.Tenants
	}
	if err == nil {
		err = openCache(cfg.CacheDir)
	}
	if err != nil {
		return nil, fmt.Errorf("entra: %w", err)
	}
	g, err := v.register(tenants, nil)
	if err != nil {
		return nil, fmt.Errorf("entra: %w", err)
	}
	v.registry.Store(g)
	return v, nil
}

// Refresh fetches every document once. Its error names those that could not be had, and is ErrIssuer when a provider and
// its configuration do not belong together; tokens of the other tenants verify.
func (v *Verifier) Refresh(ctx context.Context) error {
	sources := v.registry.Load().sources
	errs := make([]error, len(sources))
	slots := make(chan struct{}, v.cfg.RefreshesAtATime)
	var wg sync.WaitGroup
	for i, s := range sources {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = s.refresh(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Run refreshes every document about hourly, and sooner after a failure, until ctx ends; then it returns nil. It follows
// SetTenants.
func (v *Verifier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	running := make(map[*source]context.CancelFunc)
	for ctx.Err() == nil {
		wanted := make(map[*source]bool)
		for _, s := range v.registry.Load().sources {
			wanted[s] = true
			if running[s] == nil {
				own, cancel := context.WithCancel(ctx)
				running[s] = cancel
				wg.Go(func() { s.run(own) })
			}
		}
		for s, cancel := range running {
			if !wanted[s] {
				cancel()
				delete(running, s)
			}
		}
		select {
		case <-ctx.Done():
		case <-v.changed:
		}
	}
	for _, cancel := range running {
		cancel()
	}
	wg.Wait()
	for _, c := range v.clients {
		c.CloseIdleConnections()
	}
	return nil
}

func (s *source) run(ctx context.Context) {
	retry := s.cfg.RetryAfter
	wait := s.firstWait(retry)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if err := s.refresh(ctx); err != nil {
			wait = jitter(retry)
			retry = min(2*retry, max(s.cfg.UnknownKeyEvery, s.cfg.RetryAfter))
			continue
		}
		wait, retry = jitter(s.cfg.RefreshEvery), s.cfg.RetryAfter
	}
}

// firstWait is how long run waits first: not at all without keys or with those of an earlier process, unless asking for
// newer ones has just failed.
func (s *source) firstWait(retry time.Duration) time.Duration {
	switch {
	case s.current.Load() != nil && s.problem.Load() != nil:
		return jitter(retry)
	case s.current.Load() == nil || s.refreshes.Load() == 0:
		return 0
	}
	return jitter(s.cfg.RefreshEvery)
}

// jitter is d ±10 %, so that replicas that start together do not ask together.
func jitter(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // spreads load, protects nothing
}
