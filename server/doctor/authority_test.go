package doctor_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/doctor"
	"github.com/verdict-authz/verdict/server/entra"
)

// What can be wrong between here and the authority is named by its step.
func TestTheAuthorityIsExamined(t *testing.T) {
	unreachable := func() *http.Response { return nil }
	_, foreign := discovery(tenant, "/v2.0", issuerOf(second))
	elsewhere := mustJSON(object{"issuer": issuerOf(tenant), "jwks_uri": "https://evil.test/" + tenant + "/discovery/v2.0/keys"})
	small := mustJSON(object{"keys": []object{published(kid, object{"n": "AQAB"})}})
	good := mustJSON(object{"keys": []object{published(kid, nil)}})
	for name, tc := range map[string]struct {
		change func(*world)
		config func(*doctor.Config)
		step   string
		status doctor.Status
		says   string
	}{
		"all is well":        {step: "keys", status: doctor.OK, says: "1 usable key"},
		"the host is away":   {change: func(w *world) { w.docs[discoveryPath] = unreachable }, step: "discovery", status: doctor.Fail, says: "no such host"},
		"an unknown tenant":  {change: func(w *world) { w.docs[discoveryPath] = status(http.StatusBadRequest) }, step: "discovery", status: doctor.Fail, says: "the answer is 400 Bad Request"},
		"a web page":         {change: func(w *world) { w.docs[discoveryPath] = answer("<html>") }, step: "discovery", status: doctor.Fail, says: "not the JSON"},
		"another issuer":     {change: func(w *world) { w.docs[discoveryPath] = answer(foreign) }, step: "issuer", status: doctor.Fail, says: "instead of " + issuerOf(tenant)},
		"keys elsewhere":     {change: func(w *world) { w.docs[discoveryPath] = answer(elsewhere) }, step: "keys", status: doctor.Fail, says: "host that is not pinned"},
		"no keys":            {change: func(w *world) { w.docs[keysPath] = answer(`{"keys":[]}`) }, step: "keys", status: doctor.Fail, says: "no usable key"},
		"keys too small":     {change: func(w *world) { w.docs[keysPath] = answer(small) }, step: "keys", status: doctor.Fail, says: "no usable key"},
		"keys away":          {change: func(w *world) { w.docs[keysPath] = status(http.StatusServiceUnavailable) }, step: "keys", status: doctor.Fail, says: "503"},
		"an old copy":        {change: func(w *world) { w.docs[keysPath] = answer(good, "Age", "7200") }, step: "key-age", status: doctor.Warn, says: "2h0m0s"},
		"a clock a bit off":  {change: func(w *world) { w.off = 30 * time.Second }, step: "clock", status: doctor.OK, says: "30s behind"},
		"a clock off":        {change: func(w *world) { w.off = -61 * time.Second }, step: "clock", status: doctor.Warn, says: "1m1s ahead"},
		"a clock far off":    {change: func(w *world) { w.off = 301 * time.Second }, step: "clock", status: doctor.Fail, says: "5m1s behind"},
		"no date":            {change: func(w *world) { w.undate = true }, step: "clock", status: doctor.Skipped},
		"v1 keys too":        {config: func(c *doctor.Config) { c.Entra.Providers[0].AcceptV1 = true }, step: "keys", status: doctor.OK},
		"v1 of another name": {change: func(w *world) { p, b := discovery(tenant, "", v1Issuer(second)); w.docs[p] = answer(b) }, config: func(c *doctor.Config) { c.Entra.Providers[0].AcceptV1 = true }, step: "keys", status: doctor.Fail, says: "discovery names another"},
		"an App ID URI where v2 tokens are taken": {config: func(c *doctor.Config) { c.Audiences = []string{"api://orders"} }, step: "settings", status: doctor.Warn, says: "not a client id"},
		"the audience of Graph":                   {config: func(c *doctor.Config) { c.Audiences = []string{"https://graph.microsoft.com"} }, step: "settings", status: doctor.Warn, says: "Microsoft Graph"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			if tc.change != nil {
				tc.change(w)
			}
			cfg := w.config()
			if tc.config != nil {
				tc.config(&cfg)
			}
			r := examine(t, cfg)
			s := step(t, r, tc.step)
			if s.Status != tc.status || !strings.Contains(s.Found+s.Cause, tc.says) {
				t.Errorf("%+v", s)
			}
			if s.Status > doctor.OK && (s.Cause == "" || s.Fix == "") {
				t.Errorf("no cause or no fix: %+v", s)
			}
			if (r.Result == doctor.Fail) != (tc.status == doctor.Fail) {
				t.Errorf("the result is %s:\n%s", r.Result, told(t, r))
			}
			if r.Reason != "" {
				t.Errorf("a reason without a token: %s", r.Reason)
			}
			for _, hit := range w.hits {
				if !strings.HasPrefix(hit, authority+"/") {
					t.Errorf("went to %s", hit)
				}
			}
		})
	}
}

// Keys that cannot be had are no fault of the token, and the token is not called good either.
func TestWithoutKeysNothingIsGood(t *testing.T) {
	w := newWorld()
	w.docs[keysPath] = func() *http.Response { return nil }
	r := examine(t, w.config(), forge())
	if r.Result != doctor.Fail || r.Reason != "KEYS_UNAVAILABLE" || step(t, r, "signature").Status != doctor.Skipped {
		t.Errorf("%s", told(t, r))
	}
}

// A key that a cache on the way does not have yet is called stale.
func TestAStaleCopyIsNamed(t *testing.T) {
	w := newWorld()
	w.docs[keysPath] = answer(mustJSON(object{"keys": []object{published(kid, nil)}}), "Age", "600")
	if s := step(t, examine(t, w.config(), forge(hdr("kid", "kid-New"))), "key"); s.Status != doctor.Fail || !strings.Contains(s.Cause, "stale keys") {
		t.Errorf("%+v", s)
	}
}

func TestWhatCannotBeExaminedIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*doctor.Config)
		says   string
	}{
		"no audience":              {func(c *doctor.Config) { c.Audiences = nil }, "no audience"},
		"an audience with a space": {func(c *doctor.Config) { c.Audiences = []string{"x "} }, "a space around it"},
		"no tenant":                {func(c *doctor.Config) { c.Entra.Providers[0].Tenants = nil }, "none given"},
		"a tenant by name":         {func(c *doctor.Config) { c.Entra.Providers[0].Tenants = []string{"contoso"} }, "not a GUID"},
		"plain http":               {func(c *doctor.Config) { c.Entra.Providers[0].Authority = "http://login.microsoftonline.com" }, "https"},
		"another product":          {func(c *doctor.Config) { c.Entra.Providers[0].Kind = entra.ExternalID }, "kind entra"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newWorld().config()
			tc.change(&cfg)
			if _, err := doctor.New(cfg); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v", err)
			}
		})
	}
}
