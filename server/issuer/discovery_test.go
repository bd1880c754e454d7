package issuer

import (
	"net/http"
	"strings"
	"testing"
)

func TestDiscovery(t *testing.T) {
	_, base := serve(t)
	root := base + "/" + DevTenant
	for name, tc := range map[string]struct {
		path string
		want map[string]any
	}{
		"version 2.0": {"/v2.0/.well-known/openid-configuration", map[string]any{
			"issuer": root + "/v2.0", "jwks_uri": root + "/discovery/v2.0/keys"}},
		"version 1.0": {"/.well-known/openid-configuration", map[string]any{
			"issuer": "https://sts.windows.net/" + DevTenant + "/", "jwks_uri": root + "/discovery/keys"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, "GET", root+tc.path, "")
			document := got.json(t)
			tc.want["token_endpoint"] = root + "/oauth2/v2.0/token"
			tc.want["cloud_instance_name"] = "microsoftonline.com"
			for member, want := range tc.want {
				if document[member] != want {
					t.Errorf("%s: %v; want %v", member, document[member], want)
				}
			}
			if algorithms := document["id_token_signing_alg_values_supported"]; len(algorithms.([]any)) != 1 {
				t.Errorf("algorithms %v", algorithms)
			}
			if kind := got.header.Get("Content-Type"); !strings.HasPrefix(kind, "application/json") {
				t.Errorf("content type %s", kind)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	i, base := serve(t)
	second, err := i.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		path   string
		issuer any
		cloud  any
	}{
		"version 2.0 names the issuer of each key": {"/discovery/v2.0/keys", base + "/{tenantid}/v2.0", "microsoftonline.com"},
		"version 1.0 does not":                     {"/discovery/keys", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, "GET", base+"/"+DevTenant+tc.path, "")
			keys := got.json(t)["keys"].([]any)
			if len(keys) != 2 {
				t.Fatalf("%d keys", len(keys))
			}
			for n, kid := range i.Kids() {
				k := keys[n].(map[string]any)
				if k["kid"] != kid || k["x5t"] != kid || k["kty"] != "RSA" || k["use"] != "sig" || k["e"] != "AQAB" ||
					k["issuer"] != tc.issuer || k["cloud_instance_name"] != tc.cloud || k["d"] != nil || k["alg"] != nil {
					t.Errorf("key %d: %v", n, k)
				}
			}
			if i.Kids()[1] != second {
				t.Errorf("the new key is not the last one: %v", i.Kids())
			}
		})
	}
	t.Run("who has the document is told so, until it changes", func(t *testing.T) {
		address := base + "/" + DevTenant + "/discovery/v2.0/keys"
		etag := ask(t, "GET", address, "").header.Get("ETag")
		for _, sent := range []string{etag, "W/" + etag, `"x", ` + etag, "*"} {
			got := ask(t, "GET", address, "", "If-None-Match", sent)
			if got.status != http.StatusNotModified || got.body != "" || got.header.Get("ETag") != etag {
				t.Errorf("If-None-Match: %s: %d %q", sent, got.status, got.body)
			}
		}
		if err := i.Withdraw(second); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, "GET", address, "", "If-None-Match", etag); got.status != http.StatusOK || got.header.Get("ETag") == etag {
			t.Errorf("after a change: %d, ETag %s", got.status, got.header.Get("ETag"))
		}
	})
}
