package issuer

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// noon is the time of the tests.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// keyFile holds one key for the whole run, since making one takes a while.
var keyFile string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "issuer")
	if err != nil {
		panic(err)
	}
	keyFile = filepath.Join(dir, "keys.pem")
	if _, err := New(Config{KeyFile: keyFile}); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// ownKeyFile is a copy of keyFile that a test may change.
func ownKeyFile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func newIssuer(t *testing.T, cfg Config) *Issuer {
	t.Helper()
	if cfg.KeyFile == "" {
		cfg.KeyFile = ownKeyFile(t)
	}
	if cfg.Now == nil {
		cfg.Now = func() time.Time { return noon }
	}
	i, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestNew(t *testing.T) {
	somebody := Defaults()[0]
	with := func(change func(*Persona)) []Persona {
		p := somebody
		change(&p)
		return []Persona{p}
	}
	for name, tc := range map[string]struct {
		cfg     Config
		refused string // what the error says; empty: accepted
	}{
		"the zero value works":                     {},
		"127.0.0.1 is loopback":                    {cfg: Config{BaseURL: "http://127.0.0.1:7303"}},
		"so is the rest of its network":            {cfg: Config{BaseURL: "http://127.8.9.10:7303"}},
		"so is ::1":                                {cfg: Config{BaseURL: "http://[::1]:7303"}},
		"so is localhost, and https will do":       {cfg: Config{BaseURL: "https://localhost:7303/"}},
		"an address of the network is refused":     {cfg: Config{BaseURL: "http://192.168.1.10:7303"}, refused: "not a loopback address"},
		"every address at once is refused":         {cfg: Config{BaseURL: "http://0.0.0.0:7303"}, refused: "not a loopback address"},
		"no address is refused":                    {cfg: Config{BaseURL: "http://:7303"}, refused: "not a loopback address"},
		"a name below localhost is refused":        {cfg: Config{BaseURL: "http://localhost.example.com"}, refused: "not a loopback address"},
		"a name that begins like one is refused":   {cfg: Config{BaseURL: "http://127.0.0.1.example.com"}, refused: "not a loopback address"},
		"a host behind userinfo is the host":       {cfg: Config{BaseURL: "http://127.0.0.1@example.com"}, refused: "host and port only"},
		"a path is refused":                        {cfg: Config{BaseURL: "http://127.0.0.1:7303/x"}, refused: "host and port only"},
		"another scheme is refused":                {cfg: Config{BaseURL: "ftp://127.0.0.1"}, refused: "http or https"},
		"a tenant that is no GUID is refused":      {cfg: Config{Tenants: []string{"common"}}, refused: "lower-case GUID"},
		"a tenant in capitals is refused":          {cfg: Config{Tenants: []string{"AAAAAAAA-1111-4111-8111-111111111111"}}, refused: "lower-case GUID"},
		"a v1 issuer needs a place for the tenant": {cfg: Config{V1Issuer: "https://sts.windows.net/"}, refused: "{tenantid}"},
		"a persona has a kind":                     {cfg: Config{Personas: with(func(p *Persona) { p.Kind = "robot" })}, refused: "neither user nor app"},
		"a persona has a plain name":               {cfg: Config{Personas: with(func(p *Persona) { p.Name = "al ice" })}, refused: "a name has"},
		"a persona is there once":                  {cfg: Config{Personas: []Persona{somebody, somebody}}, refused: "twice"},
		"a persona has an object id":               {cfg: Config{Personas: with(func(p *Persona) { p.ObjectID = "" })}, refused: "GUIDs"},
		"a persona has an audience":                {cfg: Config{Personas: with(func(p *Persona) { p.Audience = "" })}, refused: "no audience"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.cfg.KeyFile = keyFile
			_, err := New(tc.cfg)
			switch {
			case tc.refused == "" && err != nil:
				t.Fatal(err)
			case tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)):
				t.Fatalf("error %v; want one that says %q", err, tc.refused)
			}
		})
	}
}

func TestDefaultPersonasWork(t *testing.T) {
	if err := checkPersonas(Defaults()); err != nil {
		t.Fatal(err)
	}
}

func TestKeyFile(t *testing.T) {
	t.Run("it is made at the first start, for its owner alone", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "new", "keys.pem")
		i, err := New(Config{KeyFile: file})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("mode %o", info.Mode().Perm())
		}
		again, err := New(Config{KeyFile: file})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(i.Kids(), again.Kids()) || len(i.Kids()) != 1 {
			t.Errorf("kids %v, and after a restart %v", i.Kids(), again.Kids())
		}
		if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".keys-*")); len(left) != 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	t.Run("rotation and withdrawal survive a restart", func(t *testing.T) {
		file := ownKeyFile(t)
		i := newIssuer(t, Config{KeyFile: file})
		first := i.Kids()[0]
		second, err := i.Rotate()
		if err != nil {
			t.Fatal(err)
		}
		if got := newIssuer(t, Config{KeyFile: file}).Kids(); !slices.Equal(got, []string{first, second}) {
			t.Errorf("after rotation %v; want %s, %s", got, first, second)
		}
		if err := i.Withdraw(first); err != nil {
			t.Fatal(err)
		}
		if got := newIssuer(t, Config{KeyFile: file}).Kids(); !slices.Equal(got, []string{second}) {
			t.Errorf("after withdrawal %v; want %s", got, second)
		}
	})
	t.Run("without one, each start has another key", func(t *testing.T) {
		a, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		if slices.Equal(a.Kids(), newIssuer(t, Config{}).Kids()) {
			t.Error("the same key")
		}
	})
	t.Run("what cannot be trusted or read is refused, not replaced", func(t *testing.T) {
		weak, err := rsa.GenerateKey(rand.Reader, 1024) // what is refused
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(weak)
		if err != nil {
			t.Fatal(err)
		}
		for name, tc := range map[string]struct {
			text    []byte
			mode    os.FileMode
			refused string
		}{
			"readable by others": {text: mustRead(t, keyFile), mode: 0o644, refused: "0600"},
			"readable by group":  {text: mustRead(t, keyFile), mode: 0o640, refused: "0600"},
			"empty":              {mode: 0o600, refused: "no PRIVATE KEY block"},
			"another block":      {text: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), mode: 0o600, refused: "CERTIFICATE"},
			"not a key":          {text: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), mode: 0o600, refused: "key file"},
			"a short key":        {text: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), mode: 0o600, refused: "2048"},
		} {
			t.Run(name, func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "keys.pem")
				if err := os.WriteFile(file, tc.text, tc.mode); err != nil {
					t.Fatal(err)
				}
				if _, err := New(Config{KeyFile: file}); err == nil || !strings.Contains(err.Error(), tc.refused) {
					t.Errorf("error %v; want one that says %q", err, tc.refused)
				}
				if !bytes.Equal(mustRead(t, file), tc.text) {
					t.Error("the file was changed")
				}
			})
		}
	})
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWithdraw(t *testing.T) {
	i := newIssuer(t, Config{})
	first := i.Kids()[0]
	if err := i.Withdraw(first); !errors.Is(err, ErrRequest) {
		t.Errorf("the only key: %v", err)
	}
	second, err := i.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Withdraw("nonsense"); !errors.Is(err, ErrRequest) {
		t.Errorf("an unknown key: %v", err)
	}
	if err := i.Withdraw(second); err != nil {
		t.Errorf("the key that signs: %v", err)
	}
	token, err := i.Mint(Request{Persona: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if kid := headerOf(t, token)["kid"]; kid != first {
		t.Errorf("signed with %v; want the key that is left, %s", kid, first)
	}
}
