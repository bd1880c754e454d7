package secret

import (
	"context"
)

// Password is a Source as a pool of connections asks it: store/postgres.Password.
type Password struct {
	source  *Source
	changed chan struct{}
	stop    func()
}

// Password gives s to a pool of connections. Close ends it.
func (s *Source) Password() *Password {
	p := &Password{source: s, changed: make(chan struct{}, 1)}
	p.stop = s.OnChange(func(Value) {
		select {
		case p.changed <- struct{}{}:
		default: // one is waiting already
		}
	})
	return p
}

// Get is the password that connections are made with.
func (p *Password) Get(ctx context.Context) (string, error) {
	v, err := p.source.Get(ctx)
	if err != nil {
		return "", err
	}
	return v.Reveal(), nil
}

// Previous is the one before, while a server may still want it.
func (p *Password) Previous(ctx context.Context) (string, bool) {
	v, ok := p.source.Previous(ctx)
	if !ok {
		return "", false
	}
	return v.Reveal(), true
}

// Refresh reads it now, since a server has refused it.
func (p *Password) Refresh(ctx context.Context) error { return p.source.Refresh(ctx) }

// Changed gets a value after a change. Two changes may give one.
func (p *Password) Changed() <-chan struct{} { return p.changed }

// Close stops Changed.
func (p *Password) Close() { p.stop() }
