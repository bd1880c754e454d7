package entra

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// maxClaimsDepth bounds the nesting of the payload.
const maxClaimsDepth = 32

// claims is what Verify reads of a payload: views of it, valid as long as the scratch is. Claims that are not listed
// are proven to be strict JSON and passed over.
type claims struct {
	seen [claimCount]bool // by the exact name

	iss, aud, tid, oid, ver []byte
	azp, appid, azpacr      []byte
	idtyp, scp              []byte
	uti, sid                []byte
	tfp, acr                []byte
	idp, xmsIDRel           []byte
	name, username, app     []byte
	upn, onPremSID          []byte
	subFct, actFct, parent  []byte
	times
	authTime, acct         int64
	roles, wids, acrs, xms [][]byte
	groups                 [][]byte

	groupsElsewhere bool // one of the three overage shapes
	groupsBad       bool
	tidBad          bool    // tid is there and not text
	fault           Refusal // of the claims' types; answered after the signature
}

// times are iat, nbf and exp in seconds.
type times struct{ iat, nbf, exp int64 }

// clear makes c empty and keeps its lists' room.
func (c *claims) clear() {
	lists := [...]*[][]byte{&c.roles, &c.wids, &c.acrs, &c.xms, &c.groups}
	var kept [len(lists)][][]byte
	for i, l := range lists {
		full := (*l)[:cap(*l)]
		clear(full)
		kept[i] = full[:0]
	}
	*c = claims{}
	for i, l := range lists {
		*l = kept[i]
	}
}

// readClaims reads a payload into c. Its refusal speaks of JSON; what is wrong with a claim's type is c.fault, since the
// tenant and the signature are answered first.
func (r *reader) readClaims(c *claims, text []byte) Refusal {
	var folded [claimCount]bool
	if err := r.open(text, maxClaimsDepth); err != nil {
		return asClaimsRefusal(err)
	}
	for {
		name, more, err := r.next()
		if err != nil {
			return asClaimsRefusal(err)
		}
		if !more {
			break
		}
		id, exact := claimByName(name)
		if id != noClaim {
			// "tid" and "TID" are one claim to some readers, so both together are refused.
			if folded[id] {
				return claimDuplicate
			}
			folded[id] = true
		}
		if !exact {
			err = r.skip()
		} else {
			c.seen[id] = true
			err = r.claim(c, id)
		}
		if err != nil {
			return asClaimsRefusal(err)
		}
	}
	return accepted
}

// claim reads the value of one claim.
func (r *reader) claim(c *claims, id claimID) error {
	if into := c.textOf(id); into != nil {
		return r.textClaim(c, id, into)
	}
	if into := c.numberOf(id); into != nil {
		return r.numberClaim(c, id, into)
	}
	switch id {
	case claimRoles:
		return r.listClaim(c, &c.roles)
	case claimWIDs:
		return r.listClaim(c, &c.wids)
	case claimACRs:
		if r.kind() == '"' { // as text it is treated as absent
			return r.skip()
		}
		return r.listClaim(c, &c.acrs)
	case claimXMSCC:
		return r.capabilities(c)
	case claimGroups:
		return r.groupsClaim(c)
	case claimHasGroups:
		return r.hasGroups(c)
	case claimClaimNames:
		return r.claimNames(c)
	default: // only its presence matters
		return r.skip()
	}
}

func (r *reader) textClaim(c *claims, id claimID, into *[]byte) error {
	if r.kind() != '"' {
		switch {
		case id == claimTID:
			c.tidBad = true
		case !id.display():
			c.blame(claimType)
		}
		return r.skip()
	}
	v, err := r.str()
	if err != nil {
		return err
	}
	if !id.display() && !isPlain(v, id == claimSCP) && !(id == claimSCP && len(v) == 0) {
		c.blame(claimText)
	}
	*into = v
	return nil
}

func (r *reader) numberClaim(c *claims, id claimID, into *int64) error {
	if r.kind() != '0' {
		c.notANumber(id)
		return r.skip()
	}
	n, ok, err := r.integer()
	if !ok {
		c.notANumber(id)
	}
	*into = n
	return err
}

// notANumber makes acct absent, since it is only a hint, and is a fault of every other claim.
func (c *claims) notANumber(id claimID) {
	if id == claimACCT {
		c.seen[id] = false
		return
	}
	c.blame(claimType)
}

// listClaim reads an array of texts.
func (r *reader) listClaim(c *claims, into *[][]byte) error {
	ok, err := r.texts(into)
	if !ok {
		c.blame(claimType)
	}
	return err
}

// texts reads an array of texts; ok is false when it is something else.
func (r *reader) texts(into *[][]byte) (ok bool, err error) {
	if r.kind() != '[' {
		return false, r.skip()
	}
	if err := r.begin(); err != nil {
		return false, err
	}
	ok = true
	for r.kind() != ']' {
		if r.kind() != '"' {
			ok = false
			if err := r.skip(); err != nil {
				return false, err
			}
			continue
		}
		v, err := r.str()
		if err != nil {
			return false, err
		}
		ok = ok && isPlain(v, false)
		*into = append(*into, v)
	}
	_, err = r.dec.ReadToken()
	return ok, err
}

// capabilities reads xms_cc, a list or one text.
func (r *reader) capabilities(c *claims) error {
	if r.kind() != '"' {
		return r.listClaim(c, &c.xms)
	}
	v, err := r.str()
	c.xms = append(c.xms, v)
	return err
}

// blame keeps the first thing that is wrong with a claim.
func (c *claims) blame(r Refusal) {
	if c.fault.OK() {
		c.fault = r
	}
}

// isPlain says whether a text can identify something: not empty, no control character, no U+FFFD, which is what other
// readers make of bytes they could not read. Only a scope may hold a tab, since only U+0020 separates scopes.
func isPlain(text []byte, tab bool) bool {
	if len(text) == 0 {
		return false
	}
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < 0x20 && !(tab && c == '\t') || c == 0x7f {
				return false
			}
			i++
			continue
		}
		u, n := utf8.DecodeRune(text[i:])
		if u == utf8.RuneError || u < 0xa0 { // U+0080 to U+009F are control characters too
			return false
		}
		i += n
	}
	return true
}

// isGUID says whether a text is a GUID as Entra writes it, with hyphens; upper reports hexadecimal digits in upper case.
func isGUID[T string | []byte](text T) (ok, upper bool) {
	if len(text) != 36 {
		return false, false
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false, false
			}
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f':
		case 'A' <= c && c <= 'F':
			upper = true
		default:
			return false, false
		}
	}
	return true, upper
}

// isCanonicalGUID says whether a text is a GUID in lower case.
func isCanonicalGUID[T string | []byte](text T) bool {
	ok, upper := isGUID(text)
	return ok && !upper
}

// claimByName finds the claim of this name, or of a name that differs from it in case only; then exact is false.
func claimByName(name []byte) (id claimID, exact bool) {
	if id, ok := claimIDs[string(name)]; ok {
		return id, true
	}
	for _, c := range name {
		if 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf {
			text := string(name)
			for i, known := range claimNames {
				if strings.EqualFold(known, text) {
					return claimID(i), false
				}
			}
			return noClaim, false
		}
	}
	return noClaim, false
}

func asClaimsRefusal(err error) Refusal {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return claimDuplicate
	}
	return claimsNotJSON
}
