package request

// Limits on the target; they are checked before anything of it is parsed.
const (
	maxPath       = 8192
	maxQuery      = 16384
	maxSegments   = 1024
	maxParameters = 1024
)

// ValidSegment says whether s is a path segment in which every byte stands for itself, fit for a literal segment of a
// route template: [A-Za-z0-9-._~!$&'()*+,:=@]+, neither "." nor "..".
func ValidSegment(s string) bool {
	if s == "" || s == "." || s == ".." {
		return false
	}
	for i := range len(s) {
		if byteClass[s[i]]&inSegment == 0 {
			return false
		}
	}
	return true
}

// checkPath says whether path, which starts with a slash, is in canonical form, and whether it ends in a slash of its own.
//
// Letters, digits and -._~ stand for themselves, the few others that are harmless must be escaped in upper case, and
// nothing else can be had at all. Only the reserved bytes of RFC 3986 that may stand in a segment have two spellings, since
// common encoders escape them; doubled says that one is escaped. In a decoded path all these stand for themselves, and a
// percent sign would be one that somebody is still to decode.
func checkPath(path string, decoded bool) (trailing, doubled bool, f Fault) {
	start := 1 // of the segment under way
	for i := 1; i < len(path); i++ {
		switch b := path[i]; {
		case byteClass[b]&inSegment != 0:
		case b == '/':
			if f := checkSegment(path[start:i]); f != faultNone {
				return false, false, f
			}
			start = i + 1
		case b == '%' && !decoded:
			second, f := checkEscape(path, i)
			if f != faultNone {
				return false, false, f
			}
			doubled = doubled || second
			i += 2
		case byteClass[b]&escapable != 0 && decoded:
		default:
			return false, false, faultOfPathByte(b)
		}
	}
	if start == len(path) {
		return len(path) > 1, doubled, faultNone
	}
	return false, doubled, checkSegment(path[start:])
}

// checkSegment refuses what backends drop, merge, resolve or trim. The bytes of s are checked already, so a space can only
// be where it is allowed.
func checkSegment(s string) Fault {
	switch {
	case s == "":
		return faultEmptySegment
	case s == "." || s == "..":
		return faultDotSegment
	case s[0] == ' ' || s[len(s)-1] == ' ':
		return faultSegmentSpace
	case len(s) >= 3 && (s[:3] == "%20" || s[len(s)-3:] == "%20"):
		return faultSegmentSpace
	}
	return faultNone
}

// checkEscape judges the percent escape at path[i], and says whether its byte could stand for itself. In a decoded path no
// '%' comes here, nor does one reach checkSegment.
func checkEscape(path string, i int) (doubled bool, f Fault) {
	if i+2 >= len(path) {
		return false, faultEscapeMalformed
	}
	hi, ok1 := unhex(path[i+1])
	lo, ok2 := unhex(path[i+2])
	if !ok1 || !ok2 {
		return false, faultEscapeMalformed
	}
	b := hi<<4 | lo
	if byteClass[b]&(escapable|reserved) == 0 {
		return false, faultOfEscape(b)
	}
	if path[i+1] >= 'a' || path[i+2] >= 'a' {
		return false, faultEscapeLower
	}
	return byteClass[b]&reserved != 0, faultNone
}

// unescapeReserved returns path, a canonical one, with the reserved bytes standing for themselves.
func unescapeReserved(path string) string {
	plain := make([]byte, 0, len(path))
	for i := 0; i < len(path); i++ {
		if path[i] == '%' {
			hi, _ := unhex(path[i+1])
			lo, _ := unhex(path[i+2])
			if b := hi<<4 | lo; byteClass[b]&reserved != 0 {
				plain = append(plain, b)
				i += 2
				continue
			}
		}
		plain = append(plain, path[i])
	}
	return string(plain)
}

func faultOfEscape(b byte) Fault {
	switch {
	case b == '/', b == '\\', b == ';', b == '?', b == '#':
		return faultEscapedSeparator
	case b == '%':
		return faultEscapedPercent
	case isControl(b):
		return faultEscapedControl
	case b >= 0x80:
		return faultEscapedNotASCII
	}
	return faultEscapeNeedless
}

func faultOfPathByte(b byte) Fault {
	switch {
	case isControl(b):
		return faultPathControl
	case b >= 0x80:
		return faultPathNotASCII
	case b == '\\':
		return faultPathBackslash
	case b == ';':
		return faultPathSemicolon
	case b == '#':
		return faultFragment
	case b == '%':
		return faultDecodedPercent
	case b == '?':
		return faultDecodedQuery
	}
	return faultPathCharacter
}
