package extauthz_test

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"

	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/extauthz"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/request"
)

// decider answers with what it holds and keeps the question.
type decider struct {
	answer pdp.Answer
	asked  *pdp.Question
}

func (d *decider) Decide(_ context.Context, q *pdp.Question) pdp.Answer {
	d.asked = q
	return d.answer
}

func check(t *testing.T, d *decider, req *authv3.CheckRequest, cfg extauthz.Config) *authv3.CheckResponse {
	t.Helper()
	s, err := extauthz.New(d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Check(t.Context(), req)
	if err != nil {
		t.Fatalf("a gRPC error leaves the answer to the proxy: %v", err)
	}
	return resp
}

func alice() *entra.Token {
	return &entra.Token{DisplayName: "Alice", Principal: policy.Principal{
		Kind: policy.PrincipalUser, TenantID: "tid", ObjectID: "oid", ClientID: "client",
	}}
}

func headerOf(hs []*corev3.HeaderValueOption, name string) string {
	for _, h := range hs {
		if h.GetHeader().GetKey() == name {
			if h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD {
				return "appended, not replaced"
			}
			return h.GetHeader().GetValue()
		}
	}
	return ""
}

func TestAllowedSetsAndRemoves(t *testing.T) {
	d := &decider{answer: pdp.Answer{ID: "id-1", Effect: policy.Allow, Reason: policy.AllowedByGrant, Revision: 7, API: "orders", Route: "read", Grants: []string{"g"}, Caller: alice()}}
	resp := check(t, d, &authv3.CheckRequest{}, extauthz.Config{})
	ok := resp.GetOkResponse()
	if resp.GetStatus().GetCode() != int32(codes.OK) || ok == nil {
		t.Fatalf("not let through: %v", resp)
	}
	for name, want := range map[string]string{
		"x-verdict-decision-id": "id-1", "x-verdict-revision": "7", "x-verdict-principal": "user:tid/oid", "x-verdict-actor": "client",
	} {
		if got := headerOf(ok.GetHeaders(), name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if slices.Contains(ok.GetHeadersToRemove(), name) {
			t.Errorf("%s is set and removed; Envoy removes last", name)
		}
	}
	if slices.Contains(ok.GetHeadersToRemove(), "authorization") {
		t.Error("the backend loses the token")
	}
	meta := resp.GetDynamicMetadata().GetFields()
	if meta["decision_id"].GetStringValue() != "id-1" || meta["grants"].GetListValue().GetValues()[0].GetStringValue() != "g" {
		t.Errorf("metadata %v", meta)
	}
}

func TestPublicRemovesWhatNobodyProved(t *testing.T) {
	d := &decider{answer: pdp.Answer{ID: "id-1", Effect: policy.Allow, Reason: policy.AllowedPublic}}
	ok := check(t, d, &authv3.CheckRequest{}, extauthz.Config{}).GetOkResponse()
	for _, name := range append([]string{"x-verdict-principal", "x-verdict-actor"}, withoutCredential(request.GuardedHeaders())...) {
		if headerOf(ok.GetHeaders(), name) == "" && !slices.Contains(ok.GetHeadersToRemove(), name) {
			t.Errorf("%s of the client would reach the backend", name)
		}
	}
}

func withoutCredential(names []string) []string {
	return slices.DeleteFunc(names, func(n string) bool { return n == "authorization" || n == "host" })
}

func TestDeniedTellsWhatToFix(t *testing.T) {
	for name, tc := range map[string]struct {
		answer    pdp.Answer
		verbose   bool
		http      int32
		code      codes.Code
		public    string
		challenge string
		retry     string
	}{
		"a missing grant": {
			answer: pdp.Answer{ID: "i", Reason: policy.NoGrant, Caller: alice(), Missing: []string{"orders.write"}},
			http:   403, code: codes.PermissionDenied, public: "NO_GRANT",
		},
		"no token":       {answer: pdp.Answer{ID: "i", Reason: policy.TokenMissing}, http: 401, code: codes.Unauthenticated, public: "TOKEN_MISSING", challenge: `Bearer realm="verdict"`},
		"a forged token": {answer: pdp.Answer{ID: "i", Reason: policy.SignatureInvalid, Detail: "signature"}, http: 401, code: codes.Unauthenticated, public: "TOKEN_INVALID", challenge: `Bearer realm="verdict", error="invalid_token", error_description="Token not accepted"`},
		"a forged token, verbose": {
			answer: pdp.Answer{ID: "i", Reason: policy.SignatureInvalid, Detail: "signature"}, verbose: true,
			http: 401, code: codes.Unauthenticated, public: "SIGNATURE_INVALID", challenge: `Bearer realm="verdict", error="invalid_token", error_description="SIGNATURE_INVALID"`,
		},
		"no decision possible": {answer: pdp.Answer{ID: "i", Reason: policy.KeysUnavailable}, http: 503, code: codes.Unavailable, public: "KEYS_UNAVAILABLE", retry: "5"},
		"a malformed request":  {answer: pdp.Answer{ID: "i", Reason: policy.RequestMalformed, Detail: "path: dot segment"}, http: 400, code: codes.InvalidArgument, public: "REQUEST_MALFORMED"},
		"an answer without effect or reason": {
			answer: pdp.Answer{ID: "i"}, http: 503, code: codes.Unavailable, public: "REASON_UNSPECIFIED", retry: "5",
		},
	} {
		t.Run(name, func(t *testing.T) {
			resp := check(t, &decider{answer: tc.answer}, &authv3.CheckRequest{}, extauthz.Config{Verbose: tc.verbose})
			denied := resp.GetDeniedResponse()
			if denied == nil || resp.GetStatus().GetCode() != int32(tc.code) || int32(denied.GetStatus().GetCode()) != tc.http {
				t.Fatalf("got %v", resp)
			}
			hs := denied.GetHeaders()
			if headerOf(hs, "content-type") != "application/problem+json" || headerOf(hs, "cache-control") != "no-store" || headerOf(hs, "x-verdict-decision-id") != "i" {
				t.Errorf("headers %v", hs)
			}
			if got := headerOf(hs, "www-authenticate"); got != tc.challenge {
				t.Errorf("challenge %q, want %q", got, tc.challenge)
			}
			if got := headerOf(hs, "retry-after"); got != tc.retry {
				t.Errorf("retry-after %q, want %q", got, tc.retry)
			}
			var body struct {
				Code      string   `json:"code"`
				Missing   []string `json:"missing"`
				Principal struct {
					Name string `json:"name"`
				} `json:"principal"`
			}
			if err := json.Unmarshal([]byte(denied.GetBody()), &body); err != nil {
				t.Fatal(err)
			}
			if body.Code != tc.public {
				t.Errorf("code %s, want %s", body.Code, tc.public)
			}
			if tc.answer.Caller != nil && (body.Principal.Name != "Alice" || !slices.Equal(body.Missing, tc.answer.Missing)) {
				t.Errorf("body %s", denied.GetBody())
			}
		})
	}
}

func TestTheQuestionIsWhatEnvoySaw(t *testing.T) {
	d := &decider{}
	check(t, d, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Source: &authv3.AttributeContext_Peer{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{Address: "::ffff:10.0.0.1"}}}},
		Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Host: "a.example", Path: "/x?y",
			Headers: map[string]string{"authorization": "Bearer joined, Bearer twice"},
			HeaderMap: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
				{Key: "authorization", RawValue: []byte("Bearer one")}, {Key: "authorization", RawValue: []byte("Bearer two")}, {Key: "x", Value: "plain"},
			}},
		}},
		TlsSession:        &authv3.AttributeContext_TLSSession{Sni: "a.example"},
		ContextExtensions: map[string]string{"verdict.api": "orders", "tenant": "evil", "verdict.tenant": "evil"},
	}}, extauthz.Config{})
	q := d.asked
	want := []request.Header{{Name: "authorization", Value: "Bearer one"}, {Name: "authorization", Value: "Bearer two"}, {Name: "x", Value: "plain"}}
	if q.API != "orders" || q.SNI != "a.example" || q.HTTP.Method != "GET" || q.HTTP.Host != "a.example" || q.HTTP.Target != "/x?y" || !slices.Equal(q.HTTP.Headers, want) {
		t.Errorf("asked %+v %+v", q, q.HTTP)
	}
	if q.SourceIP.String() != "10.0.0.1" {
		t.Errorf("source %v", q.SourceIP)
	}
}

func TestWhatIsNotHTTPIsAskedAsAnEmptyRequest(t *testing.T) {
	d := &decider{}
	check(t, d, &authv3.CheckRequest{}, extauthz.Config{})
	if d.asked.HTTP == nil {
		t.Error("a permission question was made of a request without attributes")
	}
}
