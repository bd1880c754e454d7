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

	mu     sync.Mutex
	flight chan struct{} // closed when the running refresh ends; nil: none runs
	budget budget
}

// keySet is what one successful refresh found. It is immutable and replaced whole.
type keySet struct {
	discovery *discovery
	keys      map[string]*signingKey
	fetchedAt time.Time

	configuration document // of the OpenID configuration
	published     document // of the keys
}

// newSource makes the source of one document.
func newSource(p *provider, tenant, policy string, v1 bool, client *http.Client, cfg *Config, log *slog.Logger) *source {
	s := &source{
		provider: p, tenant: tenant, policy: policy, v1: v1, template: p.issuerV2,
		client: client, cfg: cfg, log: log,
	}
	path := "/" + tenant
	if policy != "" {
		path += "/" + policy
	}
	if v1 {
		s.template = p.issuerV1
	} else {
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
		if k := set.keys[string(kid)]; k != nil {
			return set, k, accepted
		}
		if unknown.has(s, kid, now) {
			return nil, nil, keyUnknown
		}
	}
	refreshed := s.await(ctx, now, set == nil)
	if set = s.usable(s.cfg.Now()); set == nil {
		return nil, nil, keysUnavailable
	}
	if k := set.keys[string(kid)]; k != nil {
		return set, k, accepted
	}
	if refreshed && s.problem.Load() == nil {
		unknown.add(s, kid, now)
	}
	return nil, nil, keyUnknown
}

// await waits for a refresh that runs or that may be started now; false when none did or it did not end in time.
func (s *source) await(ctx context.Context, now time.Time, urgent bool) bool {
	done := s.demand(now, urgent)
	if done == nil {
		return false
	}
	timer := time.NewTimer(s.cfg.UnknownKeyWait)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}

// demand joins the running refresh or, if the budget allows, starts one that outlives its caller; nil: neither.
func (s *source) demand(now time.Time, urgent bool) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	if !s.budget.take(now, urgent || s.problem.Load() != nil) {
		return nil
	}
	done := make(chan struct{})
	s.flight = done
	go func() {
		// Two requests, each with its own timeout.
		ctx, cancel := context.WithTimeout(context.Background(), 2*s.cfg.HTTPTimeout)
		defer cancel()
		_ = s.fly(ctx, done) // kept as the source's problem
	}()
	return done
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
	old := s.current.Load()
	set, err := s.fetch(ctx, old)
	if err != nil {
		text := err.Error()
		// Told once per problem, and not when the process stops.
		if before := s.problem.Swap(&text); (before == nil || *before != text) && !errors.Is(err, context.Canceled) {
			s.log.LogAttrs(ctx, slog.LevelWarn, "signing keys could not be refreshed",
				slog.String("provider", s.provider.Name), slog.String("tenant", s.tenant), slog.String("problem", text))
		}
		return err
	}
	s.current.Store(set)
	if s.problem.Swap(nil) != nil || old == nil {
		s.log.LogAttrs(ctx, slog.LevelInfo, "signing keys refreshed",
			slog.String("provider", s.provider.Name), slog.String("tenant", s.tenant), slog.Int("keys", len(set.keys)))
	}
	return nil
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
	set.published = document{url: set.discovery.jwksURI}
	if old != nil && old.published.url == set.published.url {
		set.published = old.published
	}
	body, etag, err = get(ctx, s.client, set.published)
	if err != nil {
		return nil, err
	}
	set.published.etag = etag
	if body == nil {
		set.keys = old.keys
	} else if set.keys, err = parseKeys(body); err != nil {
		return nil, err
	}
	set.fetchedAt = s.cfg.Now()
	return set, nil
}
