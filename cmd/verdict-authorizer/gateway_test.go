package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

// gateway is a model of API Gateway as far as an authorizer meets it: what it asks, what it keeps, how it reads policies, and which
// status a caller gets. Sources are in docs/aws-lambda.md; nothing of it is shared with the code under test.
type gateway struct {
	shape    string // rest_token, rest_request, http_1.0, http_2.0, websocket
	stage    string
	keeps    bool                            // its TTL is not 0
	identity func(r *clientRequest) []string // values of the identity sources; "" in one of them: missing
	simple   bool                            // simple responses are enabled
	routeKey func(r *clientRequest) string   // of HTTP APIs
	invoke   func(event []byte) (answer []byte, failed string)

	kept    map[string][]byte
	invoked int
}

// clientRequest is what a client sends.
type clientRequest struct {
	method, path, authorization, sourceIP string
	headers                               map[string][]string // beside Authorization
	query                                 map[string]string
}

const (
	gatewayAPI  = "abc"
	accountID   = "123456789012"
	stagePrefix = "arn:aws:execute-api:eu-central-1:" + accountID + ":" + gatewayAPI + "/"
)

func (g *gateway) stageName() string {
	if g.stage == "" {
		return "prod"
	}
	return g.stage
}

func (g *gateway) arn(r *clientRequest) string {
	if g.shape == "websocket" {
		return stagePrefix + g.stageName() + "/$connect"
	}
	return stagePrefix + g.stageName() + "/" + r.method + r.path
}

// event is what the authorizer is asked.
func (g *gateway) event(r *clientRequest) []byte {
	multi := map[string][]string{"Host": {"api.example.com"}}
	if r.authorization != "" {
		multi["Authorization"] = []string{r.authorization}
	}
	for name, values := range r.headers {
		multi[name] = append(multi[name], values...)
	}
	single, joined := map[string]string{}, map[string]string{}
	for name, values := range multi {
		single[name] = values[len(values)-1]
		joined[strings.ToLower(name)] = strings.Join(values, ",")
	}
	rest := map[string]any{
		"type": "REQUEST", "methodArn": g.arn(r), "httpMethod": r.method, "path": r.path, "resource": "/{proxy+}", "headers": single, "multiValueHeaders": multi,
		"queryStringParameters": r.query, "pathParameters": nil, "stageVariables": nil,
		"requestContext": map[string]any{
			"apiId": gatewayAPI, "accountId": accountID, "stage": g.stageName(), "httpMethod": r.method, "path": "/" + g.stageName() + r.path,
			"domainName": "api.example.com", "identity": map[string]any{"sourceIp": r.sourceIP},
		},
	}
	var event map[string]any
	switch g.shape {
	case "rest_token":
		event = map[string]any{"type": "TOKEN", "methodArn": g.arn(r), "authorizationToken": r.authorization}
	case "rest_request":
		event = rest
	case "http_1.0":
		event = rest
		event["version"], event["identitySource"], event["authorizationToken"] = "1.0", strings.Join(g.sources(r), ","), r.authorization
	case "http_2.0":
		event = map[string]any{
			"version": "2.0", "type": "REQUEST", "routeArn": g.arn(r), "identitySource": g.sources(r), "routeKey": "$default",
			"rawPath": r.path, "rawQueryString": "", "cookies": []string{"session=secret-cookie"}, "headers": joined, "queryStringParameters": r.query,
			"requestContext": map[string]any{
				"apiId": gatewayAPI, "accountId": accountID, "stage": g.stageName(), "domainName": "api.example.com",
				"http": map[string]any{"method": r.method, "path": r.path, "protocol": "HTTP/1.1", "sourceIp": r.sourceIP},
			},
		}
		if g.routeKey != nil {
			event["routeKey"] = g.routeKey(r)
		}
	case "websocket":
		event = map[string]any{
			"type": "REQUEST", "methodArn": g.arn(r), "headers": single, "multiValueHeaders": multi, "queryStringParameters": r.query,
			"requestContext": map[string]any{
				"routeKey": "$connect", "eventType": "CONNECT", "connectionId": "L0SM9cOFvHcCIhw=", "apiId": gatewayAPI, "stage": g.stageName(),
				"domainName": "ws.example.com", "identity": map[string]any{"sourceIp": r.sourceIP},
			},
		}
	}
	b, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	return b
}

func (g *gateway) sources(r *clientRequest) []string {
	if g.identity == nil {
		return []string{r.authorization}
	}
	return g.identity(r)
}

// do lets a client's request meet the authorizer, or what is kept of it, and returns the status.
func (g *gateway) do(r *clientRequest) int {
	if strings.HasPrefix(g.shape, "rest") && strings.ContainsFunc(r.path, func(c rune) bool { return c == '?' || c <= ' ' || c > '~' }) {
		return 400 // on the wire a path has none of these: a question mark begins the query, the others come escaped
	}
	sources := g.sources(r)
	if g.keeps && slices.Contains(sources, "") {
		return 401
	}
	key := strings.Join(sources, "\x00")
	answer, known := g.kept[key]
	if !g.keeps || !known {
		g.invoked++
		var failed string
		if answer, failed = g.invoke(g.event(r)); failed != "" {
			return g.statusOf(nil, failed, g.arn(r))
		}
		if status := g.statusOf(answer, "", g.arn(r)); status == 500 {
			return status
		}
		if g.keeps {
			if g.kept == nil {
				g.kept = map[string][]byte{}
			}
			g.kept[key] = answer
		}
	}
	return g.statusOf(answer, "", g.arn(r))
}

// statusOf is what a caller gets for an answer or a failure.
func (g *gateway) statusOf(answer []byte, failed, arn string) int {
	http := strings.HasPrefix(g.shape, "http")
	switch {
	case failed == "Unauthorized" && !http:
		return 401
	case failed != "":
		return 500
	}
	var a struct {
		IsAuthorized   *bool             `json:"isAuthorized"`
		PrincipalID    string            `json:"principalId"`
		Context        map[string]string `json:"context"` // an object or a list in it breaks the integration
		PolicyDocument *struct {
			Version   string
			Statement []struct {
				Action, Effect string
				Resource       []string
			}
		} `json:"policyDocument"`
	}
	if json.Unmarshal(answer, &a) != nil {
		return 500
	}
	if _, reserved := a.Context["claims"]; reserved {
		return 500
	}
	if g.simple {
		switch {
		case a.IsAuthorized == nil:
			return 500
		case *a.IsAuthorized:
			return 200
		}
		return 403
	}
	if a.PolicyDocument == nil || a.PrincipalID == "" || a.PolicyDocument.Version != "2012-10-17" {
		return 500
	}
	status := 403
	for _, s := range a.PolicyDocument.Statement {
		for _, resource := range s.Resource {
			switch {
			case len(resource) > 512 || s.Action != "execute-api:Invoke":
				return 500
			case !awsMatches(resource, arn):
			case s.Effect == "Deny":
				return 403
			case s.Effect == "Allow":
				status = 200
			}
		}
	}
	return status
}

// awsMatches is how a Resource is compared: a star is any number of any characters, a question mark one.
func awsMatches(resource, arn string) bool {
	expr, known := compiled[resource]
	if !known {
		text := regexp.QuoteMeta(resource)
		text = strings.ReplaceAll(strings.ReplaceAll(text, `\*`, `(?s:.*)`), `\?`, `(?s:.)`)
		expr = regexp.MustCompile(`\A` + text + `\z`)
		if len(compiled) > 20000 {
			clear(compiled)
		}
		compiled[resource] = expr
	}
	return expr.MatchString(arn)
}

var compiled = map[string]*regexp.Regexp{}
