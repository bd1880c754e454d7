package server

import (
	"net/url"
	"slices"
	"strings"

	"github.com/verdict-authz/verdict/server/entra"
)

// signIns returns the providers, each with a name, and where users sign in by that name. Only providers whose clients
// know claims challenges are there: Entra ID and External ID.
func signIns(providers []entra.Provider) (named []entra.Provider, authorities map[string]string) {
	named, authorities = slices.Clone(providers), map[string]string{}
	for i := range named {
		p := &named[i]
		authority, err := url.Parse(p.Authority)
		if err != nil || authority.Host == "" {
			continue // for the verifier to refuse
		}
		host := strings.ToLower(authority.Host)
		if p.Name == "" && p.Kind != entra.OIDC { // as the verifier names it
			p.Name = p.Kind.String() + " " + host
		}
		if p.Kind == entra.Entra || p.Kind == entra.ExternalID {
			authorities[p.Name] = authority.Scheme + "://" + host
		}
	}
	return named, authorities
}
