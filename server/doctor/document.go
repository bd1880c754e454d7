package doctor

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/verdict-authz/verdict/server/entra"
)

const (
	maxBody        = 512 << 10 // bytes of a document, as the verifier's
	maxRedirects   = 3
	defaultTimeout = 5 * time.Second
	tenantPlace    = "{tenantid}"
)

// document is the metadata of one tenant and token version with its keys, as this machine sees them.
type document struct {
	tenant string
	v1     bool
	url    string // of the OpenID configuration

	status entra.KeyStatus // what the verifier made of it

	err     error // of fetching the configuration
	issuer  string
	cloud   string
	jwksURI string
	clock   time.Duration // the authority's clock minus ours
	timed   bool          // clock is known

	keysErr error // of fetching the keys
	keys    map[string]*publishedKey
	cached  time.Duration // how long a cache on the way has held the keys
	newest  time.Time     // start of the newest key's certificate; zero: unknown
}

// publishedKey is a key as its document has it.
type publishedKey struct {
	public *rsa.PublicKey // nil: not an RSA key that can be read
	issuer string
	cloud  string
}

// documents are those that the verifier fetches, in its order.
func (d *Doctor) documents() []*document {
	base := d.provider.Authority
	if d.provider.MetadataBase != "" {
		base = d.provider.MetadataBase
	}
	var docs []*document
	for _, st := range d.verifier.Status() {
		u := base + "/" + st.Tenant
		if !st.V1 {
			u += "/v2.0"
		}
		u += "/.well-known/openid-configuration"
		if d.provider.AppID != "" {
			u += "?appid=" + d.provider.AppID
		}
		docs = append(docs, &document{tenant: st.Tenant, v1: st.V1, url: u, status: st})
	}
	return docs
}

// newClient makes a client that stays on its host and uses no proxy, as the verifier's.
func newClient(cfg entra.Config) *http.Client {
	timeout := cfg.HTTPTimeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	transport := cfg.Transport
	if transport == nil {
		transport = &http.Transport{ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10}
	}
	return &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: func(req *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		if req.URL.Scheme != via[0].URL.Scheme || req.URL.Host != via[0].URL.Host {
			return errors.New("a redirect leaves the host")
		}
		return nil
	}}
}

// fetch gets the configuration and the keys.
func (doc *document) fetch(ctx context.Context, d *Doctor) {
	var meta struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
		Cloud   string `json:"cloud_instance_name"`
	}
	began := d.now()
	body, header, err := d.get(ctx, doc.url)
	if at, dateErr := http.ParseTime(header.Get("Date")); dateErr == nil {
		middle := began.Add(d.now().Sub(began) / 2)
		doc.clock, doc.timed = at.Sub(middle.Truncate(time.Second)), true
	}
	if err == nil && json.Unmarshal(body, &meta) != nil {
		err = errors.New("the answer is not the JSON of an OpenID configuration")
	}
	if err != nil {
		doc.err = err
		return
	}
	doc.issuer, doc.jwksURI, doc.cloud = meta.Issuer, meta.JWKSURI, meta.Cloud
	if doc.status.Keys == 0 && !sameOrigin(doc.jwksURI, doc.url) {
		doc.keysErr = errors.New("jwks_uri is on another host")
		return
	}
	body, header, err = d.get(ctx, doc.jwksURI)
	if err != nil {
		doc.keysErr = err
		return
	}
	if seconds, ageErr := strconv.ParseUint(header.Get("Age"), 10, 31); ageErr == nil {
		doc.cached = time.Duration(seconds) * time.Second
	}
	doc.keysErr = doc.readKeys(body)
}

// get fetches an address; header is never nil.
func (d *Doctor) get(ctx context.Context, address string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, http.Header{}, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := d.client.Do(req)
	if err != nil {
		return nil, http.Header{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, resp.Header, fmt.Errorf("the answer is %s", strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))))
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = fmt.Errorf("the answer is longer than %d bytes", maxBody)
	}
	return body, resp.Header, err
}

func sameOrigin(a, b string) bool {
	u, errU := url.Parse(a)
	v, errV := url.Parse(b)
	return errU == nil && errV == nil && u.Scheme == v.Scheme && u.Host == v.Host
}

// readKeys reads a key document. What cannot be read is left to the verifier to refuse.
func (doc *document) readKeys(body []byte) error {
	var set struct {
		Keys []jsontext.Value `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return errors.New("the answer is not the JSON of a key document")
	}
	doc.keys = make(map[string]*publishedKey, len(set.Keys))
	for _, raw := range set.Keys {
		var k struct {
			KID    string   `json:"kid"`
			N      string   `json:"n"`
			E      string   `json:"e"`
			X5C    []string `json:"x5c"`
			Issuer string   `json:"issuer"`
			Cloud  string   `json:"cloud_instance_name"`
		}
		if json.Unmarshal(raw, &k) != nil || k.KID == "" {
			continue
		}
		key := &publishedKey{issuer: k.Issuer, cloud: k.Cloud}
		n, errN := base64.RawURLEncoding.DecodeString(k.N)
		e, errE := base64.RawURLEncoding.DecodeString(k.E)
		if errN == nil && errE == nil && len(n) > 0 && len(e) > 0 && len(e) <= 4 {
			key.public = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
		}
		doc.keys[k.KID] = key
		if len(k.X5C) > 0 {
			if der, err := base64.StdEncoding.DecodeString(k.X5C[0]); err == nil {
				if cert, err := x509.ParseCertificate(der); err == nil && cert.NotBefore.After(doc.newest) {
					doc.newest = cert.NotBefore.UTC()
				}
			}
		}
	}
	return nil
}
