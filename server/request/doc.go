// Package request owns the canonical form of an HTTP request: what method, host and path are before anything is decided by
// them. Proxy, verdict and backend each read a request in their own way, and where two readings differ there is a way
// around the policy. Canonicalise therefore accepts only what every reader takes for the same thing, and refuses the rest
// with a Fault from a closed list; it decodes nothing, merges nothing, resolves nothing. net/url and http.ServeMux do all
// of these and are not used.
//
// It promises, for a request without a fault: the method is one of eight names; the host is a DNS name in its one spelling,
// with a port only when it is not a default one, or empty; the path is ASCII, has no empty and no dot segment, no character
// that anyone takes for a separator but '/', and only one spelling; there is at most one Authorization value; nothing in
// the header contradicts the request line, names another URL, bears a name reserved for verdict, or hides such a name
// behind an underscore or a Connection header. The canonical form of a canonical form is itself.
//
// It leaves to others: which routes exist, whether a trailing slash is wanted and whether both of two verbs are allowed
// (pdp); what is in the Authorization value (entra); removing GuardedHeaders from what is let through (the doors). It knows
// nothing of proxies, so x-forwarded- fields other than identities mean nothing to it. The cases, with the incidents they
// come from, are in testdata/catalogue.txt; docs/requests.md tells users what is refused and what to do.
package request
