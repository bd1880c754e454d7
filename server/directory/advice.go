package directory

import (
	"context"
	"log/slog"
	"sync"
)

// maxAdvised bounds how many applications are remembered; those beyond are not warned of.
const maxAdvised = 1024

// advice tells an operator, once per application, what is probably configured wrong in Entra.
type advice struct {
	log   *slog.Logger
	given sync.Map // of topic -> struct{}
	mu    sync.Mutex
	count int
}

type topic struct{ tenant, client, what string }

const (
	noGroupsClaim = "tokens hold no groups and do not say where they are; grants to groups never match"
	groupNames    = "tokens hold names of groups; grants name ids, so these never match"
)

// noClaim is for a token without groups and without a pointer to them: the app registration sends none.
func (a *advice) noClaim(who Caller) { a.once(who, noGroupsClaim) }

// names is for a token whose groups are not ids.
func (a *advice) names(who Caller) {
	for _, id := range who.Groups {
		if !IsGUID(id) && !isSID(id) {
			a.once(who, groupNames)
			return
		}
	}
}

func (a *advice) once(who Caller, what string) {
	t := topic{who.TenantID, who.ClientID, what}
	if _, told := a.given.Load(t); told {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, told := a.given.Load(t); told || a.count >= maxAdvised {
		return
	}
	a.count++
	a.given.Store(t, struct{}{})
	a.log.LogAttrs(context.Background(), slog.LevelWarn, what,
		slog.String("tenant", who.TenantID), slog.String("client", who.ClientID))
}

// isSID says whether s looks like the text of a security identifier, in either case.
func isSID(s string) bool {
	if len(s) < 5 || s[0]|0x20 != 's' || s[1] != '-' {
		return false
	}
	for i := 2; i < len(s); i++ {
		if s[i] != '-' && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}
