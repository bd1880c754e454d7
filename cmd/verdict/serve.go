package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/server"
	"github.com/verdict-authz/verdict/store"
)

// openTimeout bounds the first contact with the store, so that a wrong address is an error and not a wait.
const openTimeout = 10 * time.Second

// Run serves until the context ends.
func (c *serveCmd) Run(s *surroundings) error {
	o, err := c.options(s.log)
	url, urlErr := c.url()
	if err = errors.Join(err, urlErr); err != nil {
		return usage(err)
	}
	st, err := openChecked(s, url)
	if err != nil {
		return err
	}
	defer st.Close()
	srv, err := server.New(s.ctx, st, o)
	if err != nil {
		return err
	}
	return srv.Run(s.ctx)
}

// openChecked opens the store and makes sure that it answers.
func openChecked(s *surroundings, url string) (store.Store, error) {
	ctx, cancel := context.WithTimeout(s.ctx, openTimeout)
	defer cancel()
	st, err := openStore(ctx, url, s.log)
	if err != nil {
		return nil, fmt.Errorf("--store: %w", err)
	}
	if err := st.Ping(ctx); err != nil {
		st.Close()
		return nil, fmt.Errorf("--store: %w; is the address right, and is the database up?", err)
	}
	return st, nil
}

// usage marks err as a configuration that cannot work, keeping one problem a line.
func usage(err error) error { return &usageError{err} }

type usageError struct{ error }

func (e *usageError) Unwrap() []error { return []error{errUsage, e.error} }
