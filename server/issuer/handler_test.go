package issuer

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
)

// serve runs an issuer whose base URL is where it is served.
func serve(t *testing.T) (*Issuer, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	base := "http://" + server.Listener.Addr().String()
	i := newIssuer(t, Config{BaseURL: base, V1Issuer: "https://sts.windows.net/{tenantid}/", Now: time.Now})
	server.Config.Handler = i.Handler()
	server.Start()
	t.Cleanup(server.Close)
	return i, base
}

type answer struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, method, address, body string, header ...string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n+1 < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
		if header[n] == "Host" {
			r.Host = header[n+1]
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(a.body), &members); err != nil {
		t.Fatalf("%v in %s", err, a.body)
	}
	return members
}

// verify proves a token as a client of the documents does, and returns its claims.
func verify(t *testing.T, base, token string) (map[string]any, error) {
	t.Helper()
	discovery := ask(t, "GET", base+"/"+DevTenant+"/v2.0/.well-known/openid-configuration", "").json(t)
	set, err := jwk.Parse([]byte(ask(t, "GET", discovery["jwks_uri"].(string), "").body))
	if err != nil {
		t.Fatal(err)
	}
	kid, _ := headerOf(t, token)["kid"].(string)
	key, ok := set.LookupKeyID(kid)
	if !ok {
		return nil, errors.New("the key is not published")
	}
	if _, err := jws.Verify([]byte(token), jws.WithKey(jwa.RS256(), key), jws.WithCompact()); err != nil {
		return nil, err
	}
	claims := claimsOf(t, token)
	switch {
	case claims["iss"] != discovery["issuer"]:
		return nil, errors.New("another issuer")
	case claims["aud"] != DevAudience:
		return nil, errors.New("another audience")
	case time.Now().Unix() >= int64(claims["exp"].(float64)):
		return nil, errors.New("expired")
	}
	return claims, nil
}

func TestTokensVerifyAgainstTheServedKeys(t *testing.T) {
	i, base := serve(t)
	old := strings.TrimSpace(ask(t, "GET", base+"/mint?user=alice", "").body)
	if _, err := verify(t, base, old); err != nil {
		t.Fatalf("a fresh token: %v", err)
	}
	if _, err := verify(t, base, old[:len(old)-8]+"AAAAAAAA"); err == nil {
		t.Fatal("a token with another signature verifies")
	}
	if _, err := verify(t, base, strings.TrimSpace(ask(t, "GET", base+"/mint?user=alice&lifetime=-10m", "").body)); err == nil {
		t.Fatal("an expired token verifies")
	}

	first := i.Kids()[0]
	rotated := ask(t, "POST", base+"/rotate", "").json(t)
	if rotated["kid"] == first || len(rotated["kids"].([]any)) != 2 {
		t.Fatalf("rotation says %v", rotated)
	}
	fresh := strings.TrimSpace(ask(t, "GET", base+"/mint?user=alice", "").body)
	if kid := headerOf(t, fresh)["kid"]; kid != rotated["kid"] {
		t.Errorf("after rotation signed with %v; want %v", kid, rotated["kid"])
	}
	for name, token := range map[string]string{"old": old, "new": fresh} {
		if _, err := verify(t, base, token); err != nil {
			t.Errorf("after rotation, the %s token: %v", name, err)
		}
	}
	if got := ask(t, "POST", base+"/withdraw?kid="+first, ""); got.status != http.StatusOK {
		t.Fatalf("withdrawal: %d %s", got.status, got.body)
	}
	if _, err := verify(t, base, old); err == nil {
		t.Error("after withdrawal, the old token verifies")
	}
	if _, err := verify(t, base, fresh); err != nil {
		t.Errorf("after withdrawal, the new token: %v", err)
	}
}

func TestOnlyLoopbackMayAsk(t *testing.T) {
	i, base := serve(t)
	before := i.Kids()
	for name, tc := range map[string]struct {
		method, path string
		header       []string
		status       int
	}{
		"localhost":                        {"GET", "/mint?user=bob", []string{"Host", "localhost:7303"}, 200},
		"localhost without a port":         {"GET", "/mint?user=bob", []string{"Host", "localhost"}, 200},
		"::1":                              {"GET", "/mint?user=bob", []string{"Host", "[::1]:7303"}, 200},
		"::1 without a port":               {"GET", "/mint?user=bob", []string{"Host", "[::1]"}, 200},
		"a name that resolves here":        {"GET", "/mint?user=bob", []string{"Host", "rebound.example.com:7303"}, 403},
		"a name that begins like loopback": {"GET", "/mint?user=bob", []string{"Host", "127.0.0.1.example.com"}, 403},
		"an address of the network":        {"GET", "/" + DevTenant + "/discovery/v2.0/keys", []string{"Host", "192.168.0.7"}, 403},
		"another page writes":              {"POST", "/rotate", []string{"Origin", "https://example.com", "Sec-Fetch-Site", "cross-site"}, 403},
		"another page writes, old browser": {"POST", "/rotate", []string{"Origin", "https://example.com"}, 403},
		"rotation is no GET":               {"GET", "/rotate", nil, 405},
		"withdrawal is no GET":             {"GET", "/withdraw?kid=x", nil, 405},
	} {
		t.Run(name, func(t *testing.T) {
			if got := ask(t, tc.method, base+tc.path, "", tc.header...); got.status != tc.status {
				t.Errorf("%d %s; want %d", got.status, got.body, tc.status)
			}
		})
	}
	if !slices.Equal(before, i.Kids()) {
		t.Error("the keys changed")
	}
}

func TestHelpHasLinesToPaste(t *testing.T) {
	_, base := serve(t)
	got := ask(t, "GET", base+"/", "")
	if got.status != http.StatusOK || strings.Contains(got.body, "%!") {
		t.Fatalf("%d %s", got.status, got.body)
	}
	for _, name := range []string{"alice", "bob", "mallory", "nightly", "lifetime", "/withdraw?kid=", DevTenant} {
		if !strings.Contains(got.body, name) {
			t.Errorf("%s is not in it:\n%s", name, got.body)
		}
	}
	pasted := 0
	for line := range strings.Lines(got.body) {
		if _, address, ok := strings.Cut(line, "curl -s '"); ok {
			address, rest, _ := strings.Cut(address, "'")
			if strings.Contains(rest, "-d ") {
				continue
			}
			if r := ask(t, "GET", address, ""); r.status != http.StatusOK {
				t.Errorf("%s: %d %s", address, r.status, r.body)
			}
			pasted++
		}
	}
	if pasted < 4 {
		t.Errorf("only %d lines could be pasted", pasted)
	}
	if r := ask(t, "GET", base+"/nothing", ""); r.status != http.StatusNotFound {
		t.Errorf("an unknown path: %d", r.status)
	}
}
