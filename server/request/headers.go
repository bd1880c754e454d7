package request

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on the header; they are checked before anything of it is parsed.
const (
	maxHeaders     = 256
	maxHeaderBytes = 96 << 10 // names and values together
	maxRequestID   = 128
)

// headerReader goes through the header fields of r once and fills c.
type headerReader struct {
	r *Raw
	c *Canonical

	pseudo         uint8 // those seen, a bit each
	hosts          int
	authorizations int
	requestIDs     int
	upgrades       int
	upgradeIsNamed bool // Connection has the option upgrade
}

func (h *headerReader) read() Fault {
	for i := range h.r.Headers {
		if f := h.field(h.r.Headers[i].Name, h.r.Headers[i].Value); f != faultNone {
			return f
		}
	}
	if h.upgrades > 0 && !h.upgradeIsNamed {
		return faultUpgradeLone
	}
	return faultNone
}

func (h *headerReader) field(name, value string) Fault {
	k, alias, ok := kindOf(name)
	switch {
	case !ok:
		return faultHeaderName
	case !validValue(value):
		return faultHeaderValue
	case alias && k.guarded():
		return faultHeaderAlias
	case alias:
		return faultNone
	}
	switch k {
	case kindOther, kindIdentity: // an identity is for the door to remove
	case kindPseudo:
		return h.pseudoField(name, value)
	case kindHost:
		if h.hosts++; h.hosts > 1 {
			return faultHostRepeated
		}
		return h.host(value)
	case kindAuthorization:
		return h.authorization(value)
	case kindOverride:
		return h.override(value)
	case kindOriginalURL:
		return faultOriginalURL
	case kindReserved:
		return faultHeaderReserved
	case kindConnection:
		return h.connection(value)
	case kindUpgrade:
		return h.upgrade(value)
	case kindRequestID:
		h.requestID(value)
	}
	return faultNone
}

// pseudoField compares what HTTP/2 calls pseudo header fields, as Envoy shows them, with the request line they stand for.
func (h *headerReader) pseudoField(name, value string) Fault {
	var bit uint8
	differs := faultNone
	switch name {
	case ":method":
		bit = 1
		if value != h.r.Method {
			differs = faultMethodDiffers
		}
	case ":path":
		bit = 2
		if value != h.r.Target {
			differs = faultPathDiffers
		}
	case ":authority":
		bit = 4
		differs = h.host(value)
	case ":scheme":
		bit = 8
		if value != "http" && value != "https" {
			differs = faultPseudoScheme
		}
	case ":protocol":
		return faultPseudoProtocol
	default:
		return faultPseudoUnknown
	}
	if h.pseudo&bit != 0 {
		return faultPseudoRepeated
	}
	h.pseudo |= bit
	return differs
}

// host compares a Host or :authority field with the host of the request; both are absent or both say the same.
func (h *headerReader) host(value string) Fault {
	if value == h.r.Host {
		return faultNone
	}
	if host, ok := CanonicalHost(value); !ok || host != h.c.Host {
		return faultHostDiffers
	}
	return faultNone
}

// authorization keeps the one value as it is, blanks included; what is in it is for the token guard.
func (h *headerReader) authorization(value string) Fault {
	if h.authorizations++; h.authorizations > 1 {
		return faultAuthorizationRepeated
	}
	if strings.IndexByte(value, ',') >= 0 {
		return faultAuthorizationList
	}
	h.c.Authorization = value
	return faultNone
}

func (h *headerReader) override(value string) Fault {
	m, ok := ParseMethod(value)
	switch {
	case !ok || m == CONNECT:
		return faultOverride
	case h.c.Override != 0 && h.c.Override != m:
		return faultOverrideDiffers
	}
	h.c.Override = m
	return faultNone
}

// requestID keeps one that is fit for a log; it decides nothing, so others are dropped rather than refused.
func (h *headerReader) requestID(value string) {
	h.requestIDs++
	h.c.RequestID = ""
	if h.requestIDs > 1 || len(value) > maxRequestID {
		return
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return
		}
	}
	h.c.RequestID = value
}

// validValue refuses control characters but tab, and what is not UTF-8: they end a field, a line or a string for somebody.
// Eight bytes at a time: a field value is mostly a token of a kilobyte or two.
func validValue(s string) bool {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	for len(s) >= 8 {
		x := uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
			uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
		// A top bit is set when the lowest byte outside 0x20..0x7e underflows, overflows or has it; bytes below that one
		// neither borrow nor carry.
		if (x|(x-0x20*ones)|(x+ones))&tops != 0 {
			return validSlow(s)
		}
		s = s[8:]
	}
	return validSlow(s)
}

func validSlow(s string) bool {
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if isControl(b) && b != '\t' {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) {
			return false
		}
		i += size
	}
	return true
}
