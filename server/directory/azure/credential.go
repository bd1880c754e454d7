package azure

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/verdict-authz/verdict/server/directory/graph"
)

const (
	// pause is how long a failure is remembered: every lookup would else ask Entra with what it has just refused.
	pause         = 5 * time.Second
	maxSecretFile = 64 << 10
)

// Credential is a graph.TokenSource. It keeps tokens until they are about to expire. It is safe for concurrent use.
type Credential struct {
	cfg Config

	mu     sync.Mutex
	made   azcore.TokenCredential // of the files as they were at stamp
	stamp  string
	failed map[string]failure // by tenant
}

// failure is the last one in a tenant.
type failure struct {
	err   error
	until time.Time
}

// New makes a credential. Files must be there and readable; nothing is asked of Entra yet.
func New(cfg Config) (*Credential, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	c := &Credential{cfg: cfg, failed: map[string]failure{}}
	if _, err := c.current(context.Background()); err != nil {
		return nil, err
	}
	return c, nil
}

// Token gives a token for Graph in a tenant.
func (c *Credential) Token(ctx context.Context, tenantID string) (graph.AccessToken, error) {
	if tenantID != c.cfg.TenantID && !slices.Contains(c.cfg.AlsoTenants, tenantID) {
		return "", fmt.Errorf("azure: the %s is not for this tenant", c.cfg.Kind)
	}
	made, err := c.current(ctx)
	if err != nil {
		return "", err
	}
	if err := c.remembered(tenantID); err != nil {
		return "", err
	}
	options := policy.TokenRequestOptions{Scopes: []string{scopes[c.cfg.Cloud]}}
	if c.cfg.Kind != ManagedIdentity { // which has no choice
		options.TenantID = tenantID
	}
	token, err := made.GetToken(ctx, options)
	if err == nil {
		return graph.AccessToken(token.Token), nil
	}
	if ctx.Err() != nil {
		return "", fmt.Errorf("azure: token by %s: %w", c.cfg.Kind, ctx.Err())
	}
	err = fmt.Errorf("azure: token by %s: %w", c.cfg.Kind, silent(err))
	c.mu.Lock()
	c.failed[tenantID] = failure{err, c.cfg.Now().Add(pause)}
	c.mu.Unlock()
	return "", err
}

// remembered is the failure of a moment ago.
func (c *Credential) remembered(tenantID string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.failed[tenantID]; ok && c.cfg.Now().Before(f.until) {
		return f.err
	}
	return nil
}

// current is the credential for the secret as it is now.
func (c *Credential) current(ctx context.Context) (azcore.TokenCredential, error) {
	var stored []byte
	if c.cfg.Stored != nil {
		var err error
		if stored, err = c.cfg.Stored(ctx); err != nil {
			return nil, fmt.Errorf("azure: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	stamp, err := c.stamps(stored)
	if err != nil {
		return nil, err
	}
	if c.made != nil && stamp == c.stamp {
		return c.made, nil
	}
	made, err := c.make(stored)
	if err != nil {
		return nil, err
	}
	c.made, c.stamp = made, stamp
	clear(c.failed)
	return made, nil
}

// stamps tells one state of the files, or of the stored secret, from another.
func (c *Credential) stamps(stored []byte) (string, error) {
	var b []byte
	if stored != nil {
		sum := sha256.Sum256(stored)
		b = append(b, sum[:]...)
	}
	for _, name := range []string{c.cfg.CertificateFile, c.cfg.CertificatePasswordFile, c.cfg.SecretFile} {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			return "", fmt.Errorf("azure: %w", err)
		}
		b = fmt.Appendf(b, "%d %d;", info.ModTime().UnixNano(), info.Size())
	}
	return string(b), nil
}

// make makes the library's credential; stored is nil when it comes from files.
func (c *Credential) make(stored []byte) (azcore.TokenCredential, error) {
	options := policy.ClientOptions{Cloud: clouds[c.cfg.Cloud]}
	own := c.cfg.Authority != "" // a test server: there is no discovering it
	if own {
		options.Cloud = cloud.Configuration{ActiveDirectoryAuthorityHost: c.cfg.Authority}
		options.Retry.MaxRetries = -1
	}
	if c.cfg.Client != nil {
		options.Transport = c.cfg.Client
	}
	tenant, id, also := c.cfg.TenantID, c.cfg.ClientID, c.cfg.AlsoTenants
	var made azcore.TokenCredential
	var err error
	switch c.cfg.Kind {
	case WorkloadIdentity:
		made, err = azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{
			ClientOptions: options, AdditionallyAllowedTenants: also, DisableInstanceDiscovery: own,
			TenantID: tenant, ClientID: id, TokenFilePath: c.cfg.TokenFile,
		})
	case ManagedIdentity:
		o := &azidentity.ManagedIdentityCredentialOptions{ClientOptions: options}
		if id != "" {
			o.ID = azidentity.ClientID(id)
		}
		made, err = azidentity.NewManagedIdentityCredential(o)
	case Certificate:
		return c.certificate(stored, &azidentity.ClientCertificateCredentialOptions{
			ClientOptions: options, AdditionallyAllowedTenants: also, DisableInstanceDiscovery: own,
		})
	case Secret:
		secret := stored
		if secret == nil {
			if secret, err = secretIn(c.cfg.SecretFile); err != nil {
				return nil, err
			}
		}
		made, err = azidentity.NewClientSecretCredential(tenant, id, string(secret), &azidentity.ClientSecretCredentialOptions{
			ClientOptions: options, AdditionallyAllowedTenants: also, DisableInstanceDiscovery: own,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("azure: %s: %w", c.cfg.Kind, silent(err))
	}
	return made, nil
}

func (c *Credential) certificate(data []byte, o *azidentity.ClientCertificateCredentialOptions) (azcore.TokenCredential, error) {
	from, err := "the stored secret", error(nil)
	if data == nil {
		from = c.cfg.CertificateFile
		if data, err = os.ReadFile(c.cfg.CertificateFile); err != nil {
			return nil, fmt.Errorf("azure: %w", err)
		}
	}
	var password []byte
	if c.cfg.CertificatePasswordFile != "" {
		if password, err = secretIn(c.cfg.CertificatePasswordFile); err != nil {
			return nil, err
		}
	}
	chain, key, err := azidentity.ParseCertificates(data, password)
	if err != nil {
		return nil, fmt.Errorf("azure: %s holds no certificate with its key, or the password is wrong", from)
	}
	made, err := azidentity.NewClientCertificateCredential(c.cfg.TenantID, c.cfg.ClientID, chain, key, o)
	if err != nil {
		return nil, fmt.Errorf("azure: certificate: %w", silent(err))
	}
	return made, nil
}

// secretIn reads a file. A line's end at its end is no part of the secret.
func secretIn(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("azure: %w", err)
	}
	b = bytes.TrimSuffix(bytes.TrimSuffix(b, []byte("\n")), []byte("\r"))
	if len(b) == 0 || len(b) > maxSecretFile {
		return nil, fmt.Errorf("azure: %s is empty or too long", file)
	}
	return b, nil
}

// entraCode is how Entra names an error.
var entraCode = regexp.MustCompile(`\bAADSTS[0-9]{4,10}\b`)

// silent keeps of an error Entra's code and the status, if there are any, and none of what was sent or came back.
func silent(err error) error {
	text := "no token"
	if code := entraCode.FindString(err.Error()); code != "" {
		text += ": " + code
	}
	var refused *azidentity.AuthenticationFailedError
	switch {
	case errors.As(err, &refused) && refused.RawResponse != nil:
		text += fmt.Sprintf(", status %d", refused.RawResponse.StatusCode)
	case text == "no token":
		text += "; the credential is not available here or Entra cannot be reached"
	}
	return errors.New(text)
}
