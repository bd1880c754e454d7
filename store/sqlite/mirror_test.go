package sqlite_test

import (
	"testing"

	"github.com/verdict-authz/verdict/store/storetest"
)

func TestMirror(t *testing.T) {
	storetest.RunMirror(t, func(t *testing.T) storetest.MirrorEngine { return open(t, migrated(t)) })
}

func BenchmarkMirror(b *testing.B) {
	storetest.BenchMirror(b, func(b *testing.B) storetest.MirrorEngine { return open(b, migrated(b)) })
}
