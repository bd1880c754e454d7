package entra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// source is one metadata document with its keys: of a provider, a tenant, a version, and for B2C a policy. Nothing is
// shared between sources.
type source struct {
	provider *provider
	tenant   string
	policy   string // B2C
	v1       bool
	template string // of the pinned issuer
	issuer   string // the same for the tenant
	metadata string // address of the OpenID configuration

	client *http.Client
	cfg    *Config
	log    *slog.Logger

	current atomic.Pointer[keySet]
	problem atomic.Pointer[string] // of the last refresh; nil: it succeeded

	refreshes, failures       atomic.Uint64
	unknownKids, negativeHits atomic.Uint64
	cacheProblem              atomic.Pointer[string]
	purges                    atomic.Uint64 // changes under mu

	mu     sync.Mutex
	flight chan struct{} // closed when the running refresh ends; nil: none runs
	closed bool          // nobody asks any more, and nothing is published
	budget budget
}

// newSource makes the source of one document.
func newSource(p *provider, tenant, policy string, v1 bool, client *http.Client, cfg *Config, log *slog.Logger) *source {
	s := &source{
		provider: p, tenant: tenant, policy: policy, v1: v1, template: p.issuerV2,
		client: client, cfg: cfg, log: log,
	}
	path := "/" + tenant
	switch {
	case p.Kind == OIDC:
		path, s.template = p.path, p.Authority // what the discovery document says; tokens may say p.Issuer
	case policy != "":
		path += "/" + policy + "/v2.0"
	case v1:
		s.template = p.issuerV1
	default:
		path += "/v2.0"
	}
	s.issuer = expand(s.template, tenant)
	s.metadata = p.base + path + "/.well-known/openid-configuration"
	if p.AppID != "" {
		s.metadata += "?appid=" + p.AppID
	}
	s.budget.full(cfg.UnknownKeyEvery)
	return s
}

// usable is the current key set unless it is too old; nil when there is none.
func (s *source) usable(now time.Time) *keySet {
	set := s.current.Load()
	if set == nil || now.Sub(set.fetchedAt) > s.cfg.MaxStale {
		return nil
	}
	return set
}

// key finds a key by its id. It waits, at most UnknownKeyWait, only when the id is not in the set or there is no set.
func (s *source) key(ctx context.Context, kid []byte, unknown *unknownKeys) (*keySet, *signingKey, Refusal) {
	now := s.cfg.Now()
	set := s.usable(now)
	if set != nil {
		if k := set.find(kid, now, s.cfg.MaxStale); k != nil {
			return set, k, accepted
		}
		s.unknownKids.Add(1)
		if unknown.has(s, kid, now) {
			s.negativeHits.Add(1)
			return nil, nil, keyUnknown
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.UnknownKeyWait)
	defer cancel()
	// A refresh that ran already may have read the document before the key was in it, so it proves nothing; then another
	// one is asked for.
	for fresh := false; !fresh; {
		var done <-chan struct{}
		if done, fresh = s.demand(now, set == nil); done == nil || !ended(ctx, done) {
			break
		}
		now = s.cfg.Now()
		if set = s.usable(now); set == nil {
			continue
		}
		if k := set.find(kid, now, s.cfg.MaxStale); k != nil {
			return set, k, accepted
		}
		if fresh && s.problem.Load() == nil {
			unknown.add(s, kid, now)
		}
	}
	if s.usable(s.cfg.Now()) == nil {
		return nil, nil, keysUnavailable
	}
	return nil, nil, keyUnknown
}

// ended waits for done; false when ctx ends first.
func ended(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// demand joins the running refresh or, if the budget allows, starts one that outlives its caller, which is then fresh; nil:
// neither.
func (s *source) demand(now time.Time, urgent bool) (done <-chan struct{}, fresh bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight, false
	}
	if !s.budget.take(now, urgent || s.problem.Load() != nil) {
		return nil, false
	}
	flight := make(chan struct{})
	s.flight = flight
	go func() {
		// Two requests, each with its own timeout.
		ctx, cancel := context.WithTimeout(context.Background(), 2*s.cfg.HTTPTimeout)
		defer cancel()
		_ = s.fly(ctx, flight) // kept as the source's problem
	}()
	return flight, true
}

// refresh fetches the document now, or waits for the refresh that runs already.
func (s *source) refresh(ctx context.Context) error {
	s.mu.Lock()
	if running := s.flight; running != nil {
		s.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			return fmt.Errorf("refresh keys of %s, tenant %s: %w", s.provider.Name, s.tenant, ctx.Err())
		}
		if problem := s.problem.Load(); problem != nil {
			return fmt.Errorf("refresh keys of %s, tenant %s: %s", s.provider.Name, s.tenant, *problem)
		}
		return nil
	}
	done := make(chan struct{})
	s.flight = done
	s.mu.Unlock()
	if err := s.fly(ctx, done); err != nil {
		return fmt.Errorf("refresh keys of %s, tenant %s: %w", s.provider.Name, s.tenant, err)
	}
	return nil
}

// fly fetches, publishes what it found, and lets the waiting go on. A failure leaves the old set in place.
func (s *source) fly(ctx context.Context, done chan struct{}) error {
	defer func() {
		s.mu.Lock()
		s.flight = nil
		s.mu.Unlock()
		close(done)
	}()
	var old, set *keySet
	var err error
	for range 2 { // once more when a purge came meanwhile: what was asked before it does not count
		purges := s.purges.Load()
		old = s.current.Load()
		if set, err = s.fetch(ctx, old); err != nil {
			break
		}
		if s.publish(set, purges) {
			break
		}
		err = errPurged
	}
	if err != nil {
		s.failures.Add(1)
		text := err.Error()
		// Told once per problem, and not when the process stops.
		if before := s.problem.Swap(&text); (before == nil || *before != text) && !errors.Is(err, context.Canceled) {
			s.log.LogAttrs(ctx, slog.LevelWarn, "signing keys could not be refreshed",
				slog.String("provider", s.provider.Name), slog.String("tenant", s.tenant), slog.String("problem", text))
		}
		return err
	}
	s.refreshes.Add(1)
	if s.problem.Swap(nil) != nil || old == nil {
		s.log.LogAttrs(ctx, slog.LevelInfo, "signing keys refreshed",
			slog.String("provider", s.provider.Name), slog.String("tenant", s.tenant), slog.Int("keys", len(set.keys)))
	}
	return nil
}

var errPurged = errors.New("the keys were purged while they were fetched")

// publish makes set the current one unless a purge came since purges was read, and keeps it on disk.
func (s *source) publish(set *keySet, purges uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.purges.Load() != purges {
		return false
	}
	s.current.Store(set)
	s.keep(set)
	return true
}

// purge forgets the keys, also those on disk, and fetches them anew, whatever was fetched before.
func (s *source) purge(unknown *unknownKeys) {
	s.mu.Lock()
	s.purges.Add(1)
	s.current.Store(nil)
	s.budget = budget{}
	s.budget.full(s.cfg.UnknownKeyEvery)
	s.forget()
	s.mu.Unlock()
	unknown.forget(s)
	s.demand(s.cfg.Now(), true)
}

// fetch gets both documents, each only if it changed.
func (s *source) fetch(ctx context.Context, old *keySet) (*keySet, error) {
	set := &keySet{configuration: document{url: s.metadata}}
	if old != nil {
		set.configuration = old.configuration
	}
	body, etag, err := get(ctx, s.client, set.configuration)
	if err != nil {
		return nil, err
	}
	set.configuration.etag = etag
	if body == nil {
		set.discovery = old.discovery
	} else if set.discovery, err = parseDiscovery(body, s); err != nil {
		return nil, err
	}
	s.remember(&set.configuration, body)
	set.published = document{url: set.discovery.jwksURI}
	if old != nil && old.published.url == set.published.url {
		set.published = old.published
	}
	body, etag, err = get(ctx, s.client, set.published)
	if err != nil {
		return nil, err
	}
	set.published.etag = etag
	set.fetchedAt = s.cfg.Now()
	if body == nil {
		set.keys, set.retired = old.keys, old.retired
	} else if set.keys, err = parseKeys(body, s.provider); err != nil {
		return nil, err
	} else if old != nil && !s.cfg.StrictRemoval {
		set.retire(old, s.cfg.MaxStale)
	}
	s.remember(&set.published, body)
	return set, nil
}

// remember keeps a document's text for the disk.
func (s *source) remember(d *document, body []byte) {
	if body != nil && s.cfg.CacheDir != "" {
		d.body = body
	}
}

// close is for a source that nobody asks any more: what it kept goes.
func (s *source) close(unknown *unknownKeys) {
	s.mu.Lock()
	s.purges.Add(1) // what is under way is not published
	s.closed = true
	s.forget()
	s.mu.Unlock()
	unknown.forget(s)
}
