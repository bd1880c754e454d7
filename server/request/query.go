package request

// tokenParameter is the query parameter of RFC 6750 §2.3. verdict never reads its value; that it is there matters, because
// a backend may.
const tokenParameter = "access_token"

// checkQuery says whether every byte of the query can stand in one, and whether a parameter is named access_token. Escapes
// are not otherwise looked at: nothing is decided by them.
func checkQuery(query string) (hasToken bool, f Fault) {
	atName := true
	for i := range len(query) {
		b := query[i]
		if b == '#' {
			return false, faultFragment
		}
		if b <= ' ' || b >= 0x7f {
			return false, faultQueryCharacter
		}
		if atName && (b|0x20 == 'a' || b == '%') && isTokenParameter(query[i:]) {
			hasToken = true
		}
		atName = b == '&' || b == ';'
	}
	return hasToken, faultNone
}

// isTokenParameter says whether rest begins with the parameter name access_token in any spelling: letter case folded, as
// some frameworks look names up, and each byte escaped or not.
func isTokenParameter(rest string) bool {
	for i := range len(tokenParameter) {
		b, size := queryByte(rest)
		if size == 0 {
			return false
		}
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		if b != tokenParameter[i] {
			return false
		}
		rest = rest[size:]
	}
	return rest == "" || rest[0] == '=' || rest[0] == '&' || rest[0] == ';'
}

// queryByte is the first byte of s with its escape resolved, and how many bytes spell it; 0 at the end.
func queryByte(s string) (b byte, size int) {
	if s == "" {
		return 0, 0
	}
	if s[0] == '%' && len(s) >= 3 {
		hi, ok1 := unhex(s[1])
		lo, ok2 := unhex(s[2])
		if ok1 && ok2 {
			return hi<<4 | lo, 3
		}
	}
	return s[0], 1
}
