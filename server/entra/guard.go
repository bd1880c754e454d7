package entra

import "encoding/base64"

// maxToken bounds a token in bytes. 200 groups as GUIDs, the most a token carries, take about 10.4 KB encoded.
const maxToken = 32 << 10

// strict refuses non-zero spare bits. It would skip CR and LF, so split checks the alphabet before.
var strict = base64.RawURLEncoding.Strict()

// segments is a token in compact form, decoded. The encoded parts share the token's memory; header and payload are the
// scratch's own.
type segments struct {
	header  []byte
	payload []byte
}

// guard proves that token is a compact JWS in strict base64url and decodes header and payload into s. What it accepts,
// strict encoding reproduces byte for byte.
func (s *scratch) guard(token string) (segments, Refusal) {
	var seg segments
	first, second, r := split(token)
	if !r.OK() {
		return seg, r
	}
	var ok bool
	if seg.header, ok = s.decode(&s.header, token[:first]); !ok {
		return seg, notStrictBase64
	}
	if seg.payload, ok = s.decode(&s.payload, token[first+1:second]); !ok {
		return seg, notStrictBase64
	}
	// The signature is decoded here for strictness only; jws decodes it again when it verifies.
	if _, ok = s.decode(&s.signature, token[second+1:]); !ok {
		return seg, notStrictBase64
	}
	return seg, accepted
}

// split finds the two dots of a compact JWS. It decodes nothing.
func split(token string) (first, second int, r Refusal) {
	if len(token) > maxToken {
		return 0, 0, tooLarge
	}
	if token == "" {
		return 0, 0, emptyCredential
	}
	dots := 0
	for i := range len(token) {
		c := token[i]
		if c == '.' {
			switch dots {
			case 0:
				first = i
			case 1:
				second = i
			}
			dots++
		} else if !base64url[c] {
			return 0, 0, notBase64URL
		}
	}
	switch {
	case dots == 4:
		return 0, 0, encrypted
	case dots != 2:
		return 0, 0, notThreeSegments
	case first == 0, second == first+1, second == len(token)-1:
		return 0, 0, emptySegment
	}
	return first, second, accepted
}

// decode decodes text into *buf, growing it when needed.
func (s *scratch) decode(buf *[]byte, text string) ([]byte, bool) {
	s.encoded = append(s.encoded[:0], text...)
	need := strict.DecodedLen(len(text))
	if cap(*buf) < need {
		*buf = make([]byte, need)
	}
	n, err := strict.Decode((*buf)[:need], s.encoded)
	return (*buf)[:n], err == nil
}

var base64url = func() (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		set[c] = true
	}
	return set
}()
