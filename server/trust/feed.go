package trust

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/follow"
	"github.com/verdict-authz/verdict/store"
)

// Config tunes a Feed. The zero value is usable.
type Config struct {
	Poll    time.Duration    // between two looks at the store; 0 means 500ms
	Timeout time.Duration    // longest that a look may take; 0 means 5s
	Now     func() time.Time // nil means time.Now
}

// Verifier is what a Feed tells; an entra.Verifier is one. Its methods are described there.
type Verifier interface {
	Status() []entra.KeyStatus
	Tenants(provider string) ([]string, error)
	SetTenants(provider string, tenants []string) error
	DeniedKeys() []string
	DenyKeys(kids []string) error
	Purge(tenant string) error
}

// Feed keeps a verifier current with the store. Run does the work; everything else is safe for concurrent use with it.
type Feed struct {
	source     store.TrustReader
	verifier   Verifier
	log        *slog.Logger
	cfg        Config
	configured []Provider // by name
	pace       *follow.Pace

	looking sync.Mutex // held by who looks at the store and tells the verifier
	loaded  bool       // under looking: what is below is known
	version uint64     // under looking: of the state that the verifier was told
	purged  uint64     // under looking: of the newest order that was carried out

	mu      sync.Mutex
	status  Status
	refused map[member]string
}

// member is a tenant of a provider.
type member struct{ provider, tenant string }

// Provider is a provider of the configuration that has tenants.
type Provider struct {
	Name    string
	Tenants []string // those of the configuration, sorted
}

// Status says how following goes.
type Status struct {
	Version    uint64    // of the state that is in force here
	Tenants    int       // that were added and are in force here
	DeniedKeys int       // that are refused here
	CheckedAt  time.Time // UTC instant at which that was last known to be current; zero: never
	Problem    string    // what is wrong now, for operators; empty: nothing
}

// NewFeed returns a feed that has told the verifier nothing yet. What the verifier has now is what the configuration says:
// nobody else may have told it more, nor may anybody but the feed later.
func NewFeed(from store.TrustReader, to Verifier, log *slog.Logger, cfg Config) (*Feed, error) {
	if from == nil || to == nil || log == nil {
		return nil, errors.New("trust feed: a store, a verifier and a logger are needed")
	}
	if cfg.Poll < 0 || cfg.Timeout < 0 {
		return nil, errors.New("trust feed: negative duration")
	}
	if cfg.Poll == 0 {
		cfg.Poll = 500 * time.Millisecond
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Feed{source: from, verifier: to, log: log, cfg: cfg, configured: providers(to), pace: follow.NewPace(cfg.Poll)}, nil
}

// Configured returns the providers that tenants can be added to, by name, with their tenants of the configuration. It is
// shared: do not write to it.
func (f *Feed) Configured() []Provider { return f.configured }

// Kick makes Run look soon, for one who has just changed something and does not wait.
func (f *Feed) Kick() { f.pace.Kick() }

// Status returns how following goes now.
func (f *Feed) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

// Refused says why the verifier of this replica did not take an added tenant; empty when it did, or was not told of it.
func (f *Feed) Refused(provider, tenant string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused[member{provider, tenant}]
}

// Run follows until ctx ends, and returns its error. It is called once.
func (f *Feed) Run(ctx context.Context) error {
	return f.pace.Run(ctx, f.source.Notify(ctx), func(ctx context.Context) {
		_ = f.Sync(ctx) // kept as the feed's problem
	})
}

// Sync brings the verifier up to what the store has now. A server calls it before it serves, so that no token is accepted
// by a key that is refused. An error leaves in force what was; it is in Status too, unless ctx ended.
func (f *Feed) Sync(ctx context.Context) error {
	f.looking.Lock()
	defer f.looking.Unlock()
	asked := f.cfg.Now() // what is current now may not be any more when the answer comes
	within, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	told, err := f.look(within)
	if err != nil && ctx.Err() != nil {
		return err
	}
	f.note(asked, told, err)
	return err
}

// look reads the store and tells the verifier what changed; nil: nothing did.
func (f *Feed) look(ctx context.Context) (*told, error) {
	version, err := f.source.TrustVersion(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the trust version: %w", err)
	}
	if f.loaded && version == f.version {
		return nil, nil //nolint:nilnil // as described
	}
	// The version comes first: a change between it and what is read now moves it again, and is read once more.
	var now state
	if now.tenants, err = f.source.Tenants(ctx); err != nil {
		return nil, fmt.Errorf("read added tenants: %w", err)
	}
	if now.denied, err = f.source.DeniedKeys(ctx); err != nil {
		return nil, fmt.Errorf("read denied keys: %w", err)
	}
	if now.purges, err = f.source.Purges(ctx); err != nil {
		return nil, fmt.Errorf("read key purges: %w", err)
	}
	begin := !f.loaded || version < f.version // the store may have been set back
	t := f.tell(now, begin)
	f.loaded, f.version = true, version
	t.version = version
	return t, nil
}

// note keeps how it went, and logs when something goes wrong and when all is well again.
func (f *Feed) note(asked time.Time, t *told, err error) {
	f.mu.Lock()
	was := f.status.Problem
	switch {
	case err != nil:
		f.status.Problem = err.Error()
	default:
		if t != nil {
			f.status.Version, f.status.Tenants, f.status.DeniedKeys = t.version, t.tenants, t.denied
			f.refused = t.refused
		}
		f.status.CheckedAt = asked.UTC()
		f.status.Problem = problemOf(f.refused)
	}
	now := f.status
	f.mu.Unlock()
	switch {
	case now.Problem != "" && (was == "" || err == nil && now.Problem != was): // not each text of a store that is away
		f.log.Error("whom to trust is not followed in full", "problem", now.Problem, "checked_at", now.CheckedAt.Format(time.RFC3339))
	case now.Problem == "" && was != "":
		f.log.Info("whom to trust is followed again", "version", now.Version)
	}
	if t != nil {
		f.log.Info("whom to trust has changed", "version", t.version, "tenants_added", t.tenants, "keys_denied", t.denied, "purged", t.purged)
	}
}
