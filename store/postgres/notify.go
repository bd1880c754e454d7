package postgres

import (
	"context"
	"errors"
	"time"
)

const sqlListen = `
LISTEN verdict_revision`

const (
	firstListenPause = time.Second
	maxListenPause   = 30 * time.Second
	goodbye          = time.Second // longest a connection is given to close
)

// errTurned says that a connection was given up for one with the new password.
var errTurned = errors.New("the password has changed")

// Notify implements store.PolicyReader with LISTEN on a connection of its own, outside the pool. While there is none, hints
// are lost; the first thing after it is back is a hint.
func (s *Store) Notify(ctx context.Context) <-chan struct{} {
	hints := make(chan struct{}, 1)
	if s.closed.Load() {
		return hints
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.life, cancel)
	s.listeners.Go(func() {
		defer cancel()
		defer stop()
		s.follow(ctx, hints)
	})
	return hints
}

// follow listens until ctx ends, again and again.
func (s *Store) follow(ctx context.Context, hints chan<- struct{}) {
	pause := firstListenPause
	for {
		listened, err := s.listen(ctx, hints)
		if ctx.Err() != nil {
			return
		}
		if listened {
			pause = firstListenPause
		}
		if errors.Is(err, errTurned) {
			continue
		}
		s.log.WarnContext(ctx, "revision hints interrupted", "error", err, "retry_in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, maxListenPause)
	}
}

// listen passes on notifications until the connection breaks, and says whether it got as far as listening.
func (s *Store) listen(ctx context.Context, hints chan<- struct{}) (listened bool, err error) {
	conn, turned, err := s.pool.Connect(ctx)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		_ = conn.Close(ctx) // it is done with
	}()
	if _, err := conn.Exec(ctx, sqlListen); err != nil {
		return false, err
	}
	waiting, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		select {
		case <-turned:
			stop()
		case <-waiting.Done():
		}
	}()
	for {
		select {
		case hints <- struct{}{}:
		default: // one is waiting already
		}
		if _, err := conn.WaitForNotification(waiting); err != nil {
			if waiting.Err() != nil && ctx.Err() == nil {
				return true, errTurned
			}
			return true, err
		}
	}
}
