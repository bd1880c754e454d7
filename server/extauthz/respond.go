package extauthz

import (
	"slices"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/request"
	"github.com/verdict-authz/verdict/server/status"
)

// Headers that verdict sets on a request it lets through. The backend can trust them: whatever the client sent under
// these names was refused or replaced.
const (
	headerDecision  = "x-verdict-decision-id"
	headerRevision  = "x-verdict-revision"
	headerPrincipal = "x-verdict-principal" // user:{tid}/{oid} or app:{tid}/{oid}
	headerActor     = "x-verdict-actor"     // client id of the application that holds the token
)

// allowed lets the request through. Envoy removes after it sets, so a header that is set must not be removed as well.
func allowed(a *pdp.Answer) *authv3.CheckResponse {
	set := []*corev3.HeaderValueOption{
		replace(headerDecision, a.ID),
		replace(headerRevision, strconv.FormatUint(a.Revision, 10)),
	}
	if a.Caller != nil {
		set = append(set, replace(headerPrincipal, subject(a.Caller)))
		if a.Caller.Principal.ClientID != "" {
			set = append(set, replace(headerActor, a.Caller.Principal.ClientID))
		}
	}
	return &authv3.CheckResponse{
		Status:          &rpcstatus.Status{Code: int32(codes.OK)},
		DynamicMetadata: metadata(a),
		HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers:              set,
			HeadersToRemove:      removals(set),
			ResponseHeadersToAdd: []*corev3.HeaderValueOption{replace(headerDecision, a.ID)},
		}},
	}
}

// removals are the guarded headers but for those that are set and the credential, which the backend may want to read.
func removals(set []*corev3.HeaderValueOption) []string {
	var names []string
	for _, name := range append(request.GuardedHeaders(), headerDecision, headerRevision, headerPrincipal, headerActor) {
		isSet := slices.ContainsFunc(set, func(h *corev3.HeaderValueOption) bool { return h.GetHeader().GetKey() == name })
		if !isSet && name != "authorization" && name != "host" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// denied refuses the request with all that the caller needs to mend it.
func denied(a *pdp.Answer, verbose bool) *authv3.CheckResponse {
	r := refusal(a, verbose)
	rule := r.Rule()
	set := []*corev3.HeaderValueOption{
		replace("content-type", "application/problem+json"),
		replace("cache-control", "no-store"),
		replace(headerDecision, a.ID),
	}
	for i, challenge := range status.Challenges(r) {
		h := replace("www-authenticate", challenge)
		if i > 0 { // each challenge in a header of its own
			h.AppendAction = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
		}
		set = append(set, h)
	}
	if rule.RetryAfter > 0 {
		set = append(set, replace("retry-after", strconv.Itoa(rule.RetryAfter)))
	}
	return &authv3.CheckResponse{
		Status: &rpcstatus.Status{
			Code:    int32(codeOf(rule)), //nolint:gosec // G115: there are 17 codes
			Message: status.Code(a.Reason, verbose),
		},
		DynamicMetadata: metadata(a),
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(rule.HTTP)}, //nolint:gosec // HTTP status codes fit
			Headers: set,
			Body:    string(status.Problem(r)),
		}},
	}
}

// codeOf is the rpc code beside the HTTP status; Envoy only tells OK from the rest.
func codeOf(rule status.Rule) codes.Code {
	switch {
	case rule.Undecided:
		return codes.Unavailable
	case rule.HTTP == 401:
		return codes.Unauthenticated
	case rule.HTTP == 400 || rule.HTTP == 431:
		return codes.InvalidArgument
	}
	return codes.PermissionDenied
}

func refusal(a *pdp.Answer, verbose bool) status.Refusal {
	r := status.Refusal{
		Reason: a.Reason, DecisionID: a.ID, Missing: a.Missing, Scopes: a.Scopes, Verbose: verbose,
		AuthContext: a.SignIn.AuthContext, MaxAge: a.SignIn.MaxAge, NotBefore: a.SignIn.NotBefore, Authority: a.SignIn.Authority,
	}
	if a.Reason == policy.RequestMalformed || verbose {
		r.Fault = a.Detail
	}
	if a.Caller != nil {
		p := &a.Caller.Principal
		r.Kind, r.Name, r.TenantID, r.ObjectID = p.Kind, a.Caller.DisplayName, p.TenantID, p.ObjectID
		r.CanChallenge = a.Caller.CanChallenge
	}
	return r
}

// metadata is what access logs and later filters of the proxy can read, in the filter's own namespace: ids and fixed
// words, no names, no claims.
func metadata(a *pdp.Answer) *structpb.Struct {
	fields := map[string]*structpb.Value{
		"decision_id": structpb.NewStringValue(a.ID),
		"effect":      structpb.NewStringValue(a.Effect.String()),
		"reason":      structpb.NewStringValue(a.Reason.String()),
		"revision":    structpb.NewStringValue(strconv.FormatUint(a.Revision, 10)),
		"api":         structpb.NewStringValue(a.API),
		"route":       structpb.NewStringValue(a.Route),
	}
	if a.Caller != nil {
		fields["principal"] = structpb.NewStringValue(subject(a.Caller))
		fields["actor"] = structpb.NewStringValue(a.Caller.Principal.ClientID)
	}
	if len(a.Grants) > 0 {
		grants := make([]*structpb.Value, len(a.Grants))
		for i, id := range a.Grants {
			grants[i] = structpb.NewStringValue(id)
		}
		fields["grants"] = structpb.NewListValue(&structpb.ListValue{Values: grants})
	}
	return &structpb.Struct{Fields: fields}
}

// subject names the caller as grants do.
func subject(t *entra.Token) string {
	return t.Principal.Kind.String() + ":" + t.Principal.TenantID + "/" + t.Principal.ObjectID
}

func replace(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}
