package ldap

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// otherAuthority is a CA file that signed nobody.
func otherAuthority(t testing.TB) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "another"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "other.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNewRefuses(t *testing.T) {
	const tenant = "11111111-2222-3333-4444-555555555555"
	good := Config{
		URLs: []string{"ldaps://dc.corp.test"}, CAFile: otherAuthority(t), BindDN: "reader@corp.test", PasswordFile: "password",
		BaseDN: "DC=corp,DC=test", Tenants: []string{tenant},
	}
	if _, err := New(good); err != nil {
		t.Fatalf("the good one: %v", err)
	}
	for name, tc := range map[string]struct {
		spoil func(*Config)
		want  string
	}{
		"no servers":                    {func(c *Config) { c.URLs = nil }, "no servers"},
		"a server without TLS":          {func(c *Config) { c.URLs = []string{"ldapi:///x"} }, "scheme, host and port"},
		"a datagram server":             {func(c *Config) { c.URLs = []string{"cldap://dc"} }, "must be ldaps"},
		"a password in the address":     {func(c *Config) { c.URLs = []string{"ldaps://u@dc"} }, "nothing else"},
		"no authority":                  {func(c *Config) { c.CAFile = "" }, "no CA file"},
		"an authority that is not PEM":  {func(c *Config) { c.CAFile = "ldap_test.go" }, "holds no certificate"},
		"an authority that is missing":  {func(c *Config) { c.CAFile = "missing" }, "CA file"},
		"an anonymous bind":             {func(c *Config) { c.BindDN = "" }, "anonymous"},
		"a bind without password":       {func(c *Config) { c.PasswordFile = "" }, "anonymous"},
		"two passwords":                 {func(c *Config) { c.Password = func(context.Context) ([]byte, error) { return nil, nil } }, "give one of them"},
		"no base":                       {func(c *Config) { c.BaseDN = "" }, "base DN"},
		"a base that is none":           {func(c *Config) { c.BaseDN = "corp.test" }, "base DN"},
		"no tenant":                     {func(c *Config) { c.Tenants = nil }, "no tenants"},
		"a tenant in capitals":          {func(c *Config) { c.Tenants = []string{"AAAAAAAA" + tenant[8:]} }, "not a GUID"},
		"an unknown way to find users":  {func(c *Config) { c.UserBy = "mail" }, "not by"},
		"an unknown id for groups":      {func(c *Config) { c.GroupID = "name" }, "a group's id"},
		"a negative number of anything": {func(c *Config) { c.Pool = -1 }, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tc.spoil(&c)
			if _, err := New(c); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q", err, tc.want)
			}
		})
	}
}

func TestSIDs(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want string // "": refused
	}{
		"of a user":                      {"S-1-5-21-3623811015-3361044348-30300820-1013", `\01\05\00\00\00\00\00\05\15\00\00\00\c7\f7\fe\d7\7c\77\55\c8\94\5a\ce\01\f5\03\00\00`},
		"of a built-in group":            {"s-1-5-32-545", `\01\02\00\00\00\00\00\05\20\00\00\00\21\02\00\00`},
		"a filter":                       {"S-1-5-21-*", ""},
		"a leading zero":                 {"S-1-5-021-1", ""},
		"a sign":                         {"S-1-5-+21-1", ""},
		"another revision":               {"S-2-5-21-1", ""},
		"no parts":                       {"S-1-5", ""},
		"a part beyond 32 bits":          {"S-1-5-4294967296", ""},
		"an authority beyond 48 bits":    {"S-1-281474976710656-1", ""},
		"more parts than there may be":   {"S-1-5" + strings.Repeat("-1", 16), ""},
		"as many parts as there may be":  {"S-1-5" + strings.Repeat("-1", 15), `\01\0f\00\00\00\00\00\05` + strings.Repeat(`\01\00\00\00`, 15)},
		"nothing":                        {"", ""},
		"a byte that is not of the text": {"S-1-5-21-1\x00", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := parseSID(tc.in)
			if (err == nil) != (tc.want != "") {
				t.Fatalf("%v", err)
			}
			if err == nil && s.filterValue() != tc.want {
				t.Errorf("%s; want %s", s.filterValue(), tc.want)
			}
		})
	}
}

func FuzzSID(f *testing.F) {
	for _, b := range [][]byte{{}, {1, 1, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0}, {1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 33, 2, 0, 0}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSID(b)
		if err != nil {
			return
		}
		if string(s.bytes()) != string(b) {
			t.Fatalf("%x became %x", b, s.bytes())
		}
		again, err := parseSID(s.String())
		if err != nil || string(again.bytes()) != string(b) {
			t.Fatalf("%s became %s, %v", s, again, err)
		}
	})
}

func TestGUIDsAreWrittenAsTheDirectoryShowsThem(t *testing.T) {
	raw := []byte{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	if got, err := decodeGUID(raw); got != "00112233-4455-6677-8899-aabbccddeeff" || err != nil {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := decodeGUID(raw[1:]); err == nil {
		t.Error("15 bytes pass")
	}
}
