package storetest

import (
	"encoding/json"
	"testing"

	"github.com/verdict-authz/verdict/store"
)

// Line is a row of the table changes; Before and After are JSON, "" for none.
type Line struct {
	Revision, Seq            int64
	Kind, Key, Before, After string
}

// History checks what an empty store s writes into its history, which read returns in order: rollback and compare are made
// from it later.
func History(t *testing.T, s store.Store, read func(t *testing.T) []Line) {
	a, r, g := fullAPI("orders"), fullRoute("orders", "list/all"), fullGrant("orders", "g-1")
	commit(t, s, puts(a, r, g))
	a2 := plainAPI("orders")
	commit(t, s, store.Change{
		PutAPIs:      puts(a2).PutAPIs,
		DeleteRoutes: []store.Delete[store.RouteKey]{{Key: r.Key()}},
		DeleteGrants: []store.Delete[string]{{Key: "g-1"}},
	})
	commit(t, s, store.Change{DeleteAPIs: []store.Delete[string]{{Key: "orders"}}})
	a.Revision, r.Revision, g.Revision, a2.Revision = 1, 1, 1, 2

	want := []struct {
		revision, seq int64
		kind          store.Kind
		key           string
		before, after any
	}{
		{1, 1, store.KindAPI, "orders", nil, a},
		{1, 2, store.KindRoute, "orders/list/all", nil, r},
		{1, 3, store.KindGrant, "g-1", nil, g},
		{2, 1, store.KindAPI, "orders", a, a2},
		{2, 2, store.KindGrant, "g-1", g, nil},
		{2, 3, store.KindRoute, "orders/list/all", r, nil},
		{3, 1, store.KindAPI, "orders", a2, nil},
	}
	got := read(t)
	if len(got) != len(want) {
		t.Fatalf("%d lines, want %d", len(got), len(want))
	}
	for i, w := range want {
		l := got[i]
		equal(t, "line", []any{l.Revision, l.Seq, l.Kind, l.Key}, []any{w.revision, w.seq, string(w.kind), w.key})
		equal(t, "before", decoded(t, w.kind, l.Before), w.before)
		equal(t, "after", decoded(t, w.kind, l.After), w.after)
	}
}

func decoded(t *testing.T, kind store.Kind, text string) any {
	t.Helper()
	switch {
	case text == "":
		return nil
	case kind == store.KindAPI:
		return unmarshalled[store.API](t, text)
	case kind == store.KindRoute:
		return unmarshalled[store.Route](t, text)
	default:
		return unmarshalled[store.Grant](t, text)
	}
}

func unmarshalled[F any](t *testing.T, text string) (f F) {
	t.Helper()
	must(t, json.Unmarshal([]byte(text), &f))
	return f
}
