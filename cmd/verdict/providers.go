package main

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/verdict-authz/verdict/server/entra"
)

// clouds are the authorities of Microsoft's clouds, so that nobody has to type them.
var clouds = map[string]string{
	"global":        "https://login.microsoftonline.com",
	"us-government": "https://login.microsoftonline.us",
	"china":         "https://login.partner.microsoftonline.cn",
}

// loadProviders reads the file of --providers-file, which docs/providers.md describes. Its error has every problem, each
// with the place in the file.
func loadProviders(file string) ([]entra.Provider, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--providers-file: %w", err)
	}
	providers, err := parseProviders(content, filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("--providers-file: %s: %w", file, err)
	}
	return providers, nil
}

// parseProviders reads the content of such a file. Names of other files in it start from folder.
func parseProviders(content []byte, folder string) ([]entra.Provider, error) {
	text, err := yaml.YAMLToJSONStrict(content) // refuses a key that is there twice, and names the line
	if err != nil {
		return nil, err
	}
	var document any
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	d := &decoder{}
	var items []any
	d.object("", document, map[string]reader{"providers": d.list(&items)})
	if len(items) == 0 && len(d.problems) == 0 {
		d.bad("providers", "none; no token could be accepted")
	}
	providers := make([]entra.Provider, 0, len(items))
	named := map[string]string{}
	for i, item := range items {
		place := fmt.Sprintf("providers[%d]", i)
		before := len(d.problems)
		p := d.provider(place, item, folder)
		if other := named[p.Name]; other != "" && p.Name != "" {
			d.bad(place+".name", "%q is the name of %s too", p.Name, other)
		}
		named[p.Name] = place
		if len(d.problems) == before { // else what follows from a field that could not be read would be told too
			if err := p.Validate(); err != nil {
				d.bad(place, "%v", err)
			}
		}
		providers = append(providers, p)
	}
	if err := errors.Join(d.problems...); err != nil {
		return nil, err
	}
	return providers, nil
}

// provider reads one item of the list.
func (d *decoder) provider(place string, item any, folder string) entra.Provider {
	var p entra.Provider
	var kind, cloud, profile, caFile string
	var networks []string
	d.object(place, item, map[string]reader{
		"name": d.text(&p.Name), "kind": d.text(&kind), "cloud": d.text(&cloud), "authority": d.text(&p.Authority),
		"tenants": d.texts(&p.Tenants), "policies": d.texts(&p.Policies), "issuer": d.text(&p.Issuer),
		"app_id": d.text(&p.AppID), "metadata_base": d.text(&p.MetadataBase), "accept_v1": d.flag(&p.AcceptV1),
		"allow_missing_idtyp": d.flag(&p.AllowMissingIDType), "allow_loopback_http": d.flag(&p.AllowLoopbackHTTP),
		"private_networks": d.texts(&networks), "ca_file": d.text(&caFile),
		"profile": d.text(&profile), "algorithms": d.texts(&p.Algorithms), "accept_id_tokens": d.flag(&p.AcceptIDTokens),
		"key_hosts": d.texts(&p.KeyHosts), "claims": func(place string, v any) { d.claims(place, v, &p.Claims) },
	})
	var err error
	if p.Kind, err = entra.ParseKind(kind); err != nil {
		d.bad(place+".kind", "%v", err)
	}
	if p.Profile, err = entra.ParseProfile(profile); err != nil {
		d.bad(place+".profile", "%v", err)
	}
	switch authority, known := clouds[cloud]; {
	case cloud == "":
	case !known:
		d.bad(place+".cloud", "want global, us-government or china, got %q", cloud)
	case p.Authority != "" || p.Kind != entra.Entra:
		d.bad(place+".cloud", "only for kind entra, and not beside authority")
	default:
		p.Authority = authority
	}
	for i, text := range networks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			d.bad(fmt.Sprintf("%s.private_networks[%d]", place, i), "%q is not a network such as 10.20.0.0/16", text)
			continue
		}
		p.PrivateNetworks = append(p.PrivateNetworks, network)
	}
	if caFile != "" {
		p.RootCAs = d.certificates(place+".ca_file", caFile, folder)
	}
	return p
}

// claims reads a mapping.
func (d *decoder) claims(place string, v any, m *entra.Mapping) {
	var form string
	d.object(place, v, map[string]reader{
		"subject": d.text(&m.Subject), "client": d.text(&m.Client), "groups": d.text(&m.Groups), "groups_form": d.text(&form),
		"scopes": d.text(&m.Scopes), "roles": d.text(&m.Roles), "name": d.text(&m.Name), "username": d.text(&m.Username),
		"audience": d.text(&m.Audience), "app": d.text(&m.App), "confidential": d.text(&m.Confidential), "require": d.text(&m.Require),
	})
	var err error
	if m.GroupsForm, err = entra.ParseGroupsForm(form); err != nil {
		d.bad(place+".groups_form", "%v", err)
	}
}

// certificates reads the authorities that sign an issuer's TLS certificate.
func (d *decoder) certificates(place, file, folder string) *x509.CertPool {
	if !filepath.IsAbs(file) {
		file = filepath.Join(folder, file)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		d.bad(place, "%v", err)
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		d.bad(place, "%s holds no certificate in PEM", file)
		return nil
	}
	return pool
}
