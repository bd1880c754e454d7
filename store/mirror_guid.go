package store

import (
	"bytes"
	"encoding/hex"
	"fmt"
)

// GUID is an id that Microsoft Entra gives: of a tenant, a group, a user, a service principal. The bytes are in the order
// of the text, so GUIDs sort as their texts do.
type GUID [16]byte

// ParseGUID reads 8-4-4-4-12 hexadecimal digits in either case, and nothing else. ErrInvalid.
func ParseGUID(s string) (g GUID, err error) {
	err = g.UnmarshalText([]byte(s))
	return g, err
}

// UnmarshalText is ParseGUID, for decoders.
func (g *GUID) UnmarshalText(text []byte) error {
	var digits [32]byte
	if len(text) != 36 || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return fmt.Errorf("%.40q is not a GUID: %w", text, ErrInvalid)
	}
	n := copy(digits[:], text[:8])
	n += copy(digits[n:], text[9:13])
	n += copy(digits[n:], text[14:18])
	n += copy(digits[n:], text[19:23])
	copy(digits[n:], text[24:])
	if _, err := hex.Decode(g[:], digits[:]); err != nil {
		return fmt.Errorf("%q is not a GUID: %w", text, ErrInvalid)
	}
	return nil
}

// String is the id in lower case.
func (g GUID) String() string {
	var text [36]byte
	hex.Encode(text[:8], g[:4])
	text[8] = '-'
	hex.Encode(text[9:13], g[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], g[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], g[8:10])
	text[23] = '-'
	hex.Encode(text[24:], g[10:])
	return string(text[:])
}

// Compare orders GUIDs by their bytes.
func (g GUID) Compare(o GUID) int { return bytes.Compare(g[:], o[:]) }

// IsZero says whether g was never set.
func (g GUID) IsZero() bool { return g == GUID{} }
