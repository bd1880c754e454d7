package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// Resolver finds the groups of callers. It is safe for concurrent use.
type Resolver struct {
	cfg      Config
	source   *tracked // nil: none
	fallback *tracked // nil: none
	advice   advice
}

// tracked is a source with what is kept of it and how it fares.
type tracked struct {
	ask    Source
	cached *Cached // nil: nothing is kept
	health health
}

// New makes a resolver. Close ends it.
func New(cfg Config, log *slog.Logger) (*Resolver, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	r := &Resolver{cfg: cfg, advice: advice{log: log}}
	if cfg.Source != nil {
		if r.source, err = newTracked(cfg.Source, !cfg.Local, cfg, log); err != nil {
			return nil, err
		}
	}
	if cfg.Fallback != nil {
		if r.fallback, err = newTracked(cfg.Fallback, true, cfg, log); err != nil {
			r.Close()
			return nil, err
		}
	}
	return r, nil
}

func newTracked(s Source, keep bool, cfg Config, log *slog.Logger) (*tracked, error) {
	t := &tracked{}
	t.ask = &watched{source: s, health: &t.health, now: cfg.Now}
	if !keep {
		return t, nil
	}
	var err error
	if t.cached, err = NewCached(t.ask, cfg.Cache, cfg.Now, log); err != nil {
		return nil, err
	}
	t.ask = t.cached
	return t, nil
}

// Close ends the lookups that run. Resolve must not be called after it.
func (r *Resolver) Close() {
	for _, t := range []*tracked{r.source, r.fallback} {
		if t != nil && t.cached != nil {
			t.cached.Close()
		}
	}
}

// Resolve answers with the complete list of who's groups, or with an error: then nothing may be decided that could
// depend on them. For a privileged permission a list in the token does not count where there is a source: a token that
// was issued while a membership was active (PIM) keeps the group until it expires.
func (r *Resolver) Resolve(ctx context.Context, who Caller, privileged bool) (Membership, error) {
	if err := who.check(); err != nil {
		return Membership{}, err
	}
	switch r.cfg.Mode {
	case Graph, Mirror:
		return r.live(ctx, who)
	case LDAP:
		return r.merged(ctx, who)
	case Token:
	}
	return r.token(ctx, who, privileged)
}

// token is mode Token.
func (r *Resolver) token(ctx context.Context, who Caller, privileged bool) (Membership, error) {
	switch {
	case r.source != nil && (who.Overage || privileged):
		return r.live(ctx, who)
	case who.Overage:
		return Membership{}, fmt.Errorf("%w: the token does not hold them and no source is configured", ErrUnavailable)
	}
	return r.claimed(who), nil
}

// claimed is what the token lists. Without a list it is empty, and an operator is told once per application, since the
// tenant may just not send groups.
func (r *Resolver) claimed(who Caller) Membership {
	if !who.Listed {
		r.advice.noClaim(who)
		return Membership{Source: "token"}
	}
	r.advice.names(who)
	if sorted(who.Groups) {
		return Membership{Groups: who.Groups, Source: "token"}
	}
	return Membership{Groups: Normalize(who.Groups), Source: "token"}
}

// sorted says whether ids are in the form that Membership promises.
func sorted(ids []string) bool {
	for i, id := range ids {
		if i > 0 && ids[i-1] >= id {
			return false
		}
		for j := range len(id) {
			if c := id[j]; c >= 'A' && c <= 'Z' || c >= 0x80 {
				return false
			}
		}
	}
	return true
}

// live asks the source, and the fallback when the source does not say it or says what was true too long ago. A disabled
// principal is an answer: nobody else is asked.
func (r *Resolver) live(ctx context.Context, who Caller) (Membership, error) {
	m, err := r.fresh(ctx, r.source, who)
	if err == nil || r.fallback == nil || errors.Is(err, ErrPrincipalDisabled) {
		return m, err
	}
	m, second := r.fresh(ctx, r.fallback, who)
	if second != nil {
		return Membership{}, fmt.Errorf("%w; fallback: %w", err, second)
	}
	return m, nil
}

// fresh asks one source and refuses what is too old.
func (r *Resolver) fresh(ctx context.Context, t *tracked, who Caller) (Membership, error) {
	m, err := t.ask.Groups(ctx, who)
	if err != nil {
		return Membership{}, err
	}
	if age := r.cfg.Now().Sub(m.At); age > r.cfg.MaxStaleness {
		return Membership{}, fmt.Errorf("%w: what %s knows is %v old", ErrUnavailable, m.Source, age.Round(time.Second))
	}
	return m, nil
}
