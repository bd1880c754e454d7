package entra

import "strings"

// Credential takes the token out of one Authorization value. Any comma is refused, since proxies join repeated headers
// with it and no Bearer token holds one. The token itself is not looked at; Verify does that.
func Credential(authorization string) (token string, r Refusal) {
	if authorization == "" {
		return "", noCredential
	}
	if strings.IndexByte(authorization, ',') >= 0 {
		return "", severalValues
	}
	n := 0
	for n < len(authorization) && isTokenChar(authorization[n]) {
		n++
	}
	scheme, rest := authorization[:n], authorization[n:]
	if scheme == "" {
		return "", badSeparator
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return "", otherScheme
	}
	token = strings.TrimLeft(rest, " ")
	switch {
	case token == "":
		return "", emptyCredential
	case len(token) == len(rest):
		return "", badSeparator
	}
	return token, accepted
}

// isTokenChar is tchar of RFC 9110 §5.6.2, of which a scheme consists.
func isTokenChar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
