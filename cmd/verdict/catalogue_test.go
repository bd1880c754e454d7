package main

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/policy"
)

// carried is a case of the token catalogue as a request carries it, and what has to come of it.
type carried struct {
	values []string // of Authorization, each a field of its own
	host   string   // "": orders.example.com
	target string   // "": /orders/42
	want   policy.Reason
	raw    policy.Reason // where fields stay apart and bytes as they are, if that makes a difference

	token string        // of the token field of Check
	field policy.Reason // its answer; ReasonNone: the case has nothing for the field
}

// bearer is a token that has to fare alike in a header and in the field.
func bearer(token string, want policy.Reason) carried {
	return carried{values: []string{"Bearer " + token}, want: want, token: token, field: want}
}

// answered is what a door said.
type answered struct {
	reason     string
	status     int
	challenges []string
}

// door is one of the ways that a credential comes to verdict.
type door struct {
	raw bool // takes fields and bytes as they are
	ask func(c carried) (answered, error)
}

// doors are the ways of a running verdict, by name.
func (v *verdict) doors(t *testing.T) map[string]door {
	envoy, own := v.envoyDoor(t), v.decisions(t)
	return map[string]door{
		"ext_authz, merged headers": {ask: func(c carried) (answered, error) {
			headers := map[string]string{}
			if len(c.values) > 0 { // the filter joins fields, and puts "!" for what is not UTF-8
				headers["authorization"] = strings.ToValidUTF8(strings.Join(c.values, ","), "!")
			}
			return ofEnvoy(envoy.Check(t.Context(), c.envoyRequest(headers)))
		}},
		"ext_authz, header_map": {raw: true, ask: func(c carried) (answered, error) {
			req := c.envoyRequest(nil)
			list := &corev3.HeaderMap{Headers: []*corev3.HeaderValue{{Key: ":method", RawValue: []byte("GET")}}}
			for _, value := range c.values {
				list.Headers = append(list.Headers, &corev3.HeaderValue{Key: "authorization", RawValue: []byte(value)})
			}
			req.Attributes.Request.Http.HeaderMap = list
			return ofEnvoy(envoy.Check(t.Context(), req))
		}},
		"Check, http.headers": {raw: true, ask: func(c carried) (answered, error) {
			req := c.checkRequest()
			for _, value := range c.values {
				req.GetHttp().Headers = append(req.GetHttp().Headers, &verdictv1.Header{Name: "Authorization", Value: []byte(value)})
			}
			return ofCheck(own.Check(t.Context(), req))
		}},
		fieldDoor: {ask: func(c carried) (answered, error) {
			req := c.checkRequest()
			req.Token = c.token
			return ofCheck(own.Check(t.Context(), req))
		}},
	}
}

const fieldDoor = "Check, token field"

func (c carried) envoyRequest(headers map[string]string) *authv3.CheckRequest {
	req := envoyRequest(headers)
	http := req.GetAttributes().GetRequest().GetHttp()
	http.Host, http.Path = orElse(c.host, http.GetHost()), orElse(c.target, http.GetPath())
	return req
}

func (c carried) checkRequest() *verdictv1.CheckRequest {
	return get("", orElse(c.host, "orders.example.com"), orElse(c.target, "/orders/42"))
}

func orElse(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

func ofEnvoy(resp *authv3.CheckResponse, err error) (answered, error) {
	a := answered{reason: resp.GetDynamicMetadata().GetFields()["reason"].GetStringValue()}
	if resp.GetOkResponse() != nil {
		a.status = 200
	}
	if denied := resp.GetDeniedResponse(); denied != nil {
		a.status = int(denied.GetStatus().GetCode())
		for _, h := range denied.GetHeaders() {
			if h.GetHeader().GetKey() == "www-authenticate" {
				a.challenges = append(a.challenges, h.GetHeader().GetValue())
			}
		}
	}
	return a, err
}

func ofCheck(resp *verdictv1.CheckResponse, err error) (answered, error) {
	a := answered{
		reason: strings.TrimPrefix(resp.GetReason().String(), "REASON_"), status: int(resp.GetHttpStatus()),
		challenges: resp.GetWwwAuthenticate(),
	}
	if err == nil && (resp.GetEffect() == verdictv1.Effect_EFFECT_ALLOW) != (a.status == 200) {
		err = fmt.Errorf("effect %s with HTTP %d", resp.GetEffect(), a.status)
	}
	return a, err
}

// answers are the status and the beginning of the one challenge that go with a reason; "" is no challenge at all.
func answers(r policy.Reason) (status int, challenge string) {
	switch r {
	case policy.AllowedByGrant, policy.AllowedAuthenticated:
		return 200, ""
	case policy.TokenMissing:
		return 401, `Bearer realm="verdict"`
	case policy.HeaderAmbiguous:
		return 400, `Bearer realm="verdict", error="invalid_request", `
	case policy.RequestMalformed:
		return 400, ""
	case policy.TokenTooLarge:
		return 431, ""
	case policy.ClientNotAllowed, policy.GuestRefused, policy.NoGrant:
		return 403, ""
	}
	return 401, `Bearer realm="verdict", error="invalid_token", `
}

// show asks through each door that can carry the case.
func show(t *testing.T, doors map[string]door, c carried) {
	for _, name := range slices.Sorted(maps.Keys(doors)) {
		d, want := doors[name], c.want
		switch {
		case name == fieldDoor && c.field == policy.ReasonNone:
			continue
		case name == fieldDoor:
			want = c.field
		case d.raw && c.raw != policy.ReasonNone:
			want = c.raw
		}
		t.Run(name, func(t *testing.T) {
			got, err := d.ask(c)
			if err != nil {
				t.Fatalf("a gRPC error leaves the answer to the one who asks: %v", err)
			}
			status, challenge := answers(want)
			if got.reason != want.String() || got.status != status {
				t.Fatalf("%s %d, want %s %d", got.reason, got.status, want, status)
			}
			switch {
			case challenge == "" && len(got.challenges) == 0:
			case len(got.challenges) != 1 || !strings.HasPrefix(got.challenges[0], challenge),
				want == policy.TokenMissing && got.challenges[0] != challenge:
				t.Errorf("challenges %q, want %q", got.challenges, challenge)
			}
		})
	}
}

// Cases 1 to 24 of the token catalogue once more, where they come from: a request.
func TestTransportThroughTheDoors(t *testing.T) {
	v := startDev(t)
	good, doors := v.mint(t, "user", "alice"), v.doors(t)
	header := func(want policy.Reason, values ...string) carried { return carried{values: values, want: want} }
	both := func(want policy.Reason, value string, field policy.Reason, token string) carried {
		return carried{values: []string{value}, want: want, token: token, field: field}
	}
	const malformed, unsupported, ambiguous = policy.TokenMalformed, policy.SchemeUnsupported, policy.HeaderAmbiguous
	repeated := map[string]carried{
		"009 two Authorization fields, the good one first":  header(ambiguous, "Bearer "+good, "Bearer x"),
		"010 two Authorization fields, the good one second": header(ambiguous, "Bearer x", "Bearer "+good),
		"011 two credentials in one field":                  header(ambiguous, "Bearer "+good+", Bearer x"),
		"012 another scheme before ours in one field":       header(ambiguous, "Basic x, Bearer "+good),
	}
	cases := map[string]carried{
		"001 no Authorization":                        {want: policy.TokenMissing, field: policy.TokenMissing},
		"002 scheme in lower case":                    both(policy.AllowedByGrant, "bearer "+good, malformed, "bearer "+good),
		"003 scheme in upper case":                    both(policy.AllowedByGrant, "BEARER "+good, malformed, "BEARER "+good),
		"004 two spaces after the scheme":             both(policy.AllowedByGrant, "Bearer  "+good, malformed, "Bearer  "+good),
		"005 bare token, which is what the field has": both(unsupported, good, policy.AllowedByGrant, good),
		"006 scheme and token without a space":        header(unsupported, "Bearer"+good),
		"007 tab as separator":                        both(malformed, "Bearer\t"+good, malformed, "\t"+good),
		"008 no-break space as separator":             both(malformed, "Bearer\u00a0"+good, malformed, "\u00a0"+good),
		"008 no-break space of Latin-1": {values: []string{"Bearer\xa0" + good}, want: unsupported, raw: policy.RequestMalformed,
			token: "\u00a0" + good, field: malformed},
		"014 DPoP":     header(unsupported, "DPoP "+good),
		"015 PoP":      header(unsupported, "PoP "+good),
		"016 MTLS_POP": header(unsupported, "MTLS_POP "+good),
		"017 token in header or field, and in the query": {values: []string{"Bearer " + good}, target: "/orders/42?access_token=" + good,
			want: ambiguous, token: good, field: ambiguous},
		"018 token only in the query":        {target: "/orders/42?access_token=" + good, want: policy.TokenMissing, field: policy.TokenMissing},
		"019 scheme with nothing behind":     both(malformed, "Bearer ", malformed, " "),
		"020 space before the token":         both(policy.AllowedByGrant, "Bearer  "+good, malformed, " "+good), // in a header that is case 4
		"020 space after the token":          bearer(good+" ", malformed),
		"021 newline after the token":        both(policy.RequestMalformed, "Bearer "+good+"\n", malformed, good+"\n"),
		"022 NUL byte":                       both(policy.RequestMalformed, "Bearer "+good+"\x00", malformed, good+"\x00"),
		"023 letter outside ASCII":           bearer("é"+good, malformed),
		"023 byte that is not UTF-8":         {values: []string{"Bearer \xe9" + good}, want: malformed, raw: policy.RequestMalformed},
		"024 percent-encoded token":          bearer(strings.ReplaceAll(url.QueryEscape(good), ".", "%2E"), malformed),
		"024 a good token, in whatever form": bearer(good, policy.AllowedByGrant),
	}
	maps.Copy(cases, repeated)
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		t.Run(name, func(t *testing.T) { show(t, doors, cases[name]) })
	}
	t.Run("013 repeated fields fare alike, merged and kept apart", func(t *testing.T) {
		for name, c := range repeated {
			merged, err := doors["ext_authz, merged headers"].ask(c)
			if err != nil {
				t.Fatal(err)
			}
			apart, err := doors["ext_authz, header_map"].ask(c)
			if err != nil {
				t.Fatal(err)
			}
			if merged.reason != apart.reason || merged.status != apart.status || !slices.Equal(merged.challenges, apart.challenges) {
				t.Errorf("%s: merged %v, apart %v", name, merged, apart)
			}
		}
	})
}
