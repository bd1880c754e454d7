package ldap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// sid is a security identifier (MS-DTYP 2.4.2).
type sid struct {
	authority uint64   // 48 bits
	parts     []uint32 // 1 to 15
}

var errSID = errors.New("not a security identifier")

const (
	sidRevision  = 1
	maxSIDParts  = 15
	maxAuthority = 1<<48 - 1
)

// parseSID reads S-1-5-21-…, in either case, in its one spelling: decimal, without leading zeros.
func parseSID(text string) (sid, error) {
	fields := strings.Split(text, "-")
	if len(fields) < 4 || len(fields) > 3+maxSIDParts || !strings.EqualFold(fields[0], "S") || fields[1] != strconv.Itoa(sidRevision) {
		return sid{}, errSID
	}
	var s sid
	for i, field := range fields[2:] {
		bits := 32
		if i == 0 {
			bits = 48
		}
		n, err := strconv.ParseUint(field, 10, bits)
		if err != nil || strconv.FormatUint(n, 10) != field {
			return sid{}, errSID
		}
		if i == 0 {
			s.authority = n
			continue
		}
		s.parts = append(s.parts, uint32(n)) //nolint:gosec // parsed as 32 bits
	}
	return s, nil
}

// decodeSID reads the form in which the directory keeps it.
func decodeSID(b []byte) (sid, error) {
	if len(b) < 12 || b[0] != sidRevision || b[1] > maxSIDParts || len(b) != 8+4*int(b[1]) {
		return sid{}, errSID
	}
	s := sid{authority: binary.BigEndian.Uint64(b[:8]) & maxAuthority}
	for rest := b[8:]; len(rest) > 0; rest = rest[4:] {
		s.parts = append(s.parts, binary.LittleEndian.Uint32(rest))
	}
	return s, nil
}

// String is the identifier as parseSID reads it, in lower case, which is how ids are compared.
func (s sid) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "s-1-%d", s.authority)
	for _, p := range s.parts {
		fmt.Fprintf(&b, "-%d", p)
	}
	return b.String()
}

// bytes is what decodeSID reads.
func (s sid) bytes() []byte {
	b := binary.BigEndian.AppendUint64(nil, s.authority)
	b[0], b[1] = sidRevision, byte(len(s.parts)) //nolint:gosec // at most 15
	for _, p := range s.parts {
		b = binary.LittleEndian.AppendUint32(b, p)
	}
	return b
}

// filterValue is the identifier as a value in a filter: every byte escaped (RFC 4515, 3).
func (s sid) filterValue() string {
	var b strings.Builder
	for _, c := range s.bytes() {
		fmt.Fprintf(&b, `\%02x`, c)
	}
	return b.String()
}

// sibling is the identifier of another object of the same domain.
func (s sid) sibling(rid uint32) sid {
	parts := append([]uint32(nil), s.parts...)
	parts[len(parts)-1] = rid
	return sid{authority: s.authority, parts: parts}
}

// decodeGUID writes objectGUID, of which the first three fields are little-endian, as text.
func decodeGUID(b []byte) (string, error) {
	if len(b) != 16 {
		return "", errors.New("not a GUID")
	}
	return fmt.Sprintf("%08x-%04x-%04x-%x-%x", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint16(b[4:]),
		binary.LittleEndian.Uint16(b[6:]), b[8:10], b[10:]), nil
}
