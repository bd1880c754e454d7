package pep_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/verdict-authz/verdict/server/pep"
)

const (
	role     = "arn:aws:iam::123456789012:role/orders-authorizer"
	audience = "https://verdict.example.com"
)

func TestARoleMayAskByItsToken(t *testing.T) {
	modulus := rsaKey().N.Bytes()
	type minter func(t *testing.T, w *world) string
	minted := func(header, claims object) minter {
		return func(t *testing.T, w *world) string { return w.mint(t, header, claims) }
	}
	claims := func(c object) minter { return minted(nil, c) }
	// parts makes a token of a header and of the claims of a good one, signed with key.
	parts := func(header string, key any) minter {
		return func(t *testing.T, w *world) string {
			payload := must(base64.RawURLEncoding.DecodeString(strings.Split(w.mint(t, nil, nil), ".")[1]))
			return sign(header, string(payload), key)
		}
	}
	at := now.Unix()
	for name, tc := range map[string]struct {
		token minter
		want  string // of the refusal; "": it is accepted
		code  codes.Code
	}{
		"RS256":                           {token: minted(nil, nil)},
		"ES384":                           {token: parts(`{"alg":"ES384","kid":"e1","typ":"JWT"}`, ecKey())},
		"no typ":                          {token: minted(object{"typ": nil}, nil)},
		"an audience in a list of one":    {token: claims(object{"aud": []string{audience}})},
		"nbf":                             {token: claims(object{"nbf": at})},
		"a life of an hour":               {token: claims(object{"exp": at + 3600})},
		"a clock that is a minute behind": {token: claims(object{"iat": at + 60})},
		"a token that ended a moment ago": {token: claims(object{"iat": at - 300, "exp": at - 59})},
		"another audience":                {token: claims(object{"aud": "https://other.example.com"}), want: "audience"},
		"no audience":                     {token: claims(object{"aud": nil}), want: "audience"},
		"an audience of a longer name":    {token: claims(object{"aud": audience + ".evil.example"}), want: "audience"},
		"an audience among others":        {token: claims(object{"aud": []string{audience, "https://other.example.com"}}), want: "audience"},
		"an empty list of audiences":      {token: claims(object{"aud": []string{}}), want: "audience"},
		"an audience that is a number":    {token: claims(object{"aud": 7}), want: "audience"},
		"another account's issuer":        {token: claims(object{"iss": "https://b.tokens.sts.global.api.aws"}), want: "--pep-sts-issuer"},
		"no issuer":                       {token: claims(object{"iss": nil}), want: "--pep-sts-issuer"},
		"the issuer with a slash":         {token: func(t *testing.T, w *world) string { return w.mint(t, nil, object{"iss": w.server.URL + "/"}) }, want: "--pep-sts-issuer"},
		"another role":                    {token: claims(object{"sub": role + "2"}), want: role + "2 is not one", code: codes.PermissionDenied},
		"another account's role":          {token: claims(object{"sub": "arn:aws:iam::999999999999:role/orders-authorizer"}), want: "--pep-sts-role", code: codes.PermissionDenied},
		"another partition's role":        {token: claims(object{"sub": "arn:aws-cn:iam::123456789012:role/orders-authorizer"}), want: "--pep-sts-role", code: codes.PermissionDenied},
		"the role in capitals":            {token: claims(object{"sub": strings.ToUpper(role)}), want: "--pep-sts-role", code: codes.PermissionDenied},
		"no role":                         {token: claims(object{"sub": nil}), want: "sub, exp or iat"},
		"an expired one":                  {token: claims(object{"iat": at - 360, "exp": at - 60}), want: "expired"},
		"one of tomorrow":                 {token: claims(object{"iat": at + 61, "exp": at + 361}), want: "not yet valid"},
		"one that begins later":           {token: claims(object{"nbf": at + 61}), want: "not yet valid"},
		"one that lives too long":         {token: claims(object{"exp": at + 3601}), want: "longer than an hour"},
		"one that ends before it begins":  {token: claims(object{"exp": at - 1}), want: "contradict"},
		"one without an end":              {token: claims(object{"exp": nil}), want: "sub, exp or iat"},
		"one without a beginning":         {token: claims(object{"iat": nil}), want: "sub, exp or iat"},
		"an end beyond all time":          {token: claims(object{"exp": int64(1) << 62}), want: "contradict"},
		"a beginning before all time":     {token: claims(object{"iat": -int64(1) << 62}), want: "contradict"},
		"an end that is a text":           {token: claims(object{"exp": "never"}), want: "claims are not"},
		"an end with a fraction":          {token: claims(object{"exp": 1.5}), want: "claims are not"},
		"alg none":                        {token: parts(`{"alg":"none","kid":"r1"}`, rsaKey()), want: "RS256 nor ES384"},
		"alg None":                        {token: parts(`{"alg":"None","kid":"r1"}`, rsaKey()), want: "RS256 nor ES384"},
		"HS256 with the public key":       {token: parts(`{"alg":"HS256","kid":"r1"}`, modulus), want: "RS256 nor ES384"},
		"RS256 said of an HMAC":           {token: parts(`{"alg":"RS256","kid":"r1"}`, modulus), want: "signature"},
		"PS256":                           {token: parts(`{"alg":"PS256","kid":"r1"}`, rsaKey()), want: "RS256 nor ES384"},
		"ES256":                           {token: parts(`{"alg":"ES256","kid":"e1"}`, ecKey()), want: "RS256 nor ES384"},
		"ES384 said of an RSA key":        {token: parts(`{"alg":"ES384","kid":"r1"}`, rsaKey()), want: "signature"},
		"RS256 said of an EC key":         {token: parts(`{"alg":"RS256","kid":"e1"}`, ecKey()), want: "signature"},
		"no alg":                          {token: minted(object{"alg": nil}, nil), want: "RS256 nor ES384"},
		"somebody else's key":             {token: parts(`{"alg":"RS256","kid":"r1"}`, strayK()), want: "signature"},
		"a key id that is not published":  {token: minted(object{"kid": "r9"}, nil), want: "does not publish"},
		"no key id":                       {token: minted(object{"kid": nil}, nil), want: "names no key"},
		"a key of its own":                {token: minted(object{"jwk": rsaJWK("r1", strayK())}, nil), want: "member"},
		"the address of a key":            {token: minted(object{"jku": "https://evil.example/keys"}, nil), want: "member"},
		"crit":                            {token: minted(object{"crit": []string{"exp"}}, nil), want: "member"},
		"crit that is null":               {token: parts(`{"alg":"RS256","kid":"r1","crit":null}`, rsaKey()), want: "member"},
		"b64":                             {token: minted(object{"b64": true}, nil), want: "member"},
		"another type":                    {token: minted(object{"typ": "at+jwt"}, nil), want: "type"},
		"a header member twice":           {token: parts(`{"alg":"none","alg":"RS256","kid":"r1"}`, rsaKey()), want: "header is not"},
		"a claim twice": {token: func(_ *testing.T, w *world) string {
			return sign(`{"alg":"RS256","kid":"r1"}`, `{"iss":"x","iss":"`+w.server.URL+`"}`, rsaKey())
		}, want: "claims are not"},
		"two parts": {token: func(t *testing.T, w *world) string {
			return strings.Join(strings.Split(w.mint(t, nil, nil), ".")[:2], ".")
		}, want: "three parts"},
		"five parts": {token: func(t *testing.T, w *world) string { return w.mint(t, nil, nil) + ".a.b" }, want: "three parts"},
		"no signature": {token: func(t *testing.T, w *world) string {
			return strings.Join(strings.Split(w.mint(t, nil, nil), ".")[:2], ".") + "."
		}, want: "base64url"},
		"padding":                   {token: func(t *testing.T, w *world) string { return w.mint(t, nil, nil) + "=" }, want: "base64url"},
		"a line break within":       {token: func(t *testing.T, w *world) string { return w.mint(t, nil, nil) + "\n" }, want: "base64url"},
		"a token beyond all bounds": {token: claims(object{"x": strings.Repeat("x", 16<<10)}), want: "16 KiB"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			token := tc.token(t, w)
			got, err := w.admit(t, token)
			if tc.want == "" {
				if err != nil || got != role {
					t.Errorf("%q, %v", got, err)
				}
				return
			}
			if tc.code == codes.OK {
				tc.code = codes.Unauthenticated
			}
			if status.Code(err) != tc.code || !strings.Contains(status.Convert(err).Message(), tc.want) {
				t.Errorf("%q, %v; want %s about %q", got, err, tc.code, tc.want)
			}
			for _, part := range strings.Split(token, ".") {
				if len(part) > 8 && strings.Contains(status.Convert(err).Message()+w.logs.text(), part) {
					t.Errorf("a part of the token is in %v or %s", err, w.logs.text())
				}
			}
			if (tc.code == codes.PermissionDenied) != (got != "") {
				t.Errorf("%q is told as the name", got)
			}
		})
	}
}

func TestTheMetadataHoldsOneBearerToken(t *testing.T) {
	w := newWorld(t, nil)
	good := w.mint(t, nil, nil)
	for name, tc := range map[string]struct {
		sent []string
		want codes.Code
	}{
		"one":                   {[]string{"Bearer " + good}, codes.OK},
		"schemes have no case":  {[]string{"bearer " + good}, codes.OK},
		"two":                   {[]string{"Bearer " + good, "Bearer " + good}, codes.Unauthenticated},
		"two in one":            {[]string{"Bearer " + good + ",Bearer " + good}, codes.Unauthenticated},
		"another scheme":        {[]string{"Basic " + good}, codes.Unauthenticated},
		"no scheme":             {[]string{good}, codes.Unauthenticated},
		"nothing":               {[]string{""}, codes.Unauthenticated},
		"a scheme alone":        {[]string{"Bearer "}, codes.Unauthenticated},
		"two spaces in between": {[]string{"Bearer  " + good}, codes.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.Admit(sending(t, tc.sent...), decide); status.Code(err) != tc.want {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
}

func TestATokenDecidesAlone(t *testing.T) {
	w := newWorld(t, func(cfg *pep.Config) { cfg.Allow = []string{"a.example.com"} })
	both := func(token string) context.Context {
		return metadata.NewIncomingContext(holding(t, named(t, "dns:a.example.com")), metadata.Pairs("authorization", "Bearer "+token))
	}
	if got, err := w.Admit(both(w.mint(t, nil, nil)), decide); err != nil || got != role {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := w.Admit(both(w.mint(t, nil, object{"aud": "x"})), decide); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a certificate mended a token: %q, %v", got, err)
	}
	if got, err := w.Admit(holding(t, named(t, "dns:a.example.com")), decide); err != nil || got != "a.example.com" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := w.Admit(t.Context(), decide); status.Code(err) != codes.Unauthenticated || !strings.Contains(err.Error(), "--pep-allow") || !strings.Contains(err.Error(), "--pep-sts-role") {
		t.Error(err)
	}
	only := newWorld(t, nil)
	if got, err := only.Admit(holding(t, named(t, "dns:a.example.com")), decide); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a certificate counts that nothing allows: %q, %v", got, err)
	}
}

func TestAnAccountSpeaksForItselfOnly(t *testing.T) {
	other := newWorld(t, nil)
	other.publish(rsaJWK("r1", strayK()))
	w := newWorld(t, func(cfg *pep.Config) { cfg.STS.Issuers = append(cfg.STS.Issuers, other.server.URL) })
	// Both accounts are trusted; the key of one does not sign for the other, though they have the same id.
	at := now.Unix()
	payload := string(must(json.Marshal(object{"iss": w.server.URL, "aud": audience, "sub": role, "iat": at, "exp": at + 300})))
	if got, err := w.admit(t, sign(`{"alg":"RS256","kid":"r1"}`, payload, strayK())); status.Code(err) != codes.Unauthenticated {
		t.Errorf("%q, %v", got, err)
	}
}
