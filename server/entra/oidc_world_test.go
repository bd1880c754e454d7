package entra

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"sync"
)

const (
	genericIssuer = "https://id.example/oauth2/main"
	kidEC         = "EC/1+="
)

var keyEC = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

// publishedEC is the public half of k as an issuer publishes it.
func publishedEC(kid string, k *ecdsa.PrivateKey, members object) object {
	point, err := k.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	o := object{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid, "x": b64(point[1:33]), "y": b64(point[33:])}
	maps.Copy(o, members)
	return o
}

// es256 signs with the EC key.
func es256(f *forgery) {
	f.header["alg"], f.header["kid"] = "ES256", kidEC
	f.sign = func(input string) []byte {
		sum := sha256.Sum256([]byte(input))
		r, s, err := ecdsa.Sign(rand.Reader, keyEC(), sum[:])
		if err != nil {
			panic(err)
		}
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

// generic is a world of one OIDC provider called other, with an RSA and an EC key.
func generic(change func(*Provider)) func(*world, *Config) {
	return func(w *world, cfg *Config) {
		p := Provider{
			Kind: OIDC, Name: "other", Authority: genericIssuer, MetadataBase: w.server.URL, AllowLoopbackHTTP: true,
			Algorithms: []string{algRS256, algES256},
		}
		if change != nil {
			change(&p)
		}
		cfg.Providers = []Provider{p}
		authority, err := parseAuthority(p.Authority, true)
		if err != nil {
			panic(err)
		}
		w.discovery(authority.Path+"/.well-known/openid-configuration", p.Authority, "/keys")
		w.keys("/keys", published(kidOne, keyOne(), object{"alg": "RS256"}), publishedEC(kidEC, keyEC(), nil))
	}
}

// ofGeneric makes the token one of that provider: nothing of Entra, no nbf.
func ofGeneric(f *forgery) {
	f.claims = object{
		"iss": genericIssuer, "aud": []string{"another", audience}, "sub": "u/1 a", "client_id": "app-1", "scope": "orders.read orders.write",
		"iat": start.Unix() - 60, "exp": start.Unix() + 3600, "groups": []string{"Clerks", "a/b"}, "name": "Alice", "jti": "j-1",
	}
}
