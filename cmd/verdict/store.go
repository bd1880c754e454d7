package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/verdict-authz/verdict/migrations"
	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres"
	"github.com/verdict-authz/verdict/store/sqlite"
)

const sqlitePrefix = "sqlite:"

// isPostgres says whether a store URL names Postgres.
func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// errStoreURL does not repeat the URL, which may hold a password.
var errStoreURL = errors.New("neither postgres://user@host/db nor sqlite:PATH")

// openStore opens the store of a URL. password may be nil: the URL has it, or there is none.
func openStore(ctx context.Context, url string, password postgres.Password, log *slog.Logger) (store.Store, error) {
	if path, ok := strings.CutPrefix(url, sqlitePrefix); ok {
		return sqlite.Open(ctx, path)
	}
	if isPostgres(url) {
		return postgres.Open(ctx, postgres.Config{URL: url, Password: password}, log)
	}
	return nil, errStoreURL
}

// target is where the migrations of a store URL go.
func target(url string) (migrations.Target, error) {
	if path, ok := strings.CutPrefix(url, sqlitePrefix); ok {
		return migrations.Target{SQLitePath: path}, nil
	}
	if isPostgres(url) {
		return migrations.Target{PostgresURL: url}, nil
	}
	return migrations.Target{}, fmt.Errorf("--store: %w", errStoreURL)
}
