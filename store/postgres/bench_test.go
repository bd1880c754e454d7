package postgres_test

import (
	"testing"

	"github.com/verdict-authz/verdict/store"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
	"github.com/verdict-authz/verdict/store/storetest"
)

func BenchmarkStore(b *testing.B) {
	storetest.Bench(b, func(b *testing.B) store.Store { return open(b, pgtest.New(b)) })
}
