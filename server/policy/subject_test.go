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
		"a group":                              {in: "group:" + tid + "/" + oid, want: Subject{Group, tid, oid}},
		"a user":                               {in: "user:" + tid + "/" + oid, want: Subject{User, tid, oid}},
		"an app":                               {in: "app:" + tid + "/" + oid, want: Subject{App, tid, oid}},
		"a role value may hold colons":         {in: "approle:orders/Task:Write", want: Subject{AppRole, "orders", "Task:Write"}},
		"a directory role":                     {in: "wid:" + oid, want: Subject{WID, "", oid}},
		"a tenant":                             {in: "tenant:" + tid, want: Subject{Tenant, "", tid}},
		"a group of a provider":                {in: "group:okta/Domain Users", want: Subject{Group, "okta", "Domain Users"}},
		"an id of a provider may hold slashes": {in: "group:adfs.corp/CORP/a/b", want: Subject{Group, "adfs.corp", "CORP/a/b"}},
		"an id of a provider may be a name":    {in: "user:okta/Zoë Ünal", want: Subject{User, "okta", "Zoë Ünal"}},
		"an app of a provider":                 {in: "app:cognito/4f1", want: Subject{App, "cognito", "4f1"}},
		"a provider":                           {in: "tenant:okta", want: Subject{Tenant, "", "okta"}},
		"a provider is no template id":         {in: "wid:okta", err: ErrInvalid},
		"a GUID that begins with a letter is a tenant":     {in: "user:abcdefab-2222-4222-8222-222222222222/x", err: ErrInvalid},
		"a provider's name is lower case":                  {in: "user:Okta/x", err: ErrInvalid},
		"a provider's name begins with a letter":           {in: "user:1okta/x", err: ErrInvalid},
		"a provider's name has at most 63":                 {in: "tenant:" + strings.Repeat("a", 64), err: ErrInvalid},
		"a provider's name may have 63":                    {in: "tenant:" + strings.Repeat("a", 63), want: Subject{Tenant, "", strings.Repeat("a", 63)}},
		"an id of a provider is not empty":                 {in: "user:okta/", err: ErrInvalid},
		"an id of a provider has at most 200 characters":   {in: "user:okta/" + strings.Repeat("é", 201), err: ErrInvalid},
		"an id of a provider may have 200 characters":      {in: "user:okta/" + strings.Repeat("é", 200), want: Subject{User, "okta", strings.Repeat("é", 200)}},
		"an id of a provider has no line break":            {in: "user:okta/a\nb", err: ErrInvalid},
		"an id of a provider has no direction mark":        {in: "user:okta/a\u202eb", err: ErrInvalid},
		"an id of a provider has no other space":           {in: "user:okta/a\u00a0b", err: ErrInvalid},
		"an id of a provider is UTF-8":                     {in: "user:okta/\xff", err: ErrInvalid},
		"an id of a provider has no replacement character": {in: "user:okta/\ufffd", err: ErrInvalid},
		"a SID":                                           {in: "group:" + tid + "/S-1-5-21-1-2-3-512", want: Subject{Group, tid, "S-1-5-21-1-2-3-512"}},
		"a SID is upper case":                             {in: "group:" + tid + "/s-1-5-21-1-2-3-512", err: ErrInvalid},
		"a SID has parts":                                 {in: "group:" + tid + "/S-1-5-", err: ErrInvalid},
		"a SID's numbers have one spelling":               {in: "group:" + tid + "/S-1-5-021", err: ErrInvalid},
		"a SID is of version 1, authority 5":              {in: "group:" + tid + "/S-1-1-0", err: ErrInvalid},
		"a distinguished name":                            {in: "group:" + tid + "/cn=clerks,ou=a/b,dc=example", want: Subject{Group, tid, "cn=clerks,ou=a/b,dc=example"}},
		"a distinguished name is in lower case":           {in: "group:" + tid + "/CN=Clerks,DC=example", err: ErrInvalid},
		"a distinguished name has at most 300 characters": {in: "group:" + tid + "/cn=" + strings.Repeat("x", 298), err: ErrInvalid},
		"an app of a tenant has no SID":                   {in: "app:" + tid + "/S-1-5-18", err: ErrInvalid},
		"a role value may have 120 letters":               {in: "approle:a/" + strings.Repeat("x", 120), want: Subject{AppRole, "a", strings.Repeat("x", 120)}},
		"a kind is required":                              {in: ":42", err: ErrInvalid},
		"nothing is no subject":                           {in: "", err: ErrInvalid},
		"a word is no subject":                            {in: "tenant", err: ErrInvalid},
		"kinds are lower case":                            {in: "User:" + tid + "/" + oid, err: ErrInvalid},
		"a kind must be known":                            {in: "role:" + tid + "/" + oid, err: ErrInvalid},
		"GUIDs are lower case":                            {in: "user:" + tid + "/ABCDEFAB-2222-4222-8222-222222222222", err: ErrInvalid},
		"GUIDs have hyphens":                              {in: "tenant:11111111111141118111111111111111", err: ErrInvalid},
		"GUIDs have no braces":                            {in: "tenant:{" + tid + "}", err: ErrInvalid},
		"a user needs an object id":                       {in: "user:" + tid, err: ErrInvalid},
		"a tenant has no object id":                       {in: "tenant:" + tid + "/" + oid, err: ErrInvalid},
		"no third part":                                   {in: "user:" + tid + "/" + oid + "/" + oid, err: ErrInvalid},
		"no blanks around":                                {in: " tenant:" + tid, err: ErrInvalid},
		"a role value has no slash":                       {in: "approle:orders/a/b", err: ErrInvalid},
		"a role value has no space":                       {in: "approle:orders/a b", err: ErrInvalid},
		"a role value is ASCII":                           {in: "approle:orders/é", err: ErrInvalid},
		"a role value is not empty":                       {in: "approle:orders/", err: ErrInvalid},
		"a role value has at most 120":                    {in: "approle:a/" + strings.Repeat("x", 121), err: ErrInvalid},
		"a role belongs to an api":                        {in: "approle:reader", err: ErrInvalid},
		"a role's api is an api id":                       {in: "approle:Orders/reader", err: ErrInvalid},
		"a role's api is not left out":                    {in: "approle:/reader", err: ErrInvalid},
		"a line break at the end is refused":              {in: "tenant:" + tid + "\n", err: ErrInvalid},
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
		"group:okta/a/b c", "tenant:okta", "group:" + tid + "/S-1-5-21-1", "user:" + tid + "/cn=a,dc=b", "user:okta/\u202e",
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
