package main

import (
	"encoding/json"
	"strings"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/execapi"
	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/lambda"
)

// kind is a shape that API Gateway gives its question. The zero kind is none.
type kind uint8

const (
	restToken kind = iota + 1
	restRequest
	http1 // HTTP API, payload format 1.0
	http2 // HTTP API, payload format 2.0
	webSocket
)

var kindNames = [...]string{"unknown", "rest_token", "rest_request", "http_1.0", "http_2.0", "websocket"}

func (k kind) String() string { return kindNames[k] }

// httpAPI says whether the gateway is an HTTP API: it decodes paths, and knows no error that becomes 401.
func (k kind) httpAPI() bool { return k == http1 || k == http2 }

// event is what the five shapes have between them. All of it can be null or absent.
type event struct {
	Type               string
	Version            string
	MethodARN          string `json:"methodArn"`
	RouteARN           string `json:"routeArn"`
	AuthorizationToken string `json:"authorizationToken"`
	HTTPMethod         string `json:"httpMethod"`
	Path               string
	RawPath            string          `json:"rawPath"`
	RouteKey           string          `json:"routeKey"`
	IdentitySource     json.RawMessage `json:"identitySource"` // a string in 1.0, an array in 2.0

	Headers map[string]string
	Multi   map[string][]string `json:"multiValueHeaders"`

	Query          map[string]string   `json:"queryStringParameters"`
	MultiQuery     map[string][]string `json:"multiValueQueryStringParameters"`
	RequestContext struct {
		DomainName string `json:"domainName"`
		EventType  string `json:"eventType"`
		Identity   struct {
			SourceIP string `json:"sourceIp"`
		} `json:"identity"`
		HTTP struct {
			Method   string
			Path     string
			SourceIP string `json:"sourceIp"`
		} `json:"http"`
	} `json:"requestContext"`
}

// kind recognises the shape. A wrong guess would read an empty request without noticing, so what fits none is none.
func (e *event) kind() kind {
	connects := e.RequestContext.EventType != ""
	switch {
	case e.Type == "TOKEN" && e.Version == "" && e.HTTPMethod == "" && !connects:
		return restToken
	case e.Type != "REQUEST":
		return 0
	case e.Version == "1.0" && e.HTTPMethod != "" && !connects:
		return http1
	case e.Version == "2.0" && e.RequestContext.HTTP.Method != "" && !connects:
		return http2
	case e.Version != "":
		return 0
	case e.HTTPMethod != "" && !connects:
		return restRequest
	case e.HTTPMethod == "" && e.RequestContext.EventType == "CONNECT":
		return webSocket
	}
	return 0
}

// question is an event, understood.
type question struct {
	event
	kind     kind
	arn      execapi.ARN
	arnBytes int      // how long the ARN is
	method   string   // as the gateway took it: an override by header is in it already, where the gateway follows it
	path     string   // without stage and base path
	identity []string // values of the identity sources; of format 2.0 only
}

// errEvent is answered with 500. It says nothing of the event.
func errEvent(text string) error { return &lambda.Failure{Type: "BadEvent", Text: text} }

// read understands an event or says that it does not.
func read(raw []byte, basePath string) (*question, error) {
	q := &question{}
	if err := json.Unmarshal(raw, &q.event); err != nil {
		return q, errEvent("the event is not JSON of an API Gateway authorizer")
	}
	arn := q.MethodARN
	switch q.kind = q.event.kind(); q.kind {
	case 0:
		return q, errEvent("the event is of no known kind")
	case http2:
		arn = q.RouteARN
		// Absent and null are no identity sources; anything but an array of strings is another format.
		if len(q.IdentitySource) > 0 && json.Unmarshal(q.IdentitySource, &q.identity) != nil {
			return q, errEvent("identitySource is not an array")
		}
	}
	var err error
	if q.arn, err = execapi.ParseARN(arn); err != nil {
		return q, errEvent("the ARN of the event is malformed")
	}
	q.arnBytes = len(arn)
	switch q.kind {
	case restToken:
		q.method, q.path = q.arn.Method, q.arn.Path
	case webSocket:
		if q.arn.Method != execapi.Connect || q.arn.Path != "" {
			return q, errEvent("the ARN of a WebSocket event does not end in $connect")
		}
		q.method, q.path = "GET", "/"+execapi.Connect // the handshake is a GET
	case http2:
		q.method, q.path = q.RequestContext.HTTP.Method, q.RawPath
	default:
		q.method, q.path = q.HTTPMethod, q.Path
	}
	if q.kind != webSocket && q.method != q.arn.Method && q.arn.Method != execapi.Default {
		return q, errEvent("method and ARN of the event differ")
	}
	q.path = q.within(basePath)
	return q, nil
}

// within is the path without what the gateway put before it: the stage, or the base path of a custom domain. The ARN has
// neither, so only what leaves the ARN's path is taken away; a path that merely begins so is another.
func (q *question) within(basePath string) string {
	for _, before := range []string{"/" + q.arn.Stage, basePath} {
		if before != "" && q.arn.Path != "" && (q.path == before+q.arn.Path || q.path == before && q.arn.Path == "/") {
			return q.arn.Path
		}
	}
	return q.path
}

// values are what the event has of a header field, any case: each occurrence once.
func (e *event) values(name string) []string {
	return occurrences(e.Multi, e.Headers, func(key string) bool { return strings.EqualFold(key, name) })
}

// occurrences joins the two maps that an event has of fields or parameters: multi has all values, single the last one (REST) or
// all of them joined by commas (HTTP). A value that multi has is not counted again.
func occurrences(multi map[string][]string, single map[string]string, is func(key string) bool) (values []string) {
	for key, several := range multi {
		if is(key) {
			values = append(values, several...)
		}
	}
	for key, value := range single {
		if !is(key) {
			continue
		}
		known := false
		for _, v := range multi[key] {
			known = known || v == value
		}
		if !known {
			values = append(values, value)
		}
	}
	return values
}
