package doctor

import "strings"

// microsoft are audiences of Microsoft's own apis, without a final slash.
var microsoft = map[string]string{
	"00000003-0000-0000-c000-000000000000":    "Microsoft Graph",
	"https://graph.microsoft.com":             "Microsoft Graph",
	"https://graph.microsoft.us":              "Microsoft Graph",
	"https://dod-graph.microsoft.us":          "Microsoft Graph",
	"https://microsoftgraph.chinacloudapi.cn": "Microsoft Graph",
	"00000002-0000-0000-c000-000000000000":    "Azure AD Graph",
	"https://graph.windows.net":               "Azure AD Graph",
	"797f4846-ba00-4fd7-ba43-dac1f8f63013":    "Azure Resource Manager",
	"https://management.azure.com":            "Azure Resource Manager",
	"https://management.core.windows.net":     "Azure Resource Manager",
	"https://vault.azure.net":                 "Azure Key Vault",
	"https://storage.azure.com":               "Azure Storage",
	"https://database.windows.net":            "Azure SQL Database",
}

// microsoftAPI is the name of Microsoft's api with this audience; "" when there is none that is known.
func microsoftAPI(audience string) string {
	return microsoft[strings.ToLower(strings.TrimSuffix(audience, "/"))]
}

const uriScheme = "api://"

// audience looks at aud and says whose token it is.
func (x *exam) audience(name, checked string) Step {
	aud := x.claims.text("aud")
	found := "aud " + show(aud)
	if aud == "" {
		return fail(name, checked, "no aud, or not a text", "Entra did not issue this token", "ask Entra for a token of your api")
	}
	for _, a := range x.d.cfg.Audiences {
		if a == aud {
			return ok(name, checked, found)
		}
	}
	if owner := microsoftAPI(aud); owner != "" {
		return fail(name, checked, found+", which is "+owner, "the client asked for a token of "+owner+" and sends it to your api",
			"let the client ask for a scope of your api, api://{client id of your api}/.default, not User.Read or https://graph.microsoft.com/.default")
	}
	v1 := x.claims.text("ver") == "1.0"
	for _, a := range x.d.cfg.Audiences {
		switch {
		case bare(a) != bare(aud):
			continue
		case isURI(aud) && !isURI(a):
			return fail(name, checked, found+", the App ID URI of the api instead of its client id", uriCause(v1), uriFix(v1))
		case isURI(a) && !isURI(aud):
			return fail(name, checked, found+", the client id of the api, while its App ID URI is configured", "v2 tokens carry the client id in aud",
				"put the client id into the api's audiences in verdict, and give it as --audience")
		}
		return fail(name, checked, found+" differs from "+show(a)+" in case or a final slash only", "audiences are compared byte for byte; v1 tokens carry the App ID URI as the client wrote it",
			"write the audience exactly as the token has it, or "+v2Fix)
	}
	switch {
	case aud == x.claims.text("azp") || aud == x.claims.text("appid"):
		return fail(name, checked, found+", the client itself", "an ID token, or the client asked for a token of itself",
			"let the client ask for a scope of your api and send the access token")
	case isURI(aud):
		return fail(name, checked, found+", an App ID URI", uriCause(v1)+"; or it is the URI of another api", uriFix(v1)+"; if it is another api, let the client ask for a scope of yours")
	case isGUID(aud):
		return fail(name, checked, found+", the client id of another api", "the client asked for a token of another api, or --audience is the client's id instead of the api's",
			"compare with App registrations, your api, Overview, Application (client) ID; let the client ask for api://{client id of your api}/.default")
	}
	return fail(name, checked, found, "the token is for another api", "let the client ask for a scope of your api, api://{client id of your api}/.default")
}

// bare is an audience without what different spellings of one api differ in.
func bare(audience string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.ToLower(audience), uriScheme), "/")
}

// isURI recognises an App ID URI.
func isURI(audience string) bool { return strings.HasPrefix(strings.ToLower(audience), uriScheme) }

func uriCause(v1 bool) string {
	if v1 {
		return "v1 tokens carry the App ID URI in aud; the registration of the api asks for v1 tokens"
	}
	return "the api is registered for v1 tokens"
}

func uriFix(v1 bool) string {
	if v1 {
		return v2Fix + "; aud is then the client id"
	}
	return v2Fix
}
