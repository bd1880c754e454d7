package privacy

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// sequence is the key 00 01 02 … 1f.
func sequence() []byte {
	b := make([]byte, KeySize)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func keyOf(t testing.TB, b []byte) Key {
	t.Helper()
	k, err := ParseKey([]byte(hex.EncodeToString(b)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKey(t *testing.T) {
	b := sequence()
	b[0], b[1], b[2] = 0xfb, 0xff, 0xbf // + and / in one alphabet, - and _ in the other
	for name, tc := range map[string]struct {
		text string
		err  string // empty: it is b
	}{
		"hexadecimal":                  {text: hex.EncodeToString(b)},
		"hexadecimal in capitals":      {text: strings.ToUpper(hex.EncodeToString(b))},
		"base64":                       {text: base64.StdEncoding.EncodeToString(b)},
		"base64 without padding":       {text: base64.RawStdEncoding.EncodeToString(b)},
		"base64 for URLs":              {text: base64.URLEncoding.EncodeToString(b)},
		"a line of a file":             {text: "  " + hex.EncodeToString(b) + "\r\n"},
		"nothing":                      {err: "want 32 random bytes"},
		"a password":                   {text: "correct horse battery staple", err: "want 32 random bytes"},
		"too short":                    {text: hex.EncodeToString(b[:31]), err: "want 32 random bytes"},
		"too long":                     {text: base64.StdEncoding.EncodeToString(append(b, 1)), err: "want 32 random bytes"},
		"the bytes themselves":         {text: string(b), err: "want 32 random bytes"},
		"64 characters but not digits": {text: strings.Repeat("xyz0", 16), err: "want 32 random bytes"},
		"two alphabets":                {text: strings.Replace(base64.StdEncoding.EncodeToString(b), "+", "-", 1), err: "want 32 random bytes"},
		"a key that fills the place":   {text: strings.Repeat("0", 64), err: "all its bytes are the same"},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKey([]byte(tc.text))
			if tc.err == "" {
				if err != nil || !bytes.Equal(k.root()[:], b) {
					t.Errorf("not the key, %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) || k.root != nil {
				t.Fatalf("error %v, want %q", err, tc.err)
			}
			if len(tc.text) > 8 && strings.Contains(err.Error(), tc.text[:8]) {
				t.Errorf("the error quotes the key: %v", err)
			}
		})
	}
}

func TestAKeyIsNotPrinted(t *testing.T) {
	secret := []byte("do not print me, whatever the verb")[:KeySize]
	k := keyOf(t, secret)
	r, err := New(new(kept), Config{Key: k})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{k, &k, Config{Key: k}, struct{ key Key }{k}, r, r.names} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		log.Info("here", "value", v)
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("here", "key", k)
	said := strings.ToLower(out.String())
	if !strings.Contains(said, "[key]") {
		t.Error("nothing says that there is a key")
	}
	for _, form := range []string{
		"do not print", hex.EncodeToString(secret)[:16], base64.StdEncoding.EncodeToString(secret)[:8], "100 111 32 110", "0x64, 0x6f, 0x20",
	} {
		if strings.Contains(said, strings.ToLower(form)) {
			t.Errorf("the key is there as %q", form)
		}
	}
}
