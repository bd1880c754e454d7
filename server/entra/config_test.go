package entra

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestNewVerifierRefusesWhatItCannotWorkWith(t *testing.T) {
	base := func() Config {
		return Config{Providers: []Provider{{Kind: Entra, Authority: global, Tenants: []string{tenantT}}}}
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no provider":                      {func(c *Config) { c.Providers = nil }, "no provider"},
		"no tenant":                        {func(c *Config) { c.Providers[0].Tenants = nil }, "tenants: none"},
		"a tenant that is no GUID":         {func(c *Config) { c.Providers[0].Tenants = []string{"contoso.onmicrosoft.com"} }, "not a GUID"},
		"a tenant twice":                   {func(c *Config) { c.Providers[0].Tenants = []string{tenantT, strings.ToUpper(tenantT)} }, "twice"},
		"no kind":                          {func(c *Config) { c.Providers[0].Kind = KindUnset }, "kind"},
		"an unknown kind":                  {func(c *Config) { c.Providers[0].Kind = 9 }, "kind"},
		"no authority":                     {func(c *Config) { c.Providers[0].Authority = "" }, "authority"},
		"an authority over http":           {func(c *Config) { c.Providers[0].Authority = "http://login.microsoftonline.com" }, "want https"},
		"loopback http without permission": {func(c *Config) { c.Providers[0].Authority = "http://127.0.0.1:1" }, "want https"},
		"http elsewhere with permission": {func(c *Config) {
			c.Providers[0].Authority, c.Providers[0].AllowLoopbackHTTP = "http://10.0.0.1", true
		}, "want https"},
		"an authority with a path":       {func(c *Config) { c.Providers[0].Authority = global + "/common" }, "nothing else"},
		"an authority with userinfo":     {func(c *Config) { c.Providers[0].Authority = "https://x@login.microsoftonline.com" }, "nothing else"},
		"skew over 300 s":                {func(c *Config) { c.Skew = 301 * time.Second }, "skew"},
		"skew below zero":                {func(c *Config) { c.Skew = -time.Second }, "skew"},
		"skew of a fraction":             {func(c *Config) { c.Skew = 1500 * time.Millisecond }, "skew"},
		"a negative timeout":             {func(c *Config) { c.HTTPTimeout = -1 }, "HTTP timeout"},
		"v1 where its issuer is unknown": {func(c *Config) { c.Providers[0].AcceptV1, c.Providers[0].Authority = true, "https://login.example" }, "v1"},
		"B2C without policies":           {func(c *Config) { c.Providers[0].Kind = B2C }, "policies: none"},
		"policies outside B2C":           {func(c *Config) { c.Providers[0].Policies = []string{"p"} }, "only B2C"},
		"a policy that is a path":        {func(c *Config) { c.Providers[0].Kind, c.Providers[0].Policies = B2C, []string{"../x"} }, "user flow"},
		"External ID without an issuer":  {func(c *Config) { c.Providers[0].Kind, c.Providers[0].Authority = ExternalID, "https://id.example" }, "issuer"},
		"an issuer without the tenant":   {func(c *Config) { c.Providers[0].Issuer = global + "/v2.0" }, "{tenantid}"},
		"an issuer over http":            {func(c *Config) { c.Providers[0].Issuer = "http://x/{tenantid}" }, "https"},
		"a bad metadata base":            {func(c *Config) { c.Providers[0].MetadataBase = "ftp://x" }, "metadata base"},
		"an app id that is no GUID":      {func(c *Config) { c.Providers[0].AppID = "x" }, "app id"},
		"two providers of one issuer":    {func(c *Config) { c.Providers = append(c.Providers, c.Providers[0]) }, "same issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := base()
			tc.change(&cfg)
			v, err := NewVerifier(cfg, slog.New(slog.DiscardHandler))
			if err == nil || v != nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := NewVerifier(base(), nil); err == nil {
		t.Error("no logger was accepted")
	}
	if _, err := NewVerifier(Config{Skew: time.Hour}, slog.New(slog.DiscardHandler)); err == nil ||
		!strings.Contains(err.Error(), "skew") || !strings.Contains(err.Error(), "no provider") {
		t.Errorf("not all problems are told: %v", err)
	}
}

func TestProvidersPinTheirIssuers(t *testing.T) {
	for name, tc := range map[string]struct {
		provider         Provider
		v2, v1, metadata string // {t} stands for the tenant
	}{
		"global": {
			provider: Provider{Kind: Entra, Authority: global + "/", AcceptV1: true},
			v2:       global + "/{t}/v2.0", v1: "https://sts.windows.net/{t}/",
			metadata: global + "/{t}/v2.0/.well-known/openid-configuration",
		},
		"US government": {
			provider: Provider{Kind: Entra, Authority: "https://login.microsoftonline.us"},
			v2:       "https://login.microsoftonline.us/{t}/v2.0", v1: "https://sts.windows.net/{t}/",
			metadata: "https://login.microsoftonline.us/{t}/v2.0/.well-known/openid-configuration",
		},
		"China": {
			provider: Provider{Kind: Entra, Authority: "https://LOGIN.partner.microsoftonline.cn"},
			v2:       "https://login.partner.microsoftonline.cn/{t}/v2.0", v1: "https://sts.chinacloudapi.cn/{t}/",
			metadata: "https://login.partner.microsoftonline.cn/{t}/v2.0/.well-known/openid-configuration",
		},
		"External ID": {
			provider: Provider{Kind: ExternalID, Authority: ciam},
			v2:       "https://{t}.ciamlogin.com/{t}/v2.0",
			metadata: ciam + "/{t}/v2.0/.well-known/openid-configuration",
		},
		"External ID behind an own domain": {
			provider: Provider{Kind: ExternalID, Authority: "https://id.example", Issuer: "https://{tenantid}.ciamlogin.com/{tenantid}/v2.0"},
			v2:       "https://{t}.ciamlogin.com/{t}/v2.0",
			metadata: "https://id.example/{t}/v2.0/.well-known/openid-configuration",
		},
		"B2C": {
			provider: Provider{Kind: B2C, Authority: "https://contoso.b2clogin.com", Policies: []string{"B2C_1_in"}},
			v2:       "https://contoso.b2clogin.com/{t}/v2.0/",
			metadata: "https://contoso.b2clogin.com/{t}/B2C_1_in/v2.0/.well-known/openid-configuration",
		},
		"development on this machine": {
			provider: Provider{Kind: Entra, Authority: "http://127.0.0.1:7303", AllowLoopbackHTTP: true, AcceptV1: true},
			v2:       "http://127.0.0.1:7303/{t}/v2.0", v1: "http://127.0.0.1:7303/{t}/",
			metadata: "http://127.0.0.1:7303/{t}/v2.0/.well-known/openid-configuration",
		},
		"one application's keys": {
			provider: Provider{Kind: Entra, Authority: global, AppID: client},
			v2:       global + "/{t}/v2.0", v1: "https://sts.windows.net/{t}/",
			metadata: global + "/{t}/v2.0/.well-known/openid-configuration?appid=" + client,
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.provider.Tenants = []string{strings.ToUpper(tenantT)}
			v, err := NewVerifier(Config{Providers: []Provider{tc.provider}}, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			fill := func(s string) string { return strings.ReplaceAll(s, "{t}", tenantT) }
			got := v.registry.Load().tenants[tenantT][0]
			if got.issuerV2 != fill(tc.v2) || got.issuerV1 != fill(tc.v1) || got.source().metadata != fill(tc.metadata) {
				t.Errorf("got %q, %q, %q", got.issuerV2, got.issuerV1, got.source().metadata)
			}
			if got.v1 != nil && got.v1.metadata != strings.Replace(fill(tc.metadata), "/v2.0/", "/", 1) {
				t.Errorf("v1 metadata %q", got.v1.metadata)
			}
		})
	}
}

// source is the first document of t.
func (t *tenant) source() *source { return t.sources()[0] }

func TestKindsAreReadAsTheyAreWritten(t *testing.T) {
	for _, k := range []Kind{Entra, ExternalID, B2C, OIDC} {
		if got, err := ParseKind(k.String()); err != nil || got != k {
			t.Errorf("%v: %v, %v", k, got, err)
		}
	}
	for _, s := range []string{"", "unset", "Entra", "OIDC"} {
		if _, err := ParseKind(s); err == nil {
			t.Errorf("%q was read", s)
		}
	}
	if Kind(99).String() != "unknown" {
		t.Error("a kind that is none has a name")
	}
}
