package request

// What a byte may be, as bits of byteClass.
const (
	inSegment uint8 = 1 << iota // stands for itself in a path segment: pchar of RFC 3986 §3.3, without ';' and '%'
	escapable                   // harmless, but must be escaped in a path
	reserved                    // stands for itself in a path segment, and may be escaped there: sub-delims, ':' and '@'
	inToken                     // tchar of RFC 9110 §5.6.2
	inLabel                     // letter, digit or hyphen
	upperCase
)

// byteClass is never written after init.
var byteClass = func() (class [256]uint8) {
	for b := range 256 {
		switch {
		case 'a' <= b && b <= 'z', '0' <= b && b <= '9':
			class[b] = inSegment | inToken | inLabel
		case 'A' <= b && b <= 'Z':
			class[b] = inSegment | inToken | inLabel | upperCase
		}
	}
	mark := func(bytes string, bit uint8) {
		for i := range len(bytes) {
			class[bytes[i]] |= bit
		}
	}
	mark("-._~!$&'()*+,:=@", inSegment)
	mark("!$&'()*+,:=@", reserved)
	mark(" \"<>[]^`{|}", escapable)
	mark("!#$%&'*+-.^_`|~", inToken)
	mark("-", inLabel)
	return class
}()

func isControl(b byte) bool { return b < 0x20 || b == 0x7f }

// lowerASCII returns s with A-Z made lower case; s itself when there are none.
func lowerASCII(s string) string {
	for i := range len(s) {
		if byteClass[s[i]]&upperCase == 0 {
			continue
		}
		b := []byte(s)
		for ; i < len(b); i++ {
			if byteClass[b[i]]&upperCase != 0 {
				b[i] |= 0x20
			}
		}
		return string(b)
	}
	return s
}

// unhex is the value of a hexadecimal digit in either case.
func unhex(b byte) (v byte, ok bool) {
	switch {
	case '0' <= b && b <= '9':
		return b - '0', true
	case 'A' <= b && b <= 'F':
		return b - 'A' + 10, true
	case 'a' <= b && b <= 'f':
		return b - 'a' + 10, true
	}
	return 0, false
}
