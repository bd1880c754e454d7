package store_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/store"
)

// The engines' suite is in storetest. Here is what history would not survive: its JSON under other names.
func TestTheJSONOfFactsKeepsItsNames(t *testing.T) {
	at := time.Date(2031, 2, 3, 4, 5, 6, 789_123_000, time.UTC)
	for want, fact := range map[string]any{
		`{"id":"a","revision":1}`: store.API{ID: "a", Revision: 1},
		`{"id":"a","display_name":"A","audiences":["b"],"hosts":["c"],"permissions":[{"name":"d","description":"e","privileged":true}],` +
			`"scopes":[{"scope":"f","permissions":["g"]}],"actors":[{"client_id":"h","permissions":["i"]}],"allowed_clients":["j"],` +
			`"allow_apps_without_roles":true,"require_sni_match":true,"deny_guests":true,"strict_revocation":true,` +
			`"audit_durability":"sync_db","on_audit_failure":"count","revision":2}`: store.API{
			ID: "a", DisplayName: "A", Audiences: []string{"b"}, Hosts: []string{"c"},
			Permissions:    []store.Permission{{Name: "d", Description: "e", Privileged: true}},
			Scopes:         []store.ScopeRule{{Scope: "f", Permissions: []string{"g"}}},
			Actors:         []store.ActorRule{{ClientID: "h", Permissions: []string{"i"}}},
			AllowedClients: []string{"j"}, AllowAppsWithoutRoles: true, RequireSNIMatch: true, DenyGuests: true, StrictRevocation: true,
			AuditDurability: store.AuditSyncDB, OnAuditFailure: store.AuditFailureCount, Revision: 2,
		},
		`{"api":"a","id":"r","methods":["GET"],"template":"/","requirement":"all_of","permissions":["p"],"condition":"c","upgrade":"u",` +
			`"max_token_age_ns":300000000000,"auth_context":"c1","confidential_client":true,"revision":3}`: store.Route{
			API: "a", ID: "r", Methods: []string{"GET"}, Template: "/", Requirement: store.AllOf, Permissions: []string{"p"},
			Condition: "c", Upgrade: "u", MaxTokenAge: 5 * time.Minute, AuthContext: "c1", ConfidentialClient: true, Revision: 3,
		},
		`{"id":"g","api":"a","subject":"s","subject_display_name":"S","permissions":["p"],"effect":"deny","condition":"c",` +
			`"not_before":"2031-02-03T04:05:06.789123Z","expires_at":"2031-02-03T04:05:06.789123Z","reason":"r","ticket":"t","revision":4}`: store.Grant{
			ID: "g", API: "a", Subject: "s", SubjectDisplayName: "S", Permissions: []string{"p"}, Effect: store.Deny, Condition: "c",
			NotBefore: at, ExpiresAt: at, Reason: "r", Ticket: "t", Revision: 4,
		},
	} {
		got, err := json.Marshal(fact)
		if err != nil || string(got) != want {
			t.Errorf("got  %s\nwant %s (%v)", got, want, err)
		}
	}
}

func TestARefusedChangeNamesTheFirstThatDoesNotHold(t *testing.T) {
	put := func(id string, create bool) store.Put[store.API] {
		return store.Put[store.API]{Fact: store.API{ID: id}, Create: create}
	}
	c := store.Change{PutAPIs: []store.Put[store.API]{put("new", true), put("there", true)}, DeleteGrants: []store.Delete[string]{{Key: "none"}}}
	entries, err := c.Resolve(store.Present{Revision: 7, APIs: map[string]store.API{"there": {ID: "there", Revision: 3}}})
	if !errors.Is(err, store.ErrExists) || entries != nil || err.Error() != "api there: already exists" {
		t.Fatalf("got %v, %v", entries, err)
	}
}
