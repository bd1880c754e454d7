package issuer

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// DefaultLifetime is that of tokens whose request names none. Entra's is random, 60 to 90 minutes.
const DefaultLifetime = time.Hour

// Overage is how a token says that its groups are elsewhere.
type Overage string

// The shapes of overage that Entra has.
const (
	OverageNone       Overage = ""
	OverageClaimNames Overage = "claim_names" // _claim_names and _claim_sources
	OverageString     Overage = "string"      // groups is the name of a source
	OverageHasGroups  Overage = "hasgroups"   // hasgroups is true
)

// Request asks for a token. Only Persona is needed. A nil list means the persona's own; an empty one means none.
type Request struct {
	Persona  string
	Tenant   string // empty: the first one
	Audience string // empty: the persona's
	Version  string // "1.0" or "2.0"; empty: "2.0"
	Scopes   []string
	Roles    []string
	Groups   []string
	Overage  Overage // instead of groups

	WIDs         []string // directory role template ids
	ACRs         []string // authentication contexts satisfied
	Capabilities []string // xms_cc
	AuthAge      *time.Duration
	// Lifetime of the token; 0 means DefaultLifetime. With a negative one the token expired that long ago.
	Lifetime time.Duration
	// Claims are set last, whatever they replace; a nil value removes a claim.
	Claims map[string]any
}

// Mint makes a token in compact form. What is wrong with r is an ErrRequest.
func (i *Issuer) Mint(r Request) (string, error) {
	token, err := i.mint(r)
	return token.compact, err
}

// minted is a token and what is in it.
type minted struct {
	compact string
	kid     string
	claims  map[string]any
}

func (i *Issuer) mint(r Request) (minted, error) {
	p, err := i.complete(&r)
	if err != nil {
		return minted{}, err
	}
	k := i.keys.signer()
	header := map[string]any{"typ": "JWT", "alg": "RS256", "kid": k.kid}
	if r.Version == "1.0" {
		header["x5t"] = k.kid
	}
	claims := i.claims(p, r)
	compact, err := k.compact(header, claims)
	if err != nil {
		return minted{}, err
	}
	return minted{compact: compact, kid: k.kid, claims: claims}, nil
}

// complete checks r, fills in what it leaves out, and finds its persona.
func (i *Issuer) complete(r *Request) (Persona, error) {
	at := slices.IndexFunc(i.personas, func(p Persona) bool { return p.Name == r.Persona })
	if at < 0 {
		return Persona{}, refuse("there is no persona of that name; GET / lists them")
	}
	p := i.personas[at]
	if r.Tenant == "" {
		r.Tenant = i.tenants[0]
	}
	if !slices.Contains(i.tenants, r.Tenant) {
		return Persona{}, refuse("that tenant is not one of this issuer; GET / lists them")
	}
	if r.Audience == "" {
		r.Audience = p.Audience
	}
	if r.Version == "" {
		r.Version = "2.0"
	}
	if r.Version != "1.0" && r.Version != "2.0" {
		return Persona{}, refuse("the version is 1.0 or 2.0")
	}
	switch r.Overage {
	case OverageNone, OverageClaimNames, OverageString, OverageHasGroups:
	default:
		return Persona{}, refuse("overage is claim_names, string or hasgroups")
	}
	if p.Kind == App && len(r.Scopes) > 0 {
		return Persona{}, refuse("%s is an application; delegated scopes are for users", p.Name)
	}
	if r.Lifetime == 0 {
		r.Lifetime = DefaultLifetime
	}
	r.Scopes, r.Roles, r.Groups = orElse(r.Scopes, p.Scopes), orElse(r.Roles, p.Roles), orElse(r.Groups, p.Groups)
	return p, nil
}

// orElse returns list, or fallback where there is none. An empty list is one.
func orElse(list, fallback []string) []string {
	if list == nil {
		return fallback
	}
	return list
}

// compact is header and claims as a compact JWS.
func (k *key) compact(header, claims map[string]any) (string, error) {
	h, err := json.Marshal(header)
	if err != nil {
		return "", fmt.Errorf("issuer: encode the header: %w", err)
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return "", refuse("the claims cannot be written as JSON")
	}
	input := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	signature, err := k.sign([]byte(input))
	if err != nil {
		return "", fmt.Errorf("issuer: sign: %w", err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
