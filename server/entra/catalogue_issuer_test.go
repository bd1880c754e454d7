package entra

import (
	"testing"

	"github.com/verdict-authz/verdict/server/policy"
)

// iss is a well-signed token of tenant T that says another issuer.
func iss(text string) func() string { return plain(set("iss", text)) }

// untrusted is an issuer that is refused.
func untrusted(name, issuer string) entry {
	return entry{name: name, token: iss(issuer), want: is(policy.IssuerUntrusted)}
}

var issuerCases = map[int]entry{
	155: untrusted("v2 issuer with a slash at the end", issuerOf(tenantT)+"/"),
	156: untrusted("host in upper case", "https://LOGIN.microsoftonline.com/"+tenantT+"/v2.0"),
	157: untrusted("http", "http://login.microsoftonline.com/"+tenantT+"/v2.0"),
	158: untrusted("host that only begins right", "https://login.microsoftonline.com.evil.test/"+tenantT+"/v2.0"),
	159: untrusted("userinfo", "https://login.microsoftonline.com@evil.test/"+tenantT+"/v2.0"),
	160: untrusted("port", "https://login.microsoftonline.com:443/"+tenantT+"/v2.0"),
	161: {name: "query or fragment", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, iss(issuerOf(tenantT)+"?x")(), policy.IssuerUntrusted)
		w.mustRefuse(t, iss(issuerOf(tenantT)+"#x")(), policy.IssuerUntrusted)
	}},
	162: {name: "dot segments", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, iss(global+"/x/../"+tenantT+"/v2.0")(), policy.IssuerUntrusted)
		w.mustRefuse(t, iss(global+"/%2e%2e/"+tenantT+"/v2.0")(), policy.IssuerUntrusted)
		w.mustRefuse(t, iss(global+"/"+tenantT+"/../v2.0")(), policy.IssuerUntrusted)
	}},
	163: {name: "template or common in iss", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, iss(global+"/{tenantid}/v2.0")(), policy.IssuerUntrusted)
		w.mustRefuse(t, iss(global+"/common/v2.0")(), policy.IssuerUntrusted)
	}},
	164: {name: "iss of T, tid of T2, both configured", token: plain(set("tid", tenantT2)), want: is(policy.TenantMismatch)},
	165: {name: "tid only in query or tail of iss", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, iss(issuerOf(tenantX)+"?tid="+tenantT)(), policy.TenantMismatch)
		w.mustRefuse(t, iss(issuerOf(tenantX)+"/"+tenantT)(), policy.TenantMismatch)
	}},
	166: {name: "tid missing, empty, number", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, forge(del("tid")), policy.ClaimsMalformed)
		w.mustRefuse(t, forge(set("tid", "")), policy.ClaimsMalformed)
		w.mustRefuse(t, forge(set("tid", 7)), policy.ClaimsMalformed)
	}},
	167: {
		name: "tid not configured, signed by the shared key", token: plain(set("tid", tenantX), set("iss", issuerOf(tenantX))),
		want: is(policy.TenantNotAllowed), // that it costs no fetch is checked for every case
	},
	168: {
		name: "MSA tenant, not configured", want: is(policy.TenantNotAllowed),
		token: plain(set("tid", msa), set("iss", issuerOf(msa)), hdr("kid", kidMSA), by(keyMSA())),
	},
	170: {name: "token of T signed by the key of MSA", token: plain(hdr("kid", kidMSA), by(keyMSA())), want: is(policy.KeyIssuerMismatch)},
	173: {name: "token of another cloud", run: func(t *testing.T) {
		// As if the clouds shared keys, so that the issuer alone is what tells.
		w := warm(t, nil)
		w.mustRefuse(t, iss("https://login.microsoftonline.us/"+tenantT+"/v2.0")(), policy.IssuerUntrusted)
		w.mustRefuse(t, iss("https://login.partner.microsoftonline.cn/"+tenantT+"/v2.0")(), policy.IssuerUntrusted)
		w.mustRefuse(t, iss("https://sts.chinacloudapi.cn/"+tenantT+"/")(), policy.IssuerUntrusted)
	}},
	174: {name: "v1 token while v1 is off", token: plain(v1), want: is(policy.VersionMismatch)},
	177: {name: "ver 2.0 with a v1 issuer", token: plain(v1, set("ver", "2.0")), want: is(policy.VersionMismatch)},
	178: {name: "ver missing or a number", run: func(t *testing.T) {
		w := warm(t, nil)
		w.mustRefuse(t, forge(del("ver")), policy.ClaimsMalformed)
		w.mustRefuse(t, forge(set("ver", 2)), policy.ClaimsMalformed)
	}},
}

// withV1 accepts v1 tokens, whose key only the v1 document has.
func withV1(w *world, cfg *Config) {
	cfg.Providers[0].AcceptV1 = true
	for _, tid := range []string{tenantT, tenantT2} {
		w.discovery("/"+tid+"/.well-known/openid-configuration", "https://sts.windows.net/"+tid+"/", "/common/discovery/keys")
	}
	w.keys("/common/discovery/keys", published(kidV1, keyTwo(), nil))
}

const ciam = "https://contoso.ciamlogin.com"

func ciamIssuer(host, path string) string {
	return "https://" + host + ".ciamlogin.com/" + path + "/v2.0"
}

func withCIAM(w *world, cfg *Config) {
	cfg.Providers[0].Kind, cfg.Providers[0].Authority = ExternalID, ciam
	for _, tid := range []string{tenantT, tenantT2} {
		w.publish("/"+tid, ciamIssuer(tid, tid), published(kidOne, keyOne(), nil))
	}
}

const b2cIssuer = "https://contoso.b2clogin.com/" + tenantT + "/v2.0/"

func withB2C(w *world, cfg *Config) {
	cfg.Providers = []Provider{{
		Kind: B2C, Authority: "https://contoso.b2clogin.com", Tenants: []string{tenantT}, Policies: []string{"B2C_1_in"},
		AllowMissingIDType: true, MetadataBase: w.server.URL, AllowLoopbackHTTP: true,
	}}
	w.publish("/"+tenantT+"/B2C_1_in", b2cIssuer, published(kidOne, keyOne(), nil))
}

// b2c makes the token one of B2C, which names no tenant and no type.
func b2c(f *forgery) {
	delete(f.claims, "tid")
	delete(f.claims, "idtyp")
	f.claims["iss"], f.claims["ver"], f.claims["tfp"] = b2cIssuer, "1.0", "B2C_1_in"
}

var issuerRunCases = map[int]entry{
	169: {name: "MSA tenant, configured and signed by its key", run: func(t *testing.T) {
		w := warm(t, func(w *world, cfg *Config) {
			cfg.Providers[0].Tenants = []string{tenantT, msa}
			w.publish("/"+msa, issuerOf(msa), published(kidMSA, keyMSA(), object{"issuer": issuerOf(msa)}))
		})
		w.mustPass(t, forge(set("tid", msa), set("iss", issuerOf(msa)), hdr("kid", kidMSA), by(keyMSA())))
	}},
	171: {name: "metadata of every tenant, key without issuer", run: func(t *testing.T) {
		w := warm(t, func(w *world, _ *Config) {
			w.publish("/"+tenantT, global+"/{tenantid}/v2.0", published(kidOne, keyOne(), nil))
		})
		w.mustRefuse(t, good(), policy.KeyIssuerMismatch)
	}},
	172: {name: "key of another cloud", run: func(t *testing.T) {
		w := warm(t, func(w *world, _ *Config) {
			w.publish("/"+tenantT, issuerOf(tenantT), published(kidOne, keyOne(), object{"cloud_instance_name": "microsoftonline.us"}))
		})
		w.mustRefuse(t, good(), policy.CloudMismatch)
	}},
	175: {name: "v1 on, iss without the slash at the end", run: func(t *testing.T) {
		w := warm(t, withV1)
		w.mustRefuse(t, forge(v1, set("iss", "https://sts.windows.net/"+tenantT)), policy.IssuerUntrusted)
	}},
	176: {name: "v1 on, good token", run: func(t *testing.T) {
		w := warm(t, withV1)
		tok := w.mustPass(t, forge(v1, hdr("kid", kidV1), by(keyTwo())))
		if tok.Principal.ClientID != client {
			t.Error("the client was lost")
		}
		w.mustRefuse(t, forge(hdr("kid", kidV1), by(keyTwo())), policy.KeyUnknown) // v1 keys do not serve v2 tokens
		w.mustRefuse(t, forge(v1, set("ver", "2.0"), hdr("kid", kidV1), by(keyTwo())), policy.VersionMismatch)
	}},
	179: {name: "External ID, pinned issuer", run: func(t *testing.T) {
		warm(t, withCIAM).mustPass(t, forge(set("iss", ciamIssuer(tenantT, tenantT))))
	}},
	180: {name: "External ID, host and path of different tenants", run: func(t *testing.T) {
		w := warm(t, withCIAM)
		w.mustRefuse(t, forge(set("iss", ciamIssuer(tenantT2, tenantT))), policy.IssuerUntrusted)
		w.mustRefuse(t, forge(set("iss", ciamIssuer(tenantT, tenantT2))), policy.IssuerUntrusted)
		w.mustRefuse(t, forge(set("iss", ciamIssuer("contoso", tenantT))), policy.IssuerUntrusted)
	}},
	181: {name: "B2C, default issuer", run: func(t *testing.T) {
		w := warm(t, withB2C)
		tok := w.mustPass(t, forge(b2c))
		if tok.Principal.TenantID != tenantT {
			t.Errorf("tenant %q", tok.Principal.TenantID)
		}
		w.mustPass(t, forge(b2c, set("tid", tenantT), del("tfp"), set("acr", "B2C_1_in")))
	}},
	182: {name: "B2C, tfp issuer or policy that is not pinned", run: func(t *testing.T) {
		w := warm(t, withB2C)
		before := w.fetches()
		w.mustRefuse(t, forge(b2c, set("iss", "https://contoso.b2clogin.com/tfp/"+tenantT+"/b2c_1_in/v2.0/")), policy.IssuerUntrusted)
		w.mustRefuse(t, forge(b2c, set("tfp", "B2C_1_other")), policy.IssuerUntrusted)
		w.mustRefuse(t, forge(b2c, del("tfp")), policy.IssuerUntrusted)
		if w.fetches() != before {
			t.Error("it cost a fetch")
		}
	}},
	183: {name: "same kid in two providers, token of the other", run: func(t *testing.T) {
		const gov = "https://login.microsoftonline.us"
		w := warm(t, func(w *world, cfg *Config) {
			cfg.Providers[0].Tenants = []string{tenantT}
			cfg.Providers = append(cfg.Providers, Provider{
				Kind: Entra, Authority: gov, Tenants: []string{tenantT2}, MetadataBase: w.server.URL, AllowLoopbackHTTP: true,
			})
			w.publish("/"+tenantT2, gov+"/"+tenantT2+"/v2.0", published(kidOne, keyTwo(), nil))
		})
		ofGov := []edit{set("tid", tenantT2), set("iss", gov+"/"+tenantT2+"/v2.0")}
		w.mustPass(t, forge(append(ofGov, by(keyTwo()))...))
		w.mustRefuse(t, forge(append(ofGov, by(keyOne()))...), policy.SignatureInvalid)
		w.mustRefuse(t, forge(by(keyTwo())), policy.SignatureInvalid)
	}},
	184: {name: "situations of Microsoft's own issuer tests", run: microsoftSituations},
}

// microsoftSituations are those that Microsoft.IdentityModel tests its Entra issuer and signing key validators with,
// written anew. Where ours is stricter the name says so.
func microsoftSituations(t *testing.T) {
	keyWith := func(members object) func(*world, *Config) {
		return func(w *world, _ *Config) {
			w.publish("/"+tenantT, issuerOf(tenantT), published(kidOne, keyOne(), members))
		}
	}
	for name, tc := range map[string]struct {
		change func(*world, *Config)
		edits  []edit
		want   []policy.Reason
	}{
		"iss missing":                             {edits: []edit{del("iss")}, want: is(policy.ClaimsMalformed)},
		"iss empty":                               {edits: []edit{set("iss", "")}, want: is(policy.ClaimsMalformed)},
		"iss null":                                {edits: []edit{set("iss", nil)}, want: is(policy.ClaimsMalformed)},
		"tid missing, tenant in iss (stricter)":   {edits: []edit{del("tid")}, want: is(policy.ClaimsMalformed)},
		"tid as tenantId (stricter)":              {edits: []edit{del("tid"), set("tenantId", tenantT)}, want: is(policy.ClaimsMalformed)},
		"issuer of an unknown host":               {edits: []edit{set("iss", "https://evil.test/"+tenantT+"/v2.0")}, want: is(policy.IssuerUntrusted)},
		"issuer that is not an address":           {edits: []edit{set("iss", "badIssuer")}, want: is(policy.IssuerUntrusted)},
		"issuer of an alias host":                 {edits: []edit{set("iss", "https://login.windows.net/"+tenantT+"/v2.0")}, want: is(policy.IssuerUntrusted)},
		"issuer of v1.1 form":                     {edits: []edit{set("iss", global+"/"+tenantT+"/v1.1")}, want: is(policy.IssuerUntrusted)},
		"issuer holds the tenant at another spot": {edits: []edit{set("iss", global+"/v2.0/"+tenantT)}, want: is(policy.IssuerUntrusted)},
		"issuer of a B2C user flow":               {edits: []edit{set("iss", "https://contoso.b2clogin.com/tfp/"+tenantT+"/b2c_1_in/v2.0/")}, want: is(policy.IssuerUntrusted)},
		"key issuer is the template":              {change: keyWith(templated)},
		"key issuer is the tenant's":              {change: keyWith(object{"issuer": issuerOf(tenantT)})},
		"key issuer is another tenant's":          {change: keyWith(object{"issuer": issuerOf(tenantT2)}), want: is(policy.KeyIssuerMismatch)},
		"key issuer holds no tenant":              {change: keyWith(object{"issuer": global}), want: is(policy.KeyIssuerMismatch)},
		"key issuer only contains the tenant (stricter)": {
			change: keyWith(object{"issuer": global + "/x" + tenantT + "/v2.0"}), want: is(policy.KeyIssuerMismatch),
		},
		"key issuer of another form of the tenant": {
			change: keyWith(object{"issuer": "https://sts.windows.net/{tenantid}/"}), want: is(policy.KeyIssuerMismatch),
		},
		"key without issuer in a tenant's own document": {change: keyWith(nil)},
		"key cloud equals":          {change: keyWith(object{"cloud_instance_name": "microsoftonline.com"})},
		"key cloud differs in case": {change: keyWith(object{"cloud_instance_name": "MicrosoftOnline.com"}), want: is(policy.CloudMismatch)},
		"key without cloud":         {change: keyWith(object{"issuer": issuerOf(tenantT)})},
		"v1 token, v2 issuer on the key": {change: func(w *world, cfg *Config) {
			withV1(w, cfg)
			w.keys("/common/discovery/keys", published(kidOne, keyOne(), templated))
		}, edits: []edit{v1}},
		"v1 token, v1 issuer on the key": {change: func(w *world, cfg *Config) {
			withV1(w, cfg)
			w.keys("/common/discovery/keys", published(kidOne, keyOne(), object{"issuer": "https://sts.windows.net/{tenantid}/"}))
		}, edits: []edit{v1}},
	} {
		t.Run(name, func(t *testing.T) {
			w := warm(t, tc.change)
			if token := forge(tc.edits...); len(tc.want) > 0 {
				w.mustRefuse(t, token, tc.want...)
			} else {
				w.mustPass(t, token)
			}
		})
	}
}
