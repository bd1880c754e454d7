package issuer

import "net/http"

// discoveryV2 is the metadata of version 2.0. Members that name what is not served here are left out, but for
// authorization_endpoint, which clients insist on.
func (i *Issuer) discoveryV2(w http.ResponseWriter, r *http.Request, tid string) {
	root := i.base + "/" + tid
	document := i.metadata(root)
	document["issuer"] = i.IssuerOf(tid, "2.0")
	document["jwks_uri"] = root + "/discovery/v2.0/keys"
	serveDocument(w, r, document)
}

// discoveryV1 is the metadata of version 1.0: another issuer and another key document.
func (i *Issuer) discoveryV1(w http.ResponseWriter, r *http.Request, tid string) {
	root := i.base + "/" + tid
	document := i.metadata(root)
	document["issuer"] = i.IssuerOf(tid, "1.0")
	document["jwks_uri"] = root + "/discovery/keys"
	serveDocument(w, r, document)
}

func (i *Issuer) metadata(root string) map[string]any {
	return map[string]any{
		"token_endpoint":         root + "/oauth2/v2.0/token",
		"authorization_endpoint": root + "/oauth2/v2.0/authorize",
		"token_endpoint_auth_methods_supported": []string{
			"client_secret_post", "client_secret_basic",
		},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"response_types_supported":              []string{"code", "id_token", "code id_token", "id_token token"},
		"subject_types_supported":               []string{"pairwise"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"claims_supported": []string{
			"sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name", "msgraph_host",
			"aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid", "ver", "at_hash",
			"c_hash", "email",
		},
		"request_uri_parameter_supported": false,
		"tenant_region_scope":             "EU",
		"cloud_instance_name":             cloud,
		"cloud_graph_host_name":           "graph.windows.net",
		"msgraph_host":                    "graph.microsoft.com",
		"rbac_url":                        "https://pas.windows.net",
	}
}
