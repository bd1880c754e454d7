package entra

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

var discard = slog.New(slog.DiscardHandler)

const globalName = "entra login.microsoftonline.com"

func ofX(f *forgery) { f.claims["tid"], f.claims["iss"] = tenantX, issuerOf(tenantX) }

// publishX serves the documents of a tenant that is not configured.
func publishX(w *world, _ *Config) {
	w.publish("/"+tenantX, issuerOf(tenantX), published(kidOne, keyOne(), templated))
}

func TestTenantsComeAndGoWithoutRestart(t *testing.T) {
	w := warm(t, publishX)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	w.mustRefuse(t, forge(ofX), policy.TenantNotAllowed)
	before := w.hitsOf(keysT)
	if err := w.SetTenants(globalName, []string{tenantT, strings.ToUpper(tenantX)}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Tenants(globalName); err != nil || !slices.Equal(got, []string{tenantT, tenantX}) {
		t.Errorf("tenants %v, %v", got, err)
	}
	w.mustPass(t, forge(ofX)) // by the refresh of Run, or its own
	w.mustRefuse(t, forge(set("tid", tenantT2), set("iss", issuerOf(tenantT2))), policy.TenantNotAllowed)
	w.mustPass(t, good())
	if n := w.hitsOf(keysT) - before; n != 0 {
		t.Errorf("the tenant that stayed was fetched %d times", n)
	}
	for range 200 { // Run has found the new one by then
		if w.Stats()[1].Refreshes > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if all := w.Status(); len(all) != 2 || all[1].Tenant != tenantX || all[1].Keys != 1 {
		t.Errorf("status %+v", all)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTenantsThatCannotBeMeantChangeNothing(t *testing.T) {
	w := warm(t, func(w *world, cfg *Config) {
		before := cfg.Providers
		generic(nil)(w, cfg)
		cfg.Providers = append(before, cfg.Providers...)
		publishX(w, cfg)
		cfg.Providers = append(cfg.Providers, Provider{
			Kind: Entra, Name: "second", Authority: global, Tenants: []string{tenantX}, MetadataBase: w.server.URL, AllowLoopbackHTTP: true,
		})
	})
	for name, tc := range map[string]struct {
		provider string
		tenants  []string
		want     string
	}{
		"none":                            {globalName, nil, "tenants: none"},
		"a name":                          {globalName, []string{"contoso"}, "tenants: "},
		"one twice":                       {globalName, []string{tenantT, strings.ToUpper(tenantT)}, "twice"},
		"a provider of nobody":            {"nobody", []string{tenantT}, "none of that name"},
		"an OIDC provider":                {"other", []string{tenantT}, "an OIDC provider has none"},
		"a tenant that another has":       {globalName, []string{tenantT, tenantX}, "same issuer"},
		"a tenant of the first in second": {"second", []string{tenantT}, "same issuer"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := w.SetTenants(tc.provider, tc.tenants); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "provider ") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			w.mustPass(t, good())
			w.mustPass(t, forge(set("tid", tenantT2), set("iss", issuerOf(tenantT2))))
		})
	}
}

// Readers see the old tenants or the new ones, and never wait.
func TestReadersNeverWaitForAChange(t *testing.T) {
	w := warm(t, publishX)
	if err := w.SetTenants(globalName, []string{tenantT, tenantX}); err != nil {
		t.Fatal(err)
	}
	w.mustPass(t, forge(ofX))
	token, other := good(), forge(ofX)
	var wg sync.WaitGroup
	var stop atomic.Bool
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				if _, r := w.ask(token); !r.OK() {
					t.Errorf("the tenant that stays was refused: %v", r)
					return
				}
				if _, r := w.ask(other); !r.OK() && r.Reason != policy.TenantNotAllowed && r.Reason != policy.KeysUnavailable {
					t.Errorf("refused for %v", r)
					return
				}
			}
		})
	}
	for i := range 200 {
		list := []string{tenantT}
		if i%2 == 0 {
			list = append(list, tenantX)
		}
		if err := w.SetTenants(globalName, list); err != nil {
			t.Error(err)
		}
	}
	stop.Store(true)
	wg.Wait()
}

func TestProbeTellsBeforeATenantIsAdded(t *testing.T) {
	w := newWorld(t, func(w *world, cfg *Config) {
		publishX(w, cfg)
		cfg.CacheDir = t.TempDir()
	})
	if err := w.Probe(t.Context(), globalName, tenantX); err != nil {
		t.Errorf("a good tenant: %v", err)
	}
	w.discovery("/"+tenantX+"/v2.0/.well-known/openid-configuration", issuerOf(tenantT), "/"+tenantX+"/discovery/v2.0/keys")
	if err := w.Probe(t.Context(), globalName, tenantX); !isIssuerError(err) || !strings.Contains(err.Error(), "issuer: ") {
		t.Errorf("another issuer: %v", err)
	}
	for _, tc := range [][2]string{{globalName, "x"}, {globalName, msa}, {"nobody", tenantX}} {
		if err := w.Probe(t.Context(), tc[0], tc[1]); err == nil {
			t.Errorf("%v passed", tc)
		}
	}
	if len(w.Status()) != 2 || len(cacheFiles(t, w.cfg.CacheDir)) != 0 {
		t.Error("a probe left something")
	}
	g := newWorld(t, generic(nil))
	if err := g.Probe(t.Context(), "other", ""); err != nil {
		t.Error(err)
	}
	b := newWorld(t, withB2C)
	if err := b.Probe(t.Context(), "b2c contoso.b2clogin.com", tenantT); err != nil {
		t.Error(err)
	}
}

func TestDenyListRefusesWhatIsNoKeyID(t *testing.T) {
	w := warm(t, nil)
	if err := w.DenyKeys([]string{"K9", kidOne}); err != nil {
		t.Fatal(err)
	}
	for _, kid := range []string{"", "a b", strings.Repeat("k", 257)} {
		if err := w.DenyKeys([]string{kid}); err == nil {
			t.Errorf("%q was taken", kid)
		}
	}
	if got := w.DeniedKeys(); !slices.Equal(got, []string{kidOne, "K9"}) {
		t.Errorf("the list is %v", got)
	}
}

// What was asked for before a purge is not published after it.
func TestAPurgeBeatsARefreshUnderWay(t *testing.T) {
	w := warm(t, func(_ *world, cfg *Config) { cfg.StrictRemoval = true })
	arrived, release := make(chan struct{}), make(chan struct{})
	old := w.docs[keysT]
	var once sync.Once
	w.handle(keysT, func(rw http.ResponseWriter, r *http.Request) {
		first := false
		once.Do(func() { first = true })
		if first {
			close(arrived)
			<-release
			old(rw, r)
			return
		}
		answer(mustJSON(object{"keys": []object{published("K2", keyTwo(), templated)}}))(rw, r)
	})
	done := make(chan error)
	go func() { done <- w.Refresh(context.Background()) }()
	<-arrived
	if err := w.Purge(tenantT); err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.mustRefuse(t, good(), policy.KeyUnknown)
	w.mustPass(t, forge(hdr("kid", "K2"), by(keyTwo())))
}

func TestStatsCountByTenant(t *testing.T) {
	w := warm(t, withV1)
	for i := range 3 {
		w.mustRefuse(t, forge(hdr("kid", fmt.Sprintf("new%d", min(i, 1)))), policy.KeyUnknown)
	}
	w.at(time.Minute)
	st := w.statsOf(t)
	// Two documents at the start, one more refresh for the first unknown key; the second of it is known to be unknown
	// only after a refresh that did not come.
	want := KeyStats{Provider: globalName, Tenant: tenantT, AgeSeconds: 60, Refreshes: 3, UnknownKids: 3}
	if st.NegativeHits > 1 {
		t.Errorf("%d negative hits", st.NegativeHits)
	}
	st.NegativeHits = 0
	if st != want {
		t.Errorf("got %+v, want %+v", st, want)
	}
	if all := w.Stats(); len(all) != 2 || all[0].Tenant != tenantT || all[1].Tenant != tenantT2 {
		t.Errorf("stats %+v", all)
	}
}

// An issuer inside a company has a certificate that the company signed.
func TestTheProvidersOwnAuthoritiesAreTrusted(t *testing.T) {
	var base string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/keys" {
			answer(mustJSON(object{"keys": []object{published(kidOne, keyOne(), nil)}}))(rw, r)
			return
		}
		answer(mustJSON(object{"issuer": base, "jwks_uri": base + "/keys"}))(rw, r)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(discard.Handler(), slog.LevelError)
	server.StartTLS()
	defer server.Close()
	base = server.URL
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	for name, tc := range map[string]struct {
		roots *x509.CertPool
		ok    bool
	}{"with its certificate": {pool, true}, "without": {nil, false}} {
		t.Run(name, func(t *testing.T) {
			v, err := NewVerifier(Config{Providers: []Provider{{
				Kind: OIDC, Name: "idp", Authority: base, RootCAs: tc.roots, AllowLoopbackHTTP: true,
			}}}, discard)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Refresh(t.Context()); (err == nil) != tc.ok {
				t.Errorf("Refresh: %v", err)
			}
		})
	}
}
