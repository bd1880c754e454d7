package entra

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Verifier proves tokens of the configured tenants. It is safe for concurrent use.
type Verifier struct {
	cfg     Config
	log     *slog.Logger
	skew    int64 // seconds
	tenants map[string][]*tenant
	issuers map[string]*tenant // B2C by issuer, since its tokens carry no tid
	sources []*source
	clients []*http.Client
	unknown *unknownKeys
}

// tenant is one tenant of one provider: what its tokens must say, and where their keys are.
type tenant struct {
	provider *provider
	id       string
	issuerV2 string
	issuerV1 string             // "" when the cloud has none
	v2       *source            // nil for B2C
	v1       *source            // nil unless v1 tokens are accepted
	policies map[string]*source // B2C by policy
}

// NewVerifier checks cfg and makes a Verifier. It fetches nothing: call Refresh before serving and keep Run running.
func NewVerifier(cfg Config, log *slog.Logger) (*Verifier, error) {
	cfg, err := cfg.withDefaults()
	if log == nil {
		err = errors.Join(err, errors.New("no logger is given"))
	}
	v := &Verifier{
		log:     log,
		tenants: make(map[string][]*tenant),
		issuers: make(map[string]*tenant),
	}
	v.cfg = cfg
	v.skew = int64(cfg.Skew / time.Second)
	v.unknown = newUnknownKeys(cfg.UnknownKeysKept, cfg.UnknownKeyEvery)
	pinned := make(map[string]bool)
	for _, p := range cfg.Providers {
		q, pErr := newProvider(p)
		if pErr != nil {
			err = errors.Join(err, pErr)
			continue
		}
		client := newClient(q, v.cfg)
		v.clients = append(v.clients, client)
		for _, id := range q.Tenants {
			t := v.newTenant(q, id, client)
			if pinned[t.issuerV2] {
				err = errors.Join(err, fmt.Errorf("provider %q: tenant %s: another provider has the same issuer", q.Name, id))
			}
			pinned[t.issuerV2] = true
			v.tenants[id] = append(v.tenants[id], t)
			if q.Kind == B2C {
				v.issuers[t.issuerV2] = t
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("entra: %w", err)
	}
	return v, nil
}

func (v *Verifier) newTenant(p *provider, id string, client *http.Client) *tenant {
	t := &tenant{provider: p, id: id, issuerV2: expand(p.issuerV2, id), issuerV1: expand(p.issuerV1, id)}
	add := func(policy string, v1 bool) *source {
		s := newSource(p, id, policy, v1, client, &v.cfg, v.log)
		v.sources = append(v.sources, s)
		return s
	}
	if p.Kind == B2C {
		t.policies = make(map[string]*source, len(p.Policies))
		for _, policy := range p.Policies {
			t.policies[policy] = add(policy, false)
		}
		return t
	}
	t.v2 = add("", false)
	if p.AcceptV1 {
		t.v1 = add("", true)
	}
	return t
}

// Refresh fetches every document once. Its error names those that could not be had; tokens of the other tenants verify.
func (v *Verifier) Refresh(ctx context.Context) error {
	errs := make([]error, len(v.sources))
	slots := make(chan struct{}, v.cfg.RefreshesAtATime)
	var wg sync.WaitGroup
	for i, s := range v.sources {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = s.refresh(ctx)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Run refreshes every document about hourly, and sooner after a failure, until ctx ends; then it returns nil.
func (v *Verifier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, s := range v.sources {
		wg.Go(func() { s.run(ctx) })
	}
	wg.Wait()
	for _, c := range v.clients {
		c.CloseIdleConnections()
	}
	return nil
}

func (s *source) run(ctx context.Context) {
	wait := jitter(s.cfg.RefreshEvery)
	if s.current.Load() == nil {
		wait = 0
	}
	retry := s.cfg.RetryAfter
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

// jitter is d ±10 %, so that replicas that start together do not ask together.
func jitter(d time.Duration) time.Duration {
	if d < 10 {
		return d
	}
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // spreads load, protects nothing
}

// KeyStatus is the state of one document, for operators.
type KeyStatus struct {
	Provider  string
	Tenant    string
	Policy    string    // B2C
	V1        bool      // the document of v1 tokens
	FetchedAt time.Time // last success; zero: never
	Keys      int       // usable ones; 0 when there are none or they are too old
	Problem   string    // of the last refresh; "": it succeeded, or none ended yet
}

// Status reports every document, sorted by provider, tenant, policy and version.
func (v *Verifier) Status() []KeyStatus {
	all := make([]KeyStatus, 0, len(v.sources))
	now := v.cfg.Now()
	for _, s := range v.sources {
		st := KeyStatus{Provider: s.provider.Name, Tenant: s.tenant, Policy: s.policy, V1: s.v1}
		if set := s.current.Load(); set != nil {
			st.FetchedAt = set.fetchedAt.UTC()
		}
		if set := s.usable(now); set != nil {
			st.Keys = len(set.keys)
		}
		if p := s.problem.Load(); p != nil {
			st.Problem = *p
		}
		all = append(all, st)
	}
	slices.SortStableFunc(all, func(a, b KeyStatus) int {
		if c := strings.Compare(a.Provider, b.Provider); c != 0 {
			return c
		}
		if c := strings.Compare(a.Tenant, b.Tenant); c != 0 {
			return c
		}
		return strings.Compare(a.Policy, b.Policy)
	})
	return all
}
