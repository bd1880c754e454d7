package request

import "strings"

// CanonicalHost returns the one spelling of a host: lower case, one trailing dot and a default port (80, 443) stripped;
// another well-formed port stays, as ":8443". It allocates only where it changes letters, or a dot before a port.
//
// False for what is no DNS name: addresses in every notation, since nobody routes them by name; user information, lists,
// blanks; underscores, which some URL libraries read as no host at all; labels that are empty, longer than 63, or begin or
// end in a hyphen; names longer than 253; ports with leading zeros, signs or more than 65535; bytes outside ASCII. A label
// that begins with "xn--" must be well-formed Punycode of lower-case letters, marks and digits (see validALabel).
func CanonicalHost(s string) (string, bool) {
	host, f := canonicalHost(s)
	return host, f == faultNone
}

// HostName returns a canonical host without its port, as TLS server names are.
func HostName(canonical string) string {
	name, _, _ := strings.Cut(canonical, ":")
	return name
}

func canonicalHost(s string) (string, Fault) {
	if len(s) > 253+len(".:65535") {
		return "", faultHostLength
	}
	name, port := s, ""
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		name, port = s[:i], s[i+1:]
		if strings.IndexByte(name, ':') >= 0 || strings.HasPrefix(name, "[") {
			return "", faultHostAddress
		}
		if !validPort(port) {
			return "", faultHostPort
		}
	} else if strings.HasPrefix(s, "[") {
		return "", faultHostAddress
	}
	dotted := strings.HasSuffix(name, ".")
	if dotted {
		name = name[:len(name)-1]
	}
	if f := checkName(name); f != faultNone {
		return "", f
	}
	keepPort := port != "" && port != "80" && port != "443"
	switch {
	case !keepPort:
	case dotted:
		name += ":" + port
	default:
		name = s
	}
	name = lowerASCII(name)
	return name, faultNone
}

func validPort(s string) bool {
	if s == "" || len(s) > 5 || s[0] == '0' {
		return false
	}
	n := 0
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n <= 65535
}

// checkName judges a name without port and trailing dot, in either letter case.
func checkName(name string) Fault {
	if len(name) > 253 {
		return faultHostLength
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '.' {
			if byteClass[name[i]]&inLabel == 0 {
				return faultHostCharacter
			}
			continue
		}
		if f := checkLabel(name[start:i]); f != faultNone {
			return f
		}
		start = i + 1
	}
	if isNumber(name[strings.LastIndexByte(name, '.')+1:]) {
		return faultHostAddress
	}
	return faultNone
}

func checkLabel(label string) Fault {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return faultHostLabel
	}
	if len(label) >= 4 && label[0]|0x20 == 'x' && label[1]|0x20 == 'n' && label[2:4] == "--" && !validALabel(lowerASCII(label[4:])) {
		return faultHostPunycode
	}
	return faultNone
}

// isNumber says whether a last label makes the whole name an address to URL parsers and inet_aton: decimal, octal or
// hexadecimal (127.1, 0x7f000001, 017700000001).
func isNumber(label string) bool {
	digits := label
	hex := len(label) >= 2 && label[0] == '0' && label[1]|0x20 == 'x'
	if hex {
		digits = label[2:]
	}
	for i := range len(digits) {
		v, ok := unhex(digits[i])
		if !ok || (v > 9 && !hex) {
			return false
		}
	}
	return true
}
