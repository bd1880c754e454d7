// Package page has the pages that admin lists come in: their sizes and their tokens. A token holds a position and is good for
// the list and the filters that it was made with only. It is checked against mix-ups, not against forgers: whoever may list
// may begin anywhere.
package page

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/verdict-authz/verdict/server/status"
)

const (
	defaultSize = 100
	// Max is the largest size.
	Max = 1000
)

// Size is the size to use for a requested one.
func Size(asked uint32) int {
	if asked == 0 {
		return defaultSize
	}
	return int(min(asked, Max))
}

// Cut cuts what was read with a limit of one more than size, and tells whether there was one more.
func Cut[F any](read []F, size int) ([]F, bool) {
	if len(read) > size {
		return read[:size], true
	}
	return read, false
}

// List names what is listed and with which filters; the tokens of one are no good for another.
type List []string

// sumLen is the length of a token's checksum.
const sumLen = 8

// Token is the page token for what comes after the given position.
func (l List) Token(after ...string) string {
	body := encode(after)
	return base64.RawURLEncoding.EncodeToString(append(l.sum(body), body...))
}

// After is the position that a token of this list holds, of n parts; all empty for no token.
func (l List) After(token string, n int) ([]string, error) {
	after := make([]string, n)
	if token == "" {
		return after, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < sumLen || string(raw[:sumLen]) != string(l.sum(raw[sumLen:])) {
		return nil, BadToken()
	}
	if err := json.Unmarshal(raw[sumLen:], &after); err != nil || len(after) != n {
		return nil, BadToken()
	}
	return after, nil
}

func (l List) sum(body []byte) []byte {
	h := sha256.New()
	h.Write(encode(l))
	h.Write(body)
	return h.Sum(nil)[:sumLen]
}

// BadToken is the error for a page_token that is not of the list.
func BadToken() error {
	return status.Invalid(status.Violation{Field: "page_token",
		Text: "not a token of this list with these filters; repeat the filters of the page before, or begin without a token"})
}

func encode(parts []string) []byte {
	b, err := json.Marshal(parts)
	if err != nil { // strings always marshal
		panic(err)
	}
	return b
}
