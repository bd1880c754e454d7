package privacy

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// Key is the secret that pseudonyms are made with. The zero Key is none. It prints as "[key]".
type Key struct {
	// root is nil for none. A function, since fmt does not ask the methods of what is in a field that is not exported, and
	// with some verbs prints what a pointer leads to.
	root func() *[KeySize]byte
}

// IsZero says that there is none: records name principals.
func (k Key) IsZero() bool { return k.root == nil }

// What ParseKey says. None of it has anything of the text.
var (
	errKeyForm = fmt.Errorf("pseudonym key: want %d random bytes as 64 hexadecimal digits or in base64", KeySize)
	errWeakKey = errors.New("pseudonym key: all its bytes are the same; want random ones")
)

// ParseKey reads a key as a file holds it: 64 hexadecimal digits or base64, of either alphabet, padded or not, and white
// space around it.
func ParseKey(text []byte) (Key, error) {
	text = bytes.TrimSpace(text)
	root := new([KeySize]byte)
	var n int
	var err error
	if len(text) == hex.EncodedLen(KeySize) {
		n, err = hex.Decode(root[:], text)
	} else {
		n, err = decodeBase64(root, text)
	}
	switch {
	case err != nil || n != KeySize:
		return Key{}, errKeyForm
	case uniform(root[:]):
		return Key{}, errWeakKey
	}
	return Key{func() *[KeySize]byte { return root }}, nil
}

// decodeBase64 reads at most what has room in root.
func decodeBase64(root *[KeySize]byte, text []byte) (int, error) {
	text = bytes.TrimRight(text, "=")
	alphabet := base64.RawStdEncoding
	if bytes.ContainsAny(text, "-_") {
		alphabet = base64.RawURLEncoding
	}
	if alphabet.DecodedLen(len(text)) != KeySize {
		return 0, errKeyForm
	}
	return alphabet.Strict().Decode(root[:], text)
}

const hidden = "[key]"

// LogValue keeps the key out of logs.
func (Key) LogValue() slog.Value { return slog.StringValue(hidden) }

// String keeps the key out of texts.
func (Key) String() string { return hidden }

// Format keeps the key out of texts, whatever the verb.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// MarshalText keeps the key out of JSON.
func (Key) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// uniform says whether all bytes are the same, as in what somebody put there to fill the place.
func uniform(b []byte) bool {
	return bytes.Count(b, b[:1]) == len(b)
}
