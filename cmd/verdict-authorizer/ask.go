package main

import (
	"maps"
	"slices"
	"strings"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// apiOf is the api in verdict that a question is about: "" when verdict finds it by host. Not ok: the settings name apis, and
// not this one.
func (c *config) apiOf(q *question) (api string, ok bool) {
	if len(c.apis) == 0 {
		return c.api, true
	}
	if api, ok = c.apis[q.arn.API+"/"+q.arn.Stage]; !ok {
		api, ok = c.apis[q.arn.API]
	}
	return api, ok
}

// request is the question as verdict is asked it.
func (q *question) request(api, token string, withRoutes bool) *verdictv1.CheckRequest {
	http := &verdictv1.HttpRequest{
		Method: q.method, Host: q.RequestContext.DomainName, Path: q.path,
		PathEncoding: verdictv1.PathEncoding_PATH_ENCODING_RAW, SourceIp: q.RequestContext.Identity.SourceIP, Headers: q.meaningful(),
	}
	if q.kind.httpAPI() {
		http.PathEncoding = verdictv1.PathEncoding_PATH_ENCODING_DECODED
	}
	if q.kind == http2 {
		http.SourceIp = q.RequestContext.HTTP.SourceIP
	}
	if http.Host == "" {
		if hosts := q.values("host"); len(hosts) == 1 {
			http.Host = hosts[0]
		}
	}
	return &verdictv1.CheckRequest{
		Question: &verdictv1.CheckRequest_Http{Http: http}, Token: token, Api: api, IncludePermittedRoutes: withRoutes,
	}
}

// meaningful are the header fields that can change what a request means (docs/requests.md): verdict refuses or reads them. No
// other field leaves the function, and the credential goes by itself.
func (q *question) meaningful() (list []*verdictv1.Header) {
	ofHandshake := func(string) bool { return false }
	if q.kind == webSocket { // that it is one is all that the gateway passes on of the handshake itself
		ofHandshake = func(name string) bool {
			return strings.EqualFold(name, "connection") || strings.EqualFold(name, "upgrade")
		}
		list = []*verdictv1.Header{{Name: "connection", Value: []byte("upgrade")}, {Name: "upgrade", Value: []byte("websocket")}}
	}
	names := map[string]bool{}
	for name := range q.Headers {
		names[name] = meaningfulName(name)
	}
	for name := range q.Multi {
		names[name] = meaningfulName(name)
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if !names[name] || ofHandshake(name) {
			continue
		}
		for _, v := range occurrences(q.Multi, q.Headers, func(key string) bool { return key == name }) {
			list = append(list, &verdictv1.Header{Name: name, Value: []byte(v)})
		}
	}
	return list
}

// meaningfulName knows names in any case, and with underscores, which some backends take for hyphens.
func meaningfulName(name string) bool {
	switch folded := strings.ReplaceAll(strings.ToLower(name), "_", "-"); folded {
	case "host", "connection", "upgrade",
		"x-http-method-override", "x-http-method", "x-method-override",
		"x-original-url", "x-rewrite-url", "x-envoy-original-path", "x-original-uri",
		"remote-user", "x-forwarded-user", "x-forwarded-email", "x-forwarded-groups", "x-forwarded-preferred-username", "x-forwarded-access-token":
		return true
	default:
		return strings.HasPrefix(folded, "x-verdict-") || strings.HasPrefix(folded, "x-auth-request-")
	}
}
