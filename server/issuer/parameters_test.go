package issuer

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

func TestMintOverHTTP(t *testing.T) {
	_, base := serve(t)
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"
	for name, tc := range map[string]struct {
		method, query, body, kind string
		want                      map[string]any
	}{
		"a query":          {method: "GET", query: "?user=bob", want: map[string]any{"oid": BobID}},
		"a query of POST":  {method: "POST", query: "?user=bob", want: map[string]any{"oid": BobID}},
		"a form":           {method: "POST", body: "user=bob&scope=a+b&groups=g1,g2&groups=g3", kind: formType, want: map[string]any{"scp": "a b", "groups": list("g1", "g2", "g3")}},
		"JSON":             {method: "POST", body: `{"user":"bob","roles":["R"],"lifetime":60,"claims":{"acct":1}}`, kind: jsonType, want: map[string]any{"roles": list("R"), "acct": 1.0}},
		"an empty list":    {method: "POST", body: `{"user":"bob","groups":[]}`, kind: jsonType, want: map[string]any{"groups": absent}},
		"an empty field":   {method: "POST", body: "user=bob&groups=&scope=", kind: formType, want: map[string]any{"groups": absent, "scp": absent}},
		"an application":   {method: "GET", query: "?app=nightly", want: map[string]any{"idtyp": "app"}},
		"everything":       {method: "GET", query: "?user=bob&tenant=" + DevTenant + "&audience=x&version=1.0&overage=hasgroups&wids=w&acrs=c1,c2&xms_cc=cp1&lifetime=5m&auth_age=1h", want: map[string]any{"aud": "x", "ver": "1.0", "hasgroups": true, "wids": list("w"), "acrs": list("c1", "c2"), "xms_cc": list("cp1")}},
		"claims as JSON":   {method: "GET", query: "?user=bob&claims=" + url.QueryEscape(`{"oid":null,"exp":1e400,"n":12345678901234567890}`), want: nil},
		"a claim is null":  {method: "GET", query: "?user=bob&claims=" + url.QueryEscape(`{"oid":null}`), want: map[string]any{"oid": absent}},
		"lifetime seconds": {method: "GET", query: "?user=bob&lifetime=-90", want: map[string]any{"oid": BobID}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, tc.method, base+"/mint"+tc.query, tc.body, "Content-Type", tc.kind)
			if got.status != http.StatusOK || !strings.HasSuffix(got.body, "\n") || strings.Count(got.body, "\n") != 1 {
				t.Fatalf("%d %q", got.status, got.body)
			}
			if tc.want == nil { // numbers that a float cannot hold are signed as they were written
				payload := strings.Split(got.body, ".")[1]
				if text := decode(t, payload); !strings.Contains(text, `"exp":1e400`) || !strings.Contains(text, `12345678901234567890`) {
					t.Errorf("claims %s", text)
				}
				return
			}
			claims := claimsOf(t, strings.TrimSpace(got.body))
			for claim, want := range tc.want {
				value, there := claims[claim]
				if want == absent && there || want != absent && !reflect.DeepEqual(value, want) {
					t.Errorf("%s: %v; want %v", claim, value, want)
				}
			}
			if kind := got.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
				t.Errorf("content type %s", kind)
			}
		})
	}
	t.Run("JSON for who accepts it", func(t *testing.T) {
		got := ask(t, "GET", base+"/mint?user=alice&lifetime=5m", "", "Accept", "application/json").json(t)
		if got["token_type"] != "Bearer" || got["expires_in"] != 300.0 || got["claims"].(map[string]any)["oid"] != AliceID {
			t.Errorf("%v", got)
		}
		if _, err := verify(t, base, got["access_token"].(string)); err != nil {
			t.Error(err)
		}
	})
}

func TestBadInput(t *testing.T) {
	i, base := serve(t)
	const formType, jsonType = "application/x-www-form-urlencoded", "application/json"
	for name, tc := range map[string]struct{ method, path, body, kind, says string }{
		"nobody named":              {"GET", "/mint", "", "", "say for whom"},
		"two named":                 {"GET", "/mint?user=alice&app=nightly", "", "", "say for whom"},
		"a user unknown":            {"GET", "/mint?user=eve", "", "", "alice, bob, mallory"},
		"an app asked for as user":  {"GET", "/mint?user=nightly", "", "", "no user of that name"},
		"a parameter misspelt":      {"GET", "/mint?user=alice&audiance=x", "", "", "no parameter \"audiance\""},
		"a parameter twice":         {"GET", "/mint?user=alice&user=bob", "", "", "more than once"},
		"a lifetime of zero":        {"GET", "/mint?user=alice&lifetime=0", "", "", "not zero"},
		"a lifetime of words":       {"GET", "/mint?user=alice&lifetime=soon", "", "", "lifetime is a duration"},
		"claims that are no object": {"GET", "/mint?user=alice&claims=1", "", "", "claims is a JSON object"},
		"claims and more":           {"GET", "/mint?user=alice&claims={}{}", "", "", "claims is a JSON object"},
		"an overage unknown":        {"GET", "/mint?user=alice&overage=lots", "", "", "overage is"},
		"a version unknown":         {"GET", "/mint?user=alice&version=2", "", "", "version is"},
		"a tenant unknown":          {"GET", "/mint?user=alice&tenant=x", "", "", "tenant"},
		"a query that is none":      {"GET", "/mint?user=%zz", "", "", "query"},
		"a form that is none":       {"POST", "/mint", "user=%zz", formType, "form"},
		"JSON that is none":         {"POST", "/mint", "[]", jsonType, "JSON object"},
		"a body of another kind":    {"POST", "/mint", "user=alice", "text/plain", "Content-Type"},
		"a body too large":          {"POST", "/mint", "user=" + strings.Repeat("a", maxBody), formType, "larger"},
		"a document of no tenant":   {"GET", "/common/v2.0/.well-known/openid-configuration", "", "", "tenant"},
		"keys of no tenant":         {"GET", "/common/discovery/v2.0/keys", "", "", "tenant"},
		"withdrawal of nothing":     {"POST", "/withdraw", "", "", "which key"},
		"withdrawal of the last":    {"POST", "/withdraw?kid=" + i.Kids()[0], "", "", "only key"},
		"sign-in":                   {"GET", "/" + DevTenant + "/oauth2/v2.0/authorize", "", "", "/mint"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, tc.method, base+tc.path, tc.body, "Content-Type", tc.kind)
			if got.status != http.StatusBadRequest || !strings.Contains(got.body, tc.says) {
				t.Errorf("%d %q; want 400 that says %q", got.status, got.body, tc.says)
			}
			if !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain") {
				t.Errorf("content type %s", got.header.Get("Content-Type"))
			}
		})
	}
}
