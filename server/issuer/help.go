package issuer

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// help says what there is, with lines to paste.
func (i *Issuer) help(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	tid := i.tenants[0]
	var b strings.Builder
	fmt.Fprintf(&b, "verdict dev issuer: Entra-shaped tokens for this machine, for anybody who asks. Not for production.\n\nPersonas:\n")
	for _, p := range i.personas {
		fmt.Fprintf(&b, "  curl -s '%s/mint?%s=%s'    # %s, %s\n", i.base, p.Kind, p.Name, p.DisplayName, p.ObjectID)
	}
	fmt.Fprintf(&b, `
Parameters of /mint (query, form or JSON; GET or POST; Accept: application/json shows the claims):
  user, app      one of the personas above
  tenant         %s
  audience       default: the persona's
  version        1.0 or 2.0, default 2.0
  scope, roles, groups, wids, acrs, xms_cc
                 lists, by space or comma; empty means none, absent means the persona's
  overage        claim_names, string or hasgroups: the groups are elsewhere
  lifetime       such as 5m; negative for a token that has expired: -1h
  auth_age       such as 10m: sets auth_time
  claims         JSON object, set last; null removes a claim

  curl -s '%[2]s/mint?user=%[3]s&lifetime=-1h'
  curl -s '%[2]s/mint' -d user=%[3]s -d groups= -d 'claims={"acct":1}'

Keys (%[4]s):
  curl -s -X POST '%[2]s/rotate'
  curl -s -X POST '%[2]s/withdraw?kid=%[5]s'

Documents:
  %[2]s/%[6]s/v2.0/.well-known/openid-configuration
  %[2]s/%[6]s/discovery/v2.0/keys
  %[2]s/%[6]s/.well-known/openid-configuration    (version 1.0)
  %[2]s/%[6]s/discovery/keys    (version 1.0)

Client credentials, with any secret:
  curl -s '%[2]s/%[6]s/oauth2/v2.0/token' -d grant_type=client_credentials -d client_id=%[7]s -d client_secret=dev -d scope=api://%[8]s/.default
`, strings.Join(i.tenants, ", "), i.base, i.example(User).Name, strings.Join(i.Kids(), ", "), i.Kids()[0], tid,
		i.example(App).ClientID, i.example(App).Audience)
	_, _ = io.WriteString(w, b.String())
}

// example is the first persona of a kind, or one that says that there is none.
func (i *Issuer) example(kind Kind) Persona {
	for _, p := range i.personas {
		if p.Kind == kind {
			return p
		}
	}
	return Persona{Name: "NONE", ClientID: "NONE", Audience: "NONE"}
}
