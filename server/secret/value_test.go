package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/secret"
)

type element struct{ V secret.Value }

func TestAValueIsNotPrinted(t *testing.T) {
	const text = "hunter2"
	v := secret.NewValue([]byte(text))
	type outer struct {
		Shown  secret.Value
		hidden secret.Value // fmt sees it
		List   []secret.Value
		Map    map[string]*secret.Value
	}
	o := outer{v, v, []secret.Value{v}, map[string]*secret.Value{"a": &v}}
	for name, print := range map[string]func() string{
		"all verbs": func() string {
			var all strings.Builder
			for _, verb := range "vsqxXdbcoUtTp" {
				for _, flag := range []string{"", "+", "#", " ", "0", "20.3"} {
					fmt.Fprintf(&all, "%"+flag+string(verb)+" ", v)
					fmt.Fprintf(&all, "%"+flag+string(verb)+" ", &v)
				}
			}
			return all.String()
		},
		"inside of a struct": func() string { return fmt.Sprintf("%v %+v %#v %v %+v", o, o, o, &o, &o) },
		"as JSON": func() string {
			b, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		},
		"as XML": func() string {
			b, err := xml.Marshal(element{v})
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		},
		"in logs": func() string {
			var b bytes.Buffer
			slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v, "o", o, "p", &v)
			slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v, "o", o, "p", &v)
			return b.String()
		},
		"in an error": func() string { return errors.Join(fmt.Errorf("refused %s", v)).Error() },
	} {
		t.Run(name, func(t *testing.T) {
			got := print()
			for _, form := range []string{text, fmt.Sprintf("%x", text), fmt.Sprintf("%X", text), fmt.Sprint([]byte(text)), "aHVudGVyMg"} {
				if strings.Contains(got, form) {
					t.Fatalf("printed: %s", got)
				}
			}
			if !strings.Contains(got, "[secret]") {
				t.Errorf("does not say that there is a secret: %s", got)
			}
		})
	}
}

func TestAValueGivesItselfAwayWhenAsked(t *testing.T) {
	content := []byte("hunter2")
	v := secret.NewValue(content)
	content[0] = 'x'
	v.RevealBytes()[1] = 'x'
	if v.Reveal() != "hunter2" || string(v.RevealBytes()) != "hunter2" {
		t.Error("a Value follows what others do with their bytes")
	}
	if !v.Equal(secret.NewValue([]byte("hunter2"))) || v.Equal(secret.NewValue([]byte("hunter3"))) || v.Equal(secret.Value{}) {
		t.Error("Equal")
	}
	if v.IsZero() || !(secret.Value{}).IsZero() || (secret.Value{}).Reveal() != "" {
		t.Error("zero")
	}
}
