package secret

import (
	"bytes"
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

// hidden is what a Value looks like.
const hidden = "[secret]"

// Value is a secret. Whatever prints, logs or encodes it gets [secret]. The zero Value is no secret at all.
type Value struct {
	// A pointer, since fmt calls no method of a field that is not exported: there it prints an address.
	held *held
}

type held struct{ content []byte }

// NewValue makes a Value of a copy of content.
func NewValue(content []byte) Value { return Value{&held{bytes.Clone(content)}} }

// Reveal gives the secret away, as text.
func (v Value) Reveal() string { return string(v.bytes()) }

// RevealBytes gives the secret away, as a copy that the caller may overwrite.
func (v Value) RevealBytes() []byte { return bytes.Clone(v.bytes()) }

// IsZero says that there is nothing in it.
func (v Value) IsZero() bool { return len(v.bytes()) == 0 }

// Equal compares in a time that does not tell where two values of one length differ.
func (v Value) Equal(other Value) bool {
	return subtle.ConstantTimeCompare(v.bytes(), other.bytes()) == 1
}

func (v Value) bytes() []byte {
	if v.held == nil {
		return nil
	}
	return v.held.content
}

// String hides the secret.
func (v Value) String() string { return hidden }

// GoString hides the secret.
func (v Value) GoString() string { return hidden }

// Format hides the secret from every verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// LogValue hides the secret.
func (v Value) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the secret.
func (v Value) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON hides the secret.
func (v Value) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }
