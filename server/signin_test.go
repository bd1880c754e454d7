package server

import (
	"log/slog"
	"maps"
	"testing"

	"github.com/verdict-authz/verdict/server/entra"
)

func TestSignInsAreNamedAsTheVerifierNamesThem(t *testing.T) {
	const tenant, other = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
	providers := []entra.Provider{
		{Kind: entra.Entra, Authority: "https://Login.MicrosoftOnline.com/", Tenants: []string{tenant}},
		{Kind: entra.Entra, Name: "gov", Authority: "https://login.microsoftonline.us", Tenants: []string{other}},
		{Kind: entra.B2C, Authority: "https://contoso.b2clogin.com", Tenants: []string{other}, Policies: []string{"B2C_1_signin"}},
	}
	named, got := signIns(providers)
	if want := map[string]string{
		"entra login.microsoftonline.com": "https://login.microsoftonline.com", "gov": "https://login.microsoftonline.us",
	}; !maps.Equal(got, want) {
		t.Errorf("authorities %v, want %v", got, want)
	}
	if providers[0].Name != "" {
		t.Error("the caller's providers were changed")
	}
	// What it would call the provider by itself it accepts as the tenants' owner under that name.
	v, err := entra.NewVerifier(entra.Config{Providers: providers[:1]}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Tenants(named[0].Name); err != nil {
		t.Errorf("the verifier does not know %q: %v", named[0].Name, err)
	}
	if _, err := v.Tenants("none"); err == nil {
		t.Error("the verifier knows every name")
	}
}
