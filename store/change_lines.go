package store

import (
	"cmp"
	"encoding/json"
	"time"
)

// ChangeLine is an admin change, without Facts, and one of its facts; without a Kind the change has none.
type ChangeLine struct {
	Change AdminChange
	Fact   FactChange
}

// CompareChanges orders changes as ChangesInWindow does: by At, Trail, Number.
func CompareChanges(a, b AdminChange) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Trail, b.Trail), cmp.Compare(a.Number, b.Number))
}

// RecordedRevocation is a line of the history of revocations as its row says it, and nothing of other rows: what is proven
// of it does not depend on them.
type RecordedRevocation struct {
	TenantID  string         `json:"tenant_id"`
	Kind      RevocationKind `json:"kind"`
	Value     string         `json:"value,omitempty"`
	NotBefore time.Time      `json:"not_before"`
	ExpiresAt time.Time      `json:"expires_at"`
}

// Fact is the line as a fact: After what was put, Before what was taken back.
func (r RecordedRevocation) Fact(id string, deleted bool) (f FactChange, err error) {
	r.NotBefore, r.ExpiresAt = Instant(r.NotBefore), Instant(r.ExpiresAt)
	return recorded(KindRevocation, id, r, deleted)
}

// RecordedTrust is a line of the history of whom is trusted as its row says it.
type RecordedTrust struct {
	Action      string `json:"action"`
	Provider    string `json:"provider,omitempty"`
	TenantID    string `json:"tenant_id,omitempty"`
	DisplayName string `json:"display_name,omitempty"`
	Kid         string `json:"kid,omitempty"`
}

// Fact is the line as a fact: After what was added or ordered, Before what was taken away.
func (r RecordedTrust) Fact() (f FactChange, err error) {
	switch r.Action {
	case "deny_key", "allow_key":
		return recorded(KindKey, r.Kid, r, r.Action == "allow_key")
	case "purge":
		return recorded(KindPurge, r.TenantID, r, false)
	}
	return recorded(KindTenant, r.Provider+"/"+r.TenantID, r, r.Action == "remove_tenant")
}

func recorded(kind Kind, key string, row any, gone bool) (FactChange, error) {
	b, err := json.Marshal(row)
	f := FactChange{Kind: kind, Key: key, After: string(b)}
	if gone {
		f.Before, f.After = f.After, ""
	}
	return f, err
}

// RunOfRevisions is how many of the first changes are revisions that follow one another, so that one query reads the facts
// of them all; 0: the first is no revision.
func RunOfRevisions(heads []ChangeLine) (n int) {
	for n < len(heads) && heads[n].Change.Trail == TrailPolicy && (n == 0 || heads[n].Change.Number == heads[n-1].Change.Number+1) {
		n++
	}
	return n
}

// Lines puts the facts of revisions to their heads, and yields them; a revision without facts is a line too.
type Lines struct {
	run   []ChangeLine
	shown bool // the first of run had a fact
	yield func(ChangeLine) bool
}

// LinesOf begins the lines of a run of revisions.
func LinesOf(run []ChangeLine, yield func(ChangeLine) bool) *Lines {
	return &Lines{run: run, yield: yield}
}

// Add yields the next fact, and says whether to go on. Facts come revision by revision.
func (l *Lines) Add(revision uint64, f FactChange) bool {
	for l.run[0].Change.Number != revision {
		if !l.pass() {
			return false
		}
	}
	l.shown = true
	line := l.run[0]
	line.Fact = f
	return l.yield(line)
}

// End yields what had no facts, and says whether to go on.
func (l *Lines) End() bool {
	for len(l.run) > 0 {
		if !l.pass() {
			return false
		}
	}
	return true
}

func (l *Lines) pass() bool {
	head, shown := l.run[0], l.shown
	l.run, l.shown = l.run[1:], false
	return shown || l.yield(head)
}
