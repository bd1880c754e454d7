package entra

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

func isIssuerError(err error) bool { return errors.Is(err, ErrIssuer) }

// strictNow refreshes with strict removal, so that a document is all there is.
func (w *world) strictNow(t *testing.T) {
	t.Helper()
	w.cfg.StrictRemoval = true
	if err := w.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// cacheFiles are the files that hold keys.
func cacheFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// offline is a world that starts without network, later than another one kept its keys; change may spoil what is kept.
func offline(t *testing.T, later time.Duration, change func(dir string, cfg *Config)) *world {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	var base string
	warm(t, func(w *world, cfg *Config) {
		cfg.CacheDir, base = dir, w.server.URL
	})
	if n := len(cacheFiles(t, dir)); n != 2 {
		t.Fatalf("%d files", n)
	}
	return newWorld(t, func(w *world, cfg *Config) {
		w.now = start.Add(later)
		cfg.CacheDir, cfg.Providers[0].MetadataBase = dir, base
		cfg.Transport = roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("no network") })
		if change != nil {
			change(dir, cfg)
		}
	})
}

func TestWhatIsKeptIsCheckedLikeWhatIsFetched(t *testing.T) {
	spoil := func(change func(string) string) func(string, *Config) {
		return func(dir string, _ *Config) {
			for _, name := range cacheFiles(t, dir) {
				content, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(name, []byte(change(string(content))), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for name, tc := range map[string]struct {
		later  time.Duration
		change func(dir string, cfg *Config)
		ok     bool
	}{
		"kept now":                    {ok: true},
		"kept 24 hours":               {later: 24 * time.Hour, ok: true},
		"kept longer":                 {later: 24*time.Hour + time.Second},
		"kept a little in the future": {later: -5 * time.Minute, ok: true},
		"kept in the future":          {later: -6 * time.Minute},
		"a fresh start is wanted":     {change: func(_ string, cfg *Config) { cfg.RequireFreshStart = true }},
		"cut off":                     {change: spoil(func(s string) string { return s[:len(s)/2] })},
		"too large":                   {change: spoil(func(s string) string { return s + strings.Repeat(" ", maxCached) })},
		"of another version":          {change: spoil(func(s string) string { return strings.Replace(s, `"version":1`, `"version":2`, 1) })},
		"of another address":          {change: spoil(func(s string) string { return strings.Replace(s, "openid-configuration", "openid-configuratiom", 1) })},
		"no keys":                     {change: spoil(func(s string) string { return s[:strings.Index(s, `"keys"`)] + `"keys":"e30="}` })},
		"no configuration": {change: spoil(func(s string) string {
			return s[:strings.Index(s, `"configuration"`)] + `"configuration":"e30=",` + s[strings.Index(s, `"keys"`):]
		})},
		"a file that others may write": {change: func(dir string, _ *Config) {
			for _, name := range cacheFiles(t, dir) {
				if err := os.Chmod(name, 0o622); err != nil {
					t.Fatal(err)
				}
			}
		}},
		"a folder in place of the file": {change: func(dir string, _ *Config) {
			for _, name := range cacheFiles(t, dir) {
				if err := errors.Join(os.Remove(name), os.Mkdir(name, 0o700)); err != nil {
					t.Fatal(err)
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := offline(t, tc.later, tc.change)
			lasting := forge(set("iat", seconds(-3600)), set("nbf", seconds(-3600)), set("exp", seconds(27*3600)))
			if !tc.ok {
				w.mustRefuse(t, lasting, policy.KeysUnavailable)
				return
			}
			w.mustPass(t, lasting)
			w.mustRefuse(t, forge(by(keyRogue()), set("iat", seconds(-3600)), set("nbf", seconds(-3600)), set("exp", seconds(27*3600))), policy.SignatureInvalid)
			if !strings.Contains(w.logs.String(), "taken from disk") {
				t.Error("it is not told")
			}
		})
	}
}

func TestTheCacheFolderIsOurs(t *testing.T) {
	base := t.TempDir()
	open := filepath.Join(base, "open")
	if err := errors.Join(os.Mkdir(open, 0o700), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{open, file, filepath.Join(file, "below")} {
		if _, err := NewVerifier(Config{CacheDir: dir, Providers: []Provider{{Kind: Entra, Authority: global, Tenants: []string{tenantT}}}}, discard); err == nil ||
			!strings.Contains(err.Error(), "cache dir: ") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	dir := filepath.Join(base, "a", "b")
	warm(t, func(_ *world, cfg *Config) { cfg.CacheDir = dir })
	for _, name := range append(cacheFiles(t, dir), dir) {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A refresh that finds nothing new makes what is kept younger too.
func TestWhatIsKeptGrowsNoOlderWhileNothingChanges(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, func(_ *world, cfg *Config) { cfg.CacheDir = dir })
	for _, path := range []string{configT, keysT} {
		next := w.docs[path]
		w.handle(path, func(rw http.ResponseWriter, r *http.Request) {
			if r.Header.Get("If-None-Match") == `"v1"` {
				rw.WriteHeader(http.StatusNotModified)
				return
			}
			rw.Header().Set("ETag", `"v1"`)
			next(rw, r)
		})
	}
	for hour := range 30 {
		w.at(time.Duration(hour) * time.Hour)
		if err := w.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	later := newWorld(t, func(next *world, cfg *Config) {
		next.now = start.Add(30 * time.Hour)
		cfg.CacheDir, cfg.Providers[0].MetadataBase = dir, w.server.URL
	})
	if st := later.statusOf(t); !st.FetchedAt.Equal(start.Add(29*time.Hour)) || st.Keys != 2 {
		t.Errorf("status %+v", st)
	}
}

func TestAFolderThatFailsIsToldAndCostsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	w := newWorld(t, func(_ *world, cfg *Config) { cfg.CacheDir = dir })
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.mustPass(t, good())
	if st := w.statusOf(t); st.Cache == "" || st.Problem != "" {
		t.Errorf("status %+v", st)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := w.Refresh(t.Context()); err != nil || w.statusOf(t).Cache != "" {
		t.Errorf("%v, status %+v", err, w.statusOf(t))
	}
}

func TestAPurgeRemovesWhatIsKept(t *testing.T) {
	dir := t.TempDir()
	w := warm(t, func(_ *world, cfg *Config) { cfg.CacheDir = dir })
	w.handle(configT, failing(http.StatusInternalServerError))
	if err := w.Purge(strings.ToUpper(tenantT)); err != nil {
		t.Fatal(err)
	}
	if n := len(cacheFiles(t, dir)); n != 1 {
		t.Errorf("%d files", n)
	}
	w.mustRefuse(t, good(), policy.KeysUnavailable)
	w.mustPass(t, forge(set("tid", tenantT2), set("iss", issuerOf(tenantT2)))) // the other tenant keeps its keys
	if err := w.Purge(tenantX); err == nil {
		t.Error("a tenant of nobody was purged")
	}
}
