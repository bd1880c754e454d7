package azkv

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/verdict-authz/verdict/server/secret"
)

// Config tunes a Fetcher. The zero value is usable.
type Config struct {
	Cloud      string                 // global, usgov or china; "" means global
	Credential azcore.TokenCredential // nil means the default one of Azure's library
	Client     *http.Client           // nil means the library's own
}

// place is a cloud.
type place struct {
	suffix string // of the hosts of vaults
	cloud  cloud.Configuration
}

var places = map[string]place{
	"global": {".vault.azure.net", cloud.AzurePublic},
	"usgov":  {".vault.usgovcloudapi.net", cloud.AzureGovernment},
	"china":  {".vault.azure.cn", cloud.AzureChina},
}

// Fetcher is a secret.Fetcher. It is safe for concurrent use.
type Fetcher struct {
	place   place
	options policy.ClientOptions

	mu         sync.Mutex
	credential azcore.TokenCredential       // made with the first fetch
	clients    map[string]*azsecrets.Client // by vault
}

var _ secret.Fetcher = (*Fetcher)(nil)

// New makes a Fetcher. Nobody is asked yet.
func New(cfg Config) (*Fetcher, error) {
	if cfg.Cloud == "" {
		cfg.Cloud = "global"
	}
	where, ok := places[cfg.Cloud]
	if !ok {
		return nil, fmt.Errorf("azkv: unknown cloud %q; there are global, usgov and china", cfg.Cloud)
	}
	f := &Fetcher{place: where, credential: cfg.Credential, clients: map[string]*azsecrets.Client{}}
	f.options.Cloud = where.cloud
	if cfg.Client != nil {
		f.options.Transport = cfg.Client
	}
	return f, nil
}

// Fetch implements secret.Fetcher.
func (f *Fetcher) Fetch(ctx context.Context, ref secret.Ref) (secret.Fetched, error) {
	client, err := f.client(ref.Vault)
	if err != nil {
		return secret.Fetched{}, fmt.Errorf("%s: %w", ref, silent(err))
	}
	got, err := client.GetSecret(ctx, ref.Name, ref.Version, nil)
	switch {
	case err != nil:
		return secret.Fetched{}, fmt.Errorf("%s: %w", ref, silent(err))
	case got.Value == nil || *got.Value == "":
		return secret.Fetched{}, fmt.Errorf("%s: it is empty", ref)
	case len(*got.Value) > secret.MaxSize:
		return secret.Fetched{}, fmt.Errorf("%s: over %d bytes", ref, secret.MaxSize)
	}
	found := secret.Fetched{Value: secret.NewValue([]byte(*got.Value))}
	if got.ID != nil {
		found.Version = got.ID.Version()
	}
	if got.Attributes != nil && got.Attributes.Created != nil {
		found.Since = *got.Attributes.Created
	}
	return found, nil
}

// client is the one of a vault. What fails is tried again by the next fetch.
func (f *Fetcher) client(vault string) (*azsecrets.Client, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.credential == nil {
		made, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: f.options})
		if err != nil {
			return nil, err
		}
		f.credential = made
	}
	if f.clients[vault] == nil {
		// The library refuses a challenge that asks for a token of another domain than the vault's, and that stays so.
		made, err := azsecrets.NewClient("https://"+vault+f.place.suffix, f.credential, &azsecrets.ClientOptions{ClientOptions: f.options})
		if err != nil {
			return nil, err
		}
		f.clients[vault] = made
	}
	return f.clients[vault], nil
}

// entraCode is how Entra names an error.
var entraCode = regexp.MustCompile(`\bAADSTS[0-9]{4,10}\b`)

// silent keeps of an error the code and the status, and none of what was sent or came back: the library's text of a refusal
// is the whole answer.
func silent(err error) error {
	var refused *azcore.ResponseError
	var login *azidentity.AuthenticationFailedError
	switch {
	case errors.As(err, &login):
		text := "Entra gives no token"
		if code := entraCode.FindString(err.Error()); code != "" {
			text += ": " + code
		}
		if login.RawResponse != nil {
			text += fmt.Sprintf(", status %d", login.RawResponse.StatusCode)
		}
		return errors.New(text)
	case errors.As(err, &refused):
		return fmt.Errorf("Key Vault says %s, status %d", printable(refused.ErrorCode), refused.StatusCode) //nolint:staticcheck // ST1005: the name of a product
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("Key Vault does not answer, or there is no token: %w", context.DeadlineExceeded) //nolint:staticcheck // ST1005: the name of a product
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return errors.New("Key Vault cannot be asked: it cannot be reached, or there is no credential for it here") //nolint:staticcheck // ST1005: the name of a product
}

// code is how Key Vault names an error.
var code = regexp.MustCompile(`^[A-Za-z0-9]{1,64}$`)

func printable(s string) string {
	if !code.MatchString(s) {
		return "no code"
	}
	return s
}
