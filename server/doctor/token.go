package doctor

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxToken is the most that a server reads of a token, in bytes.
const maxToken = 32 << 10

// maxDepth is how deep claims may be nested.
const maxDepth = 32

// object is a JSON object, strictly read: no name twice, valid UTF-8, nothing behind it.
type object map[string]jsontext.Value

// reading is a token taken apart, as leniently as it takes to say what is wrong with it.
type reading struct {
	raw      string   // as given
	segments []string // of raw without what people leave around it, in base64url without padding
	header   object   // nil: cannot be read
	claims   object   // nil: cannot be read
	// twice says that a claim or header member is there twice.
	twice bool
}

// read takes a token apart. Nothing is believed of it.
func read(token string) *reading {
	r := &reading{raw: token}
	text := strings.TrimSpace(token)
	if len(text) > 7 && strings.EqualFold(text[:7], "bearer ") {
		text = strings.TrimSpace(text[7:])
	}
	text = strings.Trim(text, `"'`)
	r.segments = strings.Split(strings.NewReplacer("+", "-", "/", "_", "=", "", "\r", "", "\n", "").Replace(text), ".")
	if len(r.segments) >= 3 {
		r.header = r.object(r.segments[0])
		if len(r.segments) != 5 { // of an encrypted token the second part is a key
			r.claims = r.object(r.segments[1])
		}
	}
	return r
}

func (r *reading) object(segment string) object {
	text, err := base64.RawURLEncoding.DecodeString(segment)
	if err != nil {
		return nil
	}
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		r.twice = r.twice || errors.Is(err, jsontext.ErrDuplicateName)
		return nil
	}
	if tooDeep(text) {
		return nil
	}
	return o
}

// tooDeep says whether JSON is nested deeper than a server reads.
func tooDeep(text []byte) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := dec.ReadToken(); err != nil {
			return false // the end; what is not JSON was found before
		}
		if dec.StackDepth() > maxDepth {
			return true
		}
	}
}

// has says whether a member is there.
func (o object) has(name string) bool { _, there := o[name]; return there }

// text is a member that is a text; "" when it is not there or something else.
func (o object) text(name string) string {
	var s string
	if v := o[name]; v.Kind() != '"' || json.Unmarshal(v, &s) != nil {
		return ""
	}
	return s
}

// isText says whether a member is a text.
func (o object) isText(name string) bool { return o[name].Kind() == '"' }

// whole is a member that is a whole number that JSON readers agree on.
func (o object) whole(name string) (n int64, ok bool) {
	n, err := strconv.ParseInt(string(o[name]), 10, 64)
	return n, err == nil && n <= 1<<53 && n >= -1<<53
}

// list is a member that is a list of texts.
func (o object) list(name string) (texts []string, ok bool) {
	var values []jsontext.Value
	if v := o[name]; v.Kind() != '[' || json.Unmarshal(v, &values) != nil {
		return nil, false
	}
	for _, v := range values {
		var text string
		if v.Kind() != '"' || json.Unmarshal(v, &text) != nil {
			return nil, false
		}
		texts = append(texts, text)
	}
	return texts, true
}

// show quotes a text of a token or a document, so that it cannot pass for ours, and cuts it.
func show(text string) string {
	const most = 120
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "…"
	}
	return strconv.QuoteToASCII(text)
}

// isGUID says whether a text is a GUID as Entra writes it, in lower case.
func isGUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case '0' <= c && c <= '9', 'a' <= c && c <= 'f':
		default:
			return false
		}
	}
	return true
}

// unmarshal says whether v could be read.
func unmarshal(v jsontext.Value, into *object) bool { return json.Unmarshal(v, into) == nil }
