package issuer

import (
	"net/http"
	"testing"
)

func TestClientCredentials(t *testing.T) {
	_, base := serve(t)
	const grant, good = "grant_type=client_credentials", "&scope=api://" + DevAudience + "/.default"
	const client = "&client_id=" + NightlyClient + "&client_secret=dev"
	for name, tc := range map[string]struct {
		tenant, body string
		basic        bool
		status       int
		code         string
	}{
		"a client of ours":               {DevTenant, grant + client + good, false, 200, ""},
		"a resource by its id":           {DevTenant, grant + client + "&scope=" + DevAudience + "/.default", false, 200, ""},
		"credentials in the header":      {DevTenant, grant + good, true, 200, ""},
		"a client unknown":               {DevTenant, grant + "&client_id=" + DevClient + "&client_secret=dev" + good, false, 401, "invalid_client"},
		"no secret":                      {DevTenant, grant + "&client_id=" + NightlyClient + good, false, 401, "invalid_client"},
		"no scope":                       {DevTenant, grant + client, false, 400, "invalid_scope"},
		"a scope that is not everything": {DevTenant, grant + client + "&scope=api://" + DevAudience + "/Orders.Access", false, 400, "invalid_scope"},
		"two scopes":                     {DevTenant, grant + client + "&scope=a/.default+b/.default", false, 400, "invalid_scope"},
		"another grant":                  {DevTenant, "grant_type=password" + client + good, false, 400, "unsupported_grant_type"},
		"another tenant":                 {"common", grant + client + good, false, 400, "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Content-Type", "application/x-www-form-urlencoded"}
			if tc.basic {
				header = append(header, "Authorization", "Basic "+basic(NightlyClient, "dev"))
			}
			got := ask(t, "POST", base+"/"+tc.tenant+"/oauth2/v2.0/token", tc.body, header...)
			body := got.json(t)
			if got.status != tc.status || (tc.code != "" && body["error"] != tc.code) {
				t.Fatalf("%d %v; want %d %s", got.status, body, tc.status, tc.code)
			}
			if tc.status != http.StatusOK {
				return
			}
			claims, err := verify(t, base, body["access_token"].(string))
			if err != nil {
				t.Fatal(err)
			}
			if subject := claims["sub"]; subject != NightlyID || body["token_type"] != "Bearer" || body["expires_in"] != 3600.0 {
				t.Errorf("subject %v of %v", subject, body)
			}
		})
	}
}
