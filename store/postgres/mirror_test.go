package postgres_test

import (
	"testing"

	"github.com/verdict-authz/verdict/store/postgres/pgtest"
	"github.com/verdict-authz/verdict/store/storetest"
)

func TestMirror(t *testing.T) {
	storetest.RunMirror(t, func(t *testing.T) storetest.MirrorEngine { return open(t, pgtest.New(t)) })
}

func TestMirrorWithoutPreparedStatements(t *testing.T) {
	if testing.Short() {
		t.Skip("the suite once more")
	}
	storetest.RunMirror(t, func(t *testing.T) storetest.MirrorEngine {
		return open(t, pgtest.New(t)+"&default_query_exec_mode=exec")
	})
}

func BenchmarkMirror(b *testing.B) {
	storetest.BenchMirror(b, func(b *testing.B) storetest.MirrorEngine { return open(b, pgtest.New(b)) })
}
