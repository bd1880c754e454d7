package policy

import (
	"errors"
	"strings"
	"testing"
)

const (
	tid = "11111111-1111-4111-8111-111111111111"
	oid = "22222222-2222-4222-8222-222222222222"
)

func TestParseSubject(t *testing.T) {
	for name, tc := range map[string]struct {
		in   string
		want Subject
		err  error
	}{
		"a group":                            {in: "group:" + tid + "/" + oid, want: Subject{Group, tid, oid}},
		"a user":                             {in: "user:" + tid + "/" + oid, want: Subject{User, tid, oid}},
		"an app":                             {in: "app:" + tid + "/" + oid, want: Subject{App, tid, oid}},
		"a role value may hold colons":       {in: "approle:orders/Task:Write", want: Subject{AppRole, "orders", "Task:Write"}},
		"a directory role":                   {in: "wid:" + oid, want: Subject{WID, "", oid}},
		"a tenant":                           {in: "tenant:" + tid, want: Subject{Tenant, "", tid}},
		"a role value may have 120 letters":  {in: "approle:a/" + strings.Repeat("x", 120), want: Subject{AppRole, "a", strings.Repeat("x", 120)}},
		"a kind is required":                 {in: ":42", err: ErrInvalid},
		"nothing is no subject":              {in: "", err: ErrInvalid},
		"a word is no subject":               {in: "tenant", err: ErrInvalid},
		"kinds are lower case":               {in: "User:" + tid + "/" + oid, err: ErrInvalid},
		"a kind must be known":               {in: "role:" + tid + "/" + oid, err: ErrInvalid},
		"GUIDs are lower case":               {in: "user:" + tid + "/ABCDEFAB-2222-4222-8222-222222222222", err: ErrInvalid},
		"GUIDs have hyphens":                 {in: "tenant:11111111111141118111111111111111", err: ErrInvalid},
		"GUIDs have no braces":               {in: "tenant:{" + tid + "}", err: ErrInvalid},
		"a user needs an object id":          {in: "user:" + tid, err: ErrInvalid},
		"a tenant has no object id":          {in: "tenant:" + tid + "/" + oid, err: ErrInvalid},
		"no third part":                      {in: "user:" + tid + "/" + oid + "/" + oid, err: ErrInvalid},
		"no blanks around":                   {in: " tenant:" + tid, err: ErrInvalid},
		"a role value has no slash":          {in: "approle:orders/a/b", err: ErrInvalid},
		"a role value has no space":          {in: "approle:orders/a b", err: ErrInvalid},
		"a role value is ASCII":              {in: "approle:orders/é", err: ErrInvalid},
		"a role value is not empty":          {in: "approle:orders/", err: ErrInvalid},
		"a role value has at most 120":       {in: "approle:a/" + strings.Repeat("x", 121), err: ErrInvalid},
		"a role belongs to an api":           {in: "approle:reader", err: ErrInvalid},
		"a role's api is an api id":          {in: "approle:Orders/reader", err: ErrInvalid},
		"a role's api is not left out":       {in: "approle:/reader", err: ErrInvalid},
		"a line break at the end is refused": {in: "tenant:" + tid + "\n", err: ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseSubject(tc.in)
			if got != tc.want || !errors.Is(err, tc.err) {
				t.Fatalf("got %+v, %v; want %+v, %v", got, err, tc.want, tc.err)
			}
			if err == nil && got.String() != tc.in {
				t.Fatalf("prints as %q", got.String())
			}
		})
	}
}

func TestSubjectWithoutKindPrintsNothing(t *testing.T) {
	for _, s := range []Subject{{}, {Kind: 99, ID: "x"}} {
		if got := s.String(); got != "" {
			t.Errorf("%+v prints as %q", s, got)
		}
	}
}

func FuzzParseSubject(f *testing.F) {
	for _, s := range []string{
		"group:" + tid + "/" + oid, "approle:orders/Task:Write", "wid:" + oid, "tenant:" + tid, "user:" + tid + "/", ":", "approle:a/b/c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSubject(text)
		if err != nil {
			if !errors.Is(err, ErrInvalid) || s != (Subject{}) {
				t.Fatalf("%q: %+v, %v", text, s, err)
			}
			return
		}
		if s.String() != text {
			t.Fatalf("%q prints as %q", text, s.String())
		}
		if !isSubject(text, s.Kind, s.Scope, s.ID) {
			t.Fatalf("%q is not found by its parts %+v", text, s)
		}
	})
}
