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

// readHeader checks the token header and returns the key id it names. No member that points to a key is ever followed.
func (r *reader) readHeader(text []byte) (kid []byte, ref Refusal) {
	var alg, typ, id, x5t member
	var crit, forbidden, nonce, misnamed bool
	if err := r.open(text, maxHeaderDepth); err != nil {
		return nil, asHeaderRefusal(err)
	}
	for {
		name, more, err := r.next()
		if err != nil {
			return nil, asHeaderRefusal(err)
		}
		if !more {
			break
		}
		var into *member
		switch string(name) {
		case "alg":
			into = &alg
		case "typ":
			into = &typ
		case "kid":
			into = &id
		case "x5t":
			into = &x5t
		case "crit", "b64":
			crit = true
		case "cty", "enc", "jku", "jwk", "x5c", "x5u", "zip":
			forbidden = true
		case "nonce":
			nonce = true
		default:
			misnamed = misnamed || foldsToHeaderName(name)
		}
		if err := r.member(into); err != nil {
			return nil, asHeaderRefusal(err)
		}
	}
	switch {
	case misnamed:
		return nil, headerName
	case !alg.present:
		return nil, algMissing
	case !alg.isText:
		return nil, algType
	case string(alg.text) != "RS256":
		return nil, algOther
	case crit:
		return nil, critPresent
	case forbidden:
		return nil, forbiddenMember
	case nonce:
		return nil, nonceHeader
	case typ.present && (!typ.isText || string(typ.text) != "JWT"):
		return nil, typOther
	case !id.present:
		return nil, kidMissing
	case !id.isText || !isKeyID(id.text):
		return nil, kidInvalid
	case x5t.present && (!x5t.isText || string(x5t.text) != string(id.text)):
		return nil, x5tMismatch
	}
	return id.text, accepted
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
