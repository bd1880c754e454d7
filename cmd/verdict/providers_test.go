package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/entra"
)

const providersTenant = "11111111-1111-4111-8111-111111111111"

func TestProvidersAreReadAsWritten(t *testing.T) {
	got, err := parseProviders([]byte(`
providers:
  - kind: entra
    cloud: us-government
    tenants: [`+providersTenant+`]
    accept_v1: true
  - name: corp
    kind: oidc
    profile: adfs
    authority: https://fs.corp.example/adfs
    private_networks: [10.20.0.0/16]
    algorithms: [RS256, ES256]
    key_hosts: [keys.corp.example]
    claims:
      groups: groupsid
      groups_form: list
      app: "!upn"
  - name: partners
    kind: external-id
    authority: https://contoso.ciamlogin.com
    tenants: [`+providersTenant+`]
`), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	want := []entra.Provider{
		{Kind: entra.Entra, Authority: "https://login.microsoftonline.us", Tenants: []string{providersTenant}, AcceptV1: true},
		{
			Name: "corp", Kind: entra.OIDC, Profile: entra.ADFS, Authority: "https://fs.corp.example/adfs",
			PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}, Algorithms: []string{"RS256", "ES256"},
			KeyHosts: []string{"keys.corp.example"},
			Claims:   entra.Mapping{Groups: "groupsid", GroupsForm: entra.GroupsList, App: "!upn"},
		},
		{Name: "partners", Kind: entra.ExternalID, Authority: "https://contoso.ciamlogin.com", Tenants: []string{providersTenant}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestProvidersFileIsReadStrictly(t *testing.T) {
	item := func(more string) string {
		return "providers:\n- kind: entra\n  cloud: global\n  tenants: [" + providersTenant + "]\n" + more
	}
	for name, tc := range map[string]struct {
		file string
		want []string // parts of the error
	}{
		"nothing":                         {"", []string{"the document: want keys and values, got nothing"}},
		"no list":                         {"providers: entra", []string{`providers: want a list, got "entra"`}},
		"an empty list":                   {"providers: []", []string{"providers: none"}},
		"not YAML":                        {"providers: [", []string{"yaml"}},
		"a key twice":                     {item("  cloud: china\n"), []string{"line 5", "cloud"}},
		"an unknown key":                  {item("  tenant: x\n"), []string{"providers[0].tenant: unknown key; did you mean tenants?"}},
		"an unknown key at the top":       {item("tenants: []\n"), []string{"tenants: unknown key; there are providers"}},
		"an unknown claim":                {item("  claims: {grups: x}\n"), []string{"providers[0].claims.grups: unknown key; did you mean groups?"}},
		"a key that is like none":         {item("  zzz: x\n"), []string{"providers[0].zzz: unknown key; there are accept_id_tokens, "}},
		"a number for a text":             {item("  name: 7\n"), []string{"providers[0].name: want a text, got 7"}},
		"a tag for a text":                {item("  claims: {app: !uid }\n"), []string{"providers[0].claims.app: want a text, got an empty text"}},
		"a text for a flag":               {item("  accept_v1: \"yes\"\n"), []string{`providers[0].accept_v1: want true or false, got "yes"`}},
		"null":                            {item("  issuer:\n"), []string{"providers[0].issuer: want a text, got nothing"}},
		"a list in a list":                {item("  policies: [[a]]\n"), []string{"providers[0].policies[0]: want a text, got a list"}},
		"an unknown cloud":                {"providers:\n- {kind: entra, cloud: moon, tenants: [x]}", []string{"providers[0].cloud: want global, us-government or china"}},
		"a cloud and an authority":        {item("  authority: https://login.microsoftonline.com\n"), []string{"providers[0].cloud: only for kind entra"}},
		"an unknown kind":                 {"providers:\n- {kind: saml}", []string{"providers[0].kind: "}},
		"an unknown profile":              {item("  profile: ping\n"), []string{"providers[0].profile: "}},
		"an unknown groups form":          {item("  claims: {groups_form: csv}\n"), []string{"providers[0].claims.groups_form: "}},
		"a network that is none":          {item("  private_networks: [10.0.0.1]\n"), []string{"providers[0].private_networks[0]: "}},
		"a certificate that is not there": {item("  ca_file: nowhere.pem\n"), []string{"providers[0].ca_file: ", "nowhere.pem"}},
		"what cannot work":                {"providers:\n- {kind: entra, cloud: global}", []string{"providers[0]: ", "tenants: none given"}},
		"a name twice":                    {item("  name: a\n- {name: a, kind: b2c, authority: \"https://c.b2clogin.com\", policies: [p], tenants: [" + providersTenant + "]}\n"), []string{"providers[1].name: "}},
		"every problem at once":           {item("  nme: x\n  accept_v1: 1\n- {kind: x}\n- {kind: oidc, name: A, authority: \"https://x\"}\n"), []string{"did you mean name?", "providers[0].accept_v1", "providers[1].kind", "providers[2]: ", "name: want"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseProviders([]byte(tc.file), t.TempDir())
			if err == nil || got != nil {
				t.Fatalf("got %+v, %v", got, err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %v\nwant %q", err, part)
				}
			}
		})
	}
}

func TestProvidersFileNamesTheFlag(t *testing.T) {
	if _, err := loadProviders(filepath.Join(t.TempDir(), "none.yaml")); err == nil || !strings.Contains(err.Error(), "--providers-file") {
		t.Errorf("got %v", err)
	}
	file := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(file, []byte("providers: 1"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := loadProviders(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

// The examples of docs/providers.md are files that load.
func TestProvidersInTheDocumentationLoad(t *testing.T) {
	page, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(examples) < 8 {
		t.Fatalf("%d examples", len(examples))
	}
	for _, example := range examples {
		text := strings.ReplaceAll(example[1], "    ca_file: corp-ca.pem\n", "") // there is none
		if _, err := parseProviders([]byte(text), t.TempDir()); err != nil {
			t.Errorf("%v in\n%s", err, example[1])
		}
	}
}
