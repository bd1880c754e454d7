package entra

import (
	"errors"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxHeaderDepth bounds the nesting of a token header; Entra's is flat.
const maxHeaderDepth = 4

// member is what a header member turned out to be.
type member struct {
	present bool
	isText  bool
	text    []byte
}

// header is what Verify reads of a token header. Texts are views.
type header struct {
	alg, typ, kid, x5t               member
	crit, forbidden, nonce, misnamed bool
}

// readHeader reads the token header. No member that points to a key is ever followed.
func (r *reader) readHeader(text []byte) (h header, ref Refusal) {
	if err := r.open(text, maxHeaderDepth); err != nil {
		return h, asHeaderRefusal(err)
	}
	for {
		name, more, err := r.next()
		if err != nil {
			return h, asHeaderRefusal(err)
		}
		if !more {
			return h, accepted
		}
		var into *member
		switch string(name) {
		case "alg":
			into = &h.alg
		case "typ":
			into = &h.typ
		case "kid":
			into = &h.kid
		case "x5t":
			into = &h.x5t
		case "crit", "b64":
			h.crit = true
		case "cty", "enc", "jku", "jwk", "x5c", "x5u", "zip":
			h.forbidden = true
		case "nonce":
			h.nonce = true
		default:
			h.misnamed = h.misnamed || foldsToHeaderName(name)
		}
		if err := r.member(into); err != nil {
			return h, asHeaderRefusal(err)
		}
	}
}

// check is what Entra's headers have to be.
func (h *header) check() Refusal {
	switch {
	case h.misnamed:
		return headerName
	case !h.alg.present:
		return algMissing
	case !h.alg.isText:
		return algType
	case string(h.alg.text) != algRS256:
		return algOther
	case h.crit:
		return critPresent
	case h.forbidden:
		return forbiddenMember
	case h.nonce:
		return nonceHeader
	case h.typ.present && (!h.typ.isText || string(h.typ.text) != "JWT"):
		return typOther
	case !h.kid.present:
		return kidMissing
	case !h.kid.isText || !isKeyID(h.kid.text):
		return kidInvalid
	case h.x5t.present && (!h.x5t.isText || string(h.x5t.text) != string(h.kid.text)):
		return x5tMismatch
	}
	return accepted
}

// checkOIDC is what the headers of an OIDC provider have to be: the algorithms are its own, typ may be that of RFC 9068,
// kid may be any thumbprint or name, and x5t, which is a thumbprint of something else there, is not looked at.
func (h *header) checkOIDC(rs256, es256 bool) Refusal {
	switch {
	case h.misnamed:
		return headerName
	case !h.alg.present:
		return algMissing
	case !h.alg.isText:
		return algType
	case !(rs256 && string(h.alg.text) == algRS256 || es256 && string(h.alg.text) == algES256):
		return algNotOfProvider
	case h.crit:
		return critPresent
	case h.forbidden:
		return forbiddenMember
	case h.nonce:
		return nonceHeader
	case h.typ.present && (!h.typ.isText || !isAccessTokenType(string(h.typ.text))):
		return typOther
	case !h.kid.present:
		return kidMissing
	case !h.kid.isText || !isOIDCKeyID(h.kid.text):
		return kidInvalid
	}
	return accepted
}

// isAccessTokenType compares as media types are compared, RFC 7515 §4.1.9.
func isAccessTokenType(typ string) bool {
	return strings.EqualFold(typ, "JWT") || strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
}

// member reads one value, into m when it is wanted.
func (r *reader) member(m *member) error {
	if m == nil {
		return r.skip()
	}
	m.present = true
	if r.kind() != '"' {
		return r.skip()
	}
	m.isText = true
	var err error
	m.text, err = r.str()
	return err
}

// isKeyID says whether a text can be a key id: 1 to 256 letters, digits and -_.=+, of which thumbprints consist. It keeps
// paths, addresses and text that could mislead in a log away from everything behind it.
func isKeyID[T string | []byte](kid T) bool {
	if len(kid) == 0 || len(kid) > 256 {
		return false
	}
	for i := range len(kid) {
		if c := kid[i]; !base64url[c] && c != '.' && c != '=' && c != '+' {
			return false
		}
	}
	return true
}

// isOIDCKeyID also takes the rest of base64 and what else issuers name keys with.
func isOIDCKeyID[T string | []byte](kid T) bool {
	if len(kid) == 0 || len(kid) > 256 {
		return false
	}
	for i := range len(kid) {
		if c := kid[i]; !base64url[c] && c != '.' && c != '=' && c != '+' && c != '/' && c != ':' && c != '@' && c != '~' {
			return false
		}
	}
	return true
}

// foldsToHeaderName finds names such as "CRIT", which another reader of the same token might take for the real one.
func foldsToHeaderName(name []byte) bool {
	for _, known := range []string{
		"alg", "typ", "kid", "x5t", "crit", "b64", "cty", "enc", "jku", "jwk", "x5c", "x5u", "zip", "nonce",
	} {
		if strings.EqualFold(known, string(name)) {
			return true
		}
	}
	return false
}

func asHeaderRefusal(err error) Refusal {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return headerDuplicate
	}
	return headerNotJSON
}
