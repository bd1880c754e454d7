package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/verdict-authz/verdict/server"
	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
)

// openTimeout bounds the first contact with the store, so that a wrong address is an error and not a wait.
const openTimeout = 10 * time.Second

// Run serves until the context ends.
func (c *serveCmd) Run(s *surroundings) (err error) {
	o, err := c.options(s.log)
	url, urlErr := c.url()
	if err = errors.Join(err, urlErr); err != nil {
		return usage(err)
	}
	secrets, err := openSecrets(s, c.GraphCloud, c.refs())
	if err != nil {
		return err
	}
	c.applySecrets(&o, secrets)
	if err := c.evidenceFlags.apply(s.ctx, &o, secrets); err != nil {
		return err
	}
	o.Secrets = secrets
	exports, endExports, err := c.sinks(secrets)
	defer func() { err = errors.Join(err, endExports()) }()
	if err != nil {
		return usage(err)
	}
	o.Exports = exports
	st, err := openChecked(s, url, secrets)
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

// open opens the store of the flags for a command that ends by itself.
func (f *storeFlags) open(s *surroundings) (store.Store, error) {
	url, err := f.url()
	if err != nil {
		return nil, usage(err)
	}
	secrets, err := openSecrets(s, "", map[string]secret.Ref{storePasswordFlag: f.StorePassword})
	if err != nil {
		return nil, err
	}
	return openChecked(s, url, secrets)
}

// openChecked opens the store and makes sure that it answers.
func openChecked(s *surroundings, url string, secrets *secret.Set) (store.Store, error) {
	ctx, cancel := context.WithTimeout(s.ctx, openTimeout)
	defer cancel()
	var password postgres.Password // not a nil of a type
	if source := secrets.Source(storePasswordFlag); source != nil {
		password = source.Password()
	}
	st, err := openStore(ctx, url, password, s.log)
	if errors.Is(err, errStoreURL) {
		return nil, usage(fmt.Errorf("--store: %w", err))
	}
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
