package request

import (
	"slices"
	"strings"
)

// kind is what a header field means here.
type kind uint8

const (
	kindOther kind = iota
	kindAuthorization
	kindHost
	kindOverride    // asks the backend for another method
	kindOriginalURL // tells the backend of another URL
	kindReserved    // x-verdict-
	kindIdentity    // names a user to backends that trust their proxy
	kindConnection
	kindUpgrade
	kindRequestID
	kindPseudo // begins with a colon
)

// guarded says whether the field may decide what a backend does or whom it believes: such a name may not come in disguise
// (X_Forwarded_User is X-Forwarded-User to CGI and WSGI) nor be struck out by a Connection header.
func (k kind) guarded() bool { return kindAuthorization <= k && k <= kindIdentity }

const (
	reservedPrefix = "x-verdict-"
	identityPrefix = "x-auth-request-"
)

// removed are the guarded names that nothing behind an enforcement point may see from a client. Authorization and Host are
// meant for the backend and a method override was decided on, so these stay.
var removed = []string{
	"remote-user",
	"x-auth-request-access-token",
	"x-auth-request-email",
	"x-auth-request-groups",
	"x-auth-request-preferred-username",
	"x-auth-request-user",
	"x-envoy-original-path",
	"x-forwarded-access-token",
	"x-forwarded-email",
	"x-forwarded-groups",
	"x-forwarded-preferred-username",
	"x-forwarded-user",
	"x-original-uri",
	"x-original-url",
	"x-rewrite-url",
	"x-verdict-actor",
	"x-verdict-decision-id",
	"x-verdict-principal",
	"x-verdict-revision",
}

// GuardedHeaders returns the exact names, lower case and sorted, that a door must have removed from a request that is let
// through. Most of them Canonicalise refuses when it sees them; removal is for enforcement points that are set to show
// verdict only some headers. A name that the door itself sets is set by replace and left out of the removal: Envoy removes
// after it sets.
func GuardedHeaders() []string { return slices.Clone(removed) }

// kindOf classifies a field name. Letter case does not count. With alias set, the name has an underscore and the kind is
// that of the name with hyphens instead. False when the name is no token of RFC 9110.
func kindOf(name string) (k kind, alias, ok bool) {
	if name == "" {
		return 0, false, false
	}
	if name[0] == ':' {
		return kindPseudo, false, true
	}
	plain := true
	for i := range len(name) {
		b := name[i]
		class := byteClass[b]
		if class&inToken == 0 {
			return 0, false, false
		}
		if b == '_' {
			alias, plain = true, false
		} else if class&upperCase != 0 {
			plain = false
		}
	}
	if plain {
		return kindOfPlain(name), false, true
	}
	var buf [32]byte // longer than any name looked for; what is cut off cannot make a name equal to one of them
	n := copy(buf[:], name)
	for i, b := range buf[:n] {
		switch {
		case b == '_':
			buf[i] = '-'
		case byteClass[b]&upperCase != 0:
			buf[i] = b | 0x20
		}
	}
	return kindOfPlain(string(buf[:n])), alias, true
}

// kindOfPlain classifies a name that is lower case and has no underscore.
func kindOfPlain(name string) kind {
	switch name {
	case "authorization":
		return kindAuthorization
	case "host":
		return kindHost
	case "connection":
		return kindConnection
	case "upgrade":
		return kindUpgrade
	case "x-request-id":
		return kindRequestID
	case "x-http-method-override", "x-http-method", "x-method-override":
		return kindOverride
	case "x-original-url", "x-rewrite-url", "x-envoy-original-path", "x-original-uri":
		return kindOriginalURL
	case "remote-user", "x-forwarded-user", "x-forwarded-email", "x-forwarded-groups",
		"x-forwarded-preferred-username", "x-forwarded-access-token":
		return kindIdentity
	}
	switch {
	case strings.HasPrefix(name, reservedPrefix):
		return kindReserved
	case strings.HasPrefix(name, identityPrefix):
		return kindIdentity
	}
	return kindOther
}
