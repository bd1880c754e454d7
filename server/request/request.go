package request

import "strings"

// Raw is a request as an enforcement point gives it. The byte slices and strings are read during Canonicalise and the
// Canonical made of them shares their memory.
type Raw struct {
	Method  string
	Host    string // authority or Host header
	Target  string // origin form: path, and if any '?' and query
	Decoded bool   // the path was decoded by the gateway already (AWS HTTP APIs); it is never decoded again
	Headers []Header
}

// Header is one header field as received; repeated fields are repeated entries.
type Header struct {
	Name  string
	Value string // bytes, not necessarily UTF-8
}

// Canonical is a request that can mean only one thing.
type Canonical struct {
	Method   Method // exactly one bit
	Override Method // of X-HTTP-Method-Override and its kin: both must be allowed; 0: none
	Host     string // lower case, no trailing dot, no default port; "" when the caller gave none
	Path     string // canonical, without query; still percent-encoded unless Raw.Decoded
	// OtherPath is Path with the reserved bytes that it escapes (%40, %3A) standing for themselves (@, :); "" when there are
	// none. A backend may read either, so whoever matches routes must find the same one for both.
	OtherPath     string
	TrailingSlash bool   // Path ends in '/' and is not "/": allowed only when the matched template ends so too
	Query         string // without '?', never interpreted but for HasQueryToken
	Authorization string // the one Authorization value; "" when absent
	HasQueryToken bool   // the query has an access_token parameter
	Upgrade       string // lower-case protocol asked for by Upgrade; "" none
	RequestID     string // x-request-id when it is at most 128 printable ASCII characters, else ""
}

// Fault says why a request is not canonical, from a closed list; the zero value is no fault. It says nothing of the input.
type Fault uint8

// Method is a set of HTTP methods as bits.
type Method uint16

// Canonicalise makes c the canonical form of r, or says why there is none; then c is empty. Nothing is repaired: what is
// changed is the letter case of the host, its trailing dot and its default port, each of which means the same to everyone.
// It does not allocate unless host or upgrade have upper-case letters or there is an OtherPath. r is not changed.
func Canonicalise(r *Raw, c *Canonical) Fault {
	*c = Canonical{}
	f := canonicalise(r, c)
	if f != faultNone {
		*c = Canonical{}
	}
	return f
}

func canonicalise(r *Raw, c *Canonical) Fault {
	path, query := splitTarget(r)
	if f := checkLimits(path, query, r.Headers); f != faultNone {
		return f
	}
	method, ok := ParseMethod(r.Method)
	switch {
	case !ok:
		return faultMethod
	case method == CONNECT:
		return faultMethodConnect
	}
	c.Method = method
	if r.Host != "" {
		host, f := canonicalHost(r.Host)
		if f != faultNone {
			return f
		}
		c.Host = host
	}
	if path == "" || path[0] != '/' {
		return faultTargetForm
	}
	var f Fault
	var doubled bool
	if c.TrailingSlash, doubled, f = checkPath(path, r.Decoded); f != faultNone {
		return f
	}
	if doubled {
		c.OtherPath = unescapeReserved(path)
	}
	if c.HasQueryToken, f = checkQuery(query); f != faultNone {
		return f
	}
	c.Path, c.Query = path, query
	h := headerReader{r: r, c: c}
	return h.read()
}

// splitTarget cuts the target at the first '?'. A decoded path has no query: a '?' in it was escaped once.
func splitTarget(r *Raw) (path, query string) {
	if r.Decoded {
		return r.Target, ""
	}
	path, query, _ = strings.Cut(r.Target, "?")
	return path, query
}

// checkLimits bounds the work of everything after it.
func checkLimits(path, query string, headers []Header) Fault {
	switch {
	case len(path) > maxPath:
		return faultPathLength
	case len(query) > maxQuery:
		return faultQueryLength
	case len(headers) > maxHeaders:
		return faultHeaderCount
	}
	size := 0
	for i := range headers {
		size += len(headers[i].Name) + len(headers[i].Value)
	}
	if size > maxHeaderBytes {
		return faultHeaderBytes
	}
	segments := strings.Count(path, "/")
	if segments > maxSegments && path[len(path)-1] == '/' {
		segments-- // a trailing slash begins no segment
	}
	switch {
	case segments > maxSegments:
		return faultSegmentCount
	case query != "" && strings.Count(query, "&")+strings.Count(query, ";") >= maxParameters:
		return faultParameterCount
	}
	return faultNone
}
