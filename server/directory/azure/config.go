package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"

	"github.com/verdict-authz/verdict/server/directory"
	"github.com/verdict-authz/verdict/server/directory/graph"
)

// Kind is how verdict proves itself to Entra.
type Kind string

// The kinds, best first: the first two need no secret that somebody keeps.
const (
	WorkloadIdentity Kind = "workload-identity"
	ManagedIdentity  Kind = "managed-identity"
	Certificate      Kind = "certificate"
	Secret           Kind = "secret"
)

// Config says which credential.
type Config struct {
	Kind     Kind
	Cloud    string // global, usgov or china; "" means global
	TenantID string // the home tenant of the application or identity
	// AlsoTenants are tenants beside it in which the application is registered too. A managed identity has none.
	AlsoTenants []string
	// ClientID is the application's; for a managed identity that of a user-assigned one, "" for the system-assigned one.
	ClientID string

	CertificateFile         string // PEM or PKCS #12, with its private key
	CertificatePasswordFile string // "" means the key is not encrypted
	SecretFile              string
	// Stored gives the client secret, or the certificate with its private key, in place of its file. It may give another at any
	// time, and answers at once as a rule. Its errors hold nothing of the secret.
	Stored    func(ctx context.Context) ([]byte, error)
	TokenFile string // of a workload identity; "" means $AZURE_FEDERATED_TOKEN_FILE

	// Authority takes the place of the cloud's, for a test server: https.
	Authority string
	Client    *http.Client // nil means the library's own
	Now       func() time.Time
}

// clouds holds where tokens come from.
var clouds = map[string]cloud.Configuration{
	"global": cloud.AzurePublic,
	"usgov":  cloud.AzureGovernment,
	"china":  cloud.AzureChina,
}

// scopes holds what they are asked for: all that the application was granted at Graph.
var scopes = map[string]string{
	"global": "https://graph.microsoft.com/.default",
	"usgov":  "https://graph.microsoft.us/.default",
	"china":  "https://microsoftgraph.chinacloudapi.cn/.default",
}

// complete fills in the defaults and reports all that is wrong. Half a setting is wrong, and so is one of another kind.
func (c Config) complete() (Config, error) {
	var err error
	if c.Cloud == "" {
		c.Cloud = "global"
	}
	if _, known := graph.BaseURLs[c.Cloud]; !known {
		err = errors.Join(err, fmt.Errorf("azure: unknown cloud %q; there are global, usgov and china", c.Cloud))
	}
	for _, t := range append([]string{c.TenantID}, c.AlsoTenants...) {
		if !directory.IsGUID(t) {
			err = errors.Join(err, fmt.Errorf("azure: tenant %q is not a GUID, lower case with hyphens", t))
		}
	}
	needs := func(kinds []Kind, name, value string, required bool) {
		switch mine := slices.Contains(kinds, c.Kind); {
		case mine && required && value == "":
			err = errors.Join(err, fmt.Errorf("azure: a %s needs %s", c.Kind, name))
		case !mine && value != "":
			err = errors.Join(err, fmt.Errorf("azure: %s is not for a %s", name, c.Kind))
		}
	}
	switch c.Kind {
	case WorkloadIdentity, ManagedIdentity, Certificate, Secret:
		if c.Kind != ManagedIdentity {
			needs([]Kind{c.Kind}, "a client id", c.ClientID, true)
		} else if len(c.AlsoTenants) > 0 {
			err = errors.Join(err, errors.New("azure: a managed identity serves one tenant"))
		}
		needs([]Kind{Certificate}, "a certificate file", c.CertificateFile, c.Stored == nil)
		needs([]Kind{Certificate}, "a certificate password file", c.CertificatePasswordFile, false)
		needs([]Kind{Secret}, "a secret file", c.SecretFile, c.Stored == nil)
		needs([]Kind{WorkloadIdentity}, "a token file", c.TokenFile, false)
		err = errors.Join(err, c.checkStored())
	default:
		err = errors.Join(err, fmt.Errorf("azure: unknown kind of credential %q; there are %s, %s, %s and %s",
			c.Kind, WorkloadIdentity, ManagedIdentity, Certificate, Secret))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, err
}

// checkStored says what is wrong with a secret that is kept elsewhere.
func (c *Config) checkStored() error {
	switch {
	case c.Stored == nil:
		return nil
	case c.Kind != Certificate && c.Kind != Secret:
		return fmt.Errorf("azure: a stored secret is not for a %s", c.Kind)
	case c.CertificateFile != "" || c.SecretFile != "":
		return errors.New("azure: a file and a stored secret: give one of them")
	}
	return nil
}
