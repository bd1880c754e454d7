package request

import (
	"math/bits"
	"strings"
)

// The methods that exist. Everything else is refused, so that no route can be reached by a verb nobody thought of.
const (
	GET Method = 1 << iota
	HEAD
	POST
	PUT
	PATCH
	DELETE
	OPTIONS
	TRACE
	CONNECT
)

// methodNames holds the name of each bit, lowest first.
var methodNames = [...]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}

// ParseMethod reads one method. Names are exact: upper case, no blanks (RFC 9110 §9.1: methods are case-sensitive).
func ParseMethod(s string) (Method, bool) {
	switch s {
	case "GET":
		return GET, true
	case "HEAD":
		return HEAD, true
	case "POST":
		return POST, true
	case "PUT":
		return PUT, true
	case "PATCH":
		return PATCH, true
	case "DELETE":
		return DELETE, true
	case "OPTIONS":
		return OPTIONS, true
	case "TRACE":
		return TRACE, true
	case "CONNECT":
		return CONNECT, true
	}
	return 0, false
}

// String is the name of a single method without allocating, the names joined by commas for a set, "" for the empty set.
func (m Method) String() string {
	if bits.OnesCount16(uint16(m)) == 1 {
		if i := bits.TrailingZeros16(uint16(m)); i < len(methodNames) {
			return methodNames[i]
		}
		return ""
	}
	var names []string
	for i, name := range methodNames {
		if m&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
