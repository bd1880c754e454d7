package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/verdict-authz/verdict/server/status"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

// pageSize is the size to use for a requested one.
func pageSize(asked uint32) int {
	if asked == 0 {
		return defaultPage
	}
	return int(min(asked, maxPage))
}

// listing names what is listed and with which filters; the tokens of one are no good for another.
type listing []string

// sumLen is the length of a token's checksum. It is against mix-ups, not against forgers: a token holds a position only,
// and whoever may list may begin anywhere.
const sumLen = 8

// token is the page token for what comes after the given position.
func (l listing) token(after ...string) string {
	body := encode(after)
	return base64.RawURLEncoding.EncodeToString(append(l.sum(body), body...))
}

// after is the position that a token of this listing holds, of n parts; all empty for no token.
func (l listing) after(token string, n int) ([]string, error) {
	after := make([]string, n)
	if token == "" {
		return after, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < sumLen || string(raw[:sumLen]) != string(l.sum(raw[sumLen:])) {
		return nil, errPageToken()
	}
	if err := json.Unmarshal(raw[sumLen:], &after); err != nil || len(after) != n {
		return nil, errPageToken()
	}
	return after, nil
}

func (l listing) sum(body []byte) []byte {
	h := sha256.New()
	h.Write(encode(l))
	h.Write(body)
	return h.Sum(nil)[:sumLen]
}

func errPageToken() error {
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

// page cuts what was read with a limit of one more than size, and tells whether there was one more.
func page[F any](read []F, size int) ([]F, bool) {
	if len(read) > size {
		return read[:size], true
	}
	return read, false
}
