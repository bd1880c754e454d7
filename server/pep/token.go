package pep

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/lestrrat-go/jwx/v3/jws"
)

const (
	maxToken = 16 << 10  // bytes; STS issues no longer ones
	maxLife  = time.Hour // that STS gives a token (GetWebIdentityToken, DurationSeconds)
	skew     = time.Minute
)

// strict refuses spare bits that are set. It would skip CR and LF, which are refused before.
var strict = base64.RawURLEncoding.Strict()

// header is what is read of a token header. No member that points to a key is ever followed.
type header struct {
	Alg   string         `json:"alg"`
	KID   string         `json:"kid"`
	Type  string         `json:"typ"`
	Crit  jsontext.Value `json:"crit"`
	B64   jsontext.Value `json:"b64"`
	CTY   jsontext.Value `json:"cty"`
	Enc   jsontext.Value `json:"enc"`
	Zip   jsontext.Value `json:"zip"`
	JKU   jsontext.Value `json:"jku"`
	JWK   jsontext.Value `json:"jwk"`
	X5U   jsontext.Value `json:"x5u"`
	X5C   jsontext.Value `json:"x5c"`
	Nonce jsontext.Value `json:"nonce"`
}

func (h *header) extended() bool {
	for _, v := range []jsontext.Value{h.Crit, h.B64, h.CTY, h.Enc, h.Zip, h.JKU, h.JWK, h.X5U, h.X5C, h.Nonce} {
		if v != nil {
			return true
		}
	}
	return false
}

// claims is what is read of a token; nil or empty is absent. What the caller itself put in is beside it, below the claim
// https://sts.amazonaws.com/, and nothing of it counts.
type claims struct {
	Issuer    string         `json:"iss"`
	Subject   string         `json:"sub"`
	Audience  jsontext.Value `json:"aud"`
	Expires   *int64         `json:"exp"`
	Issued    *int64         `json:"iat"`
	NotBefore *int64         `json:"nbf"`
}

// prove returns the role that STS signed the token for. The steps are those of package entra: form, header, issuer, key,
// signature, and only then what the claims say.
func (t *tokens) prove(ctx context.Context, token string) (role string, err error) {
	now := t.now()
	if len(token) > maxToken {
		return "", refused("it is longer than 16 KiB")
	}
	id := sha256.Sum256([]byte(token))
	if role, ok := t.proofs.find(id, now); ok {
		return role, nil
	}
	h, c, payload, err := read(token)
	if err != nil {
		return "", err
	}
	from := t.issuers[c.Issuer]
	if from == nil {
		return "", refused("its issuer is none of " + flagIssuer + "; tokens of end users belong into the message, not into metadata")
	}
	key, err := from.key(ctx, h.KID)
	if err != nil {
		return "", err
	}
	signed, err := jws.VerifyCompactFast(key.public, []byte(token), key.alg)
	if h.Alg != key.alg.String() || err != nil || !bytes.Equal(signed, payload) {
		return "", refused("the signature does not verify")
	}
	now = t.now() // a key may have been waited for
	if err := c.check(t.audience, now); err != nil {
		return "", err
	}
	t.proofs.keep(id, proof{role: c.Subject, ends: time.Unix(*c.Expires, 0), from: from, kid: h.KID, key: key}, now)
	return c.Subject, nil
}

// refused is a token that is not accepted; why is a fixed text.
func refused(why string) error {
	return unidentified("the token in the metadata %s is not accepted: %s", authorization, why)
}

// read takes a token apart: a compact JWS in strict base64url, of two JSON objects without repeated names.
func read(token string) (h header, c claims, payload []byte, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return h, c, nil, refused("it is not a signed JWT of three parts")
	}
	var decoded [3][]byte
	for i, part := range parts {
		if decoded[i], err = strict.DecodeString(part); err != nil || part == "" || strings.ContainsAny(part, "\r\n") {
			return h, c, nil, refused("a part of it is not base64url")
		}
	}
	if json.Unmarshal(decoded[0], &h) != nil {
		return h, c, nil, refused("its header is not the JSON that was expected")
	}
	switch {
	case h.Alg != algRS256 && h.Alg != algES384:
		return h, c, nil, refused("its algorithm is neither RS256 nor ES384")
	case h.extended():
		return h, c, nil, refused("its header has a member that is not accepted")
	case h.Type != "" && !strings.EqualFold(h.Type, "JWT"):
		return h, c, nil, refused("it is another type of token")
	case !isKeyID(h.KID):
		return h, c, nil, refused("it names no key")
	case json.Unmarshal(decoded[1], &c) != nil:
		return h, c, nil, refused("its claims are not the JSON that was expected")
	}
	return h, c, decoded[1], nil
}

// check is about claims whose signature is good.
func (c *claims) check(audience string, now time.Time) error {
	if c.Subject == "" || c.Expires == nil || c.Issued == nil {
		return refused("sub, exp or iat is missing")
	}
	begins := *c.Issued
	if c.NotBefore != nil {
		begins = max(begins, *c.NotBefore)
	}
	const farthest = 1 << 40 // keeps what follows from overflowing
	at, leeway := now.Unix(), int64(skew/time.Second)
	switch {
	case !c.isFor(audience):
		return refused("it is for another audience than " + flagAudience + ", or for others too")
	case min(*c.Expires, *c.Issued) < 0 || max(*c.Expires, begins) > farthest || *c.Expires <= begins:
		return refused("its times contradict each other")
	case at >= *c.Expires+leeway:
		return refused("it has expired")
	case begins > at+leeway:
		return refused("it is not yet valid")
	case *c.Expires-*c.Issued > int64(maxLife/time.Second):
		return refused("it lives longer than an hour")
	}
	return nil
}

// isFor says whether the token is for the audience alone. One that is for others too could be handed on by any of them.
func (c *claims) isFor(audience string) bool {
	var one string
	if json.Unmarshal(c.Audience, &one) == nil {
		return one == audience
	}
	var list []string
	return json.Unmarshal(c.Audience, &list) == nil && len(list) == 1 && list[0] == audience
}
