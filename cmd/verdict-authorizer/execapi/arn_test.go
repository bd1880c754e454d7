package execapi_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/cmd/verdict-authorizer/execapi"
)

func TestParseARN(t *testing.T) {
	const before = "arn:aws:execute-api:eu-central-1:123456789012:"
	for name, tc := range map[string]struct {
		in, stage, method, path string
		err                     error
	}{
		"a path is read whole":                    {in: before + "abc/prod/GET/a:b/c:d", stage: "prod", method: "GET", path: "/a:b/c:d"},
		"the root":                                {in: before + "abc/prod/GET/", stage: "prod", method: "GET", path: "/"},
		"no path":                                 {in: before + "abc/prod/GET", stage: "prod", method: "GET", path: "/"},
		"two slashes stay":                        {in: before + "abc/prod/GET//a", stage: "prod", method: "GET", path: "//a"},
		"a WebSocket connection":                  {in: before + "abc/prod/$connect", stage: "prod", method: "$connect"},
		"the default stage":                       {in: before + "abc/$default/GET/a", stage: "$default", method: "GET", path: "/a"},
		"the default route":                       {in: before + "abc/prod/$default", stage: "prod", method: "$default"},
		"China":                                   {in: "arn:aws-cn:execute-api:cn-north-1:123456789012:abc/prod/GET/a", stage: "prod", method: "GET", path: "/a"},
		"the console's null":                      {in: before + "abc/null/GET/", stage: "null", method: "GET", path: "/"},
		"the console's star":                      {in: before + "abc/*/GET/", stage: "*", method: "GET", path: "/"},
		"a star in place of the api":              {in: before + "*/prod/GET/a", err: execapi.ErrARN},
		"a star in place of the region":           {in: "arn:aws:execute-api:*:123456789012:abc/prod/GET/a", err: execapi.ErrARN},
		"a star in the stage":                     {in: before + "abc/pr*d/GET/a", err: execapi.ErrARN},
		"a method that is a pattern":              {in: before + "abc/prod/*/a", err: execapi.ErrARN},
		"another service":                         {in: "arn:aws:lambda:eu-central-1:123456789012:abc/prod/GET/a", err: execapi.ErrARN},
		"no stage":                                {in: before + "abc", err: execapi.ErrARN},
		"no method":                               {in: before + "abc/prod", err: execapi.ErrARN},
		"a path where the account is wanted":      {in: "arn:aws:execute-api:eu-central-1:a/b:abc/prod/GET/a", err: execapi.ErrARN},
		"nothing":                                 {err: execapi.ErrARN},
		"a quote in the api, which is in no name": {in: before + `a"c/prod/GET/a`, err: execapi.ErrARN},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := execapi.ParseARN(tc.in)
			if !errors.Is(err, tc.err) {
				t.Fatalf("ParseARN: %v, want %v", err, tc.err)
			}
			if a.Stage != tc.stage || a.Method != tc.method || a.Path != tc.path {
				t.Errorf("ParseARN = %+v", a)
			}
			if err == nil && !strings.HasPrefix(tc.in, a.Prefix()) {
				t.Errorf("prefix %q of %q", a.Prefix(), tc.in)
			}
		})
	}
}

func FuzzParseARN(f *testing.F) {
	for _, seed := range []string{"arn:aws:execute-api:eu-central-1:123456789012:abc/prod/GET/a/b", "arn:::::", "arn:aws:execute-api:a:1:a/*/$connect/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := execapi.ParseARN(s)
		if err != nil {
			return
		}
		if !strings.HasPrefix(s, a.Prefix()) || !strings.HasPrefix(s[len(a.Prefix()):], a.Method) {
			t.Errorf("%q became %+v", s, a)
		}
		if a.Stage != "*" && strings.ContainsAny(a.Prefix(), "*?{}\"\\") {
			t.Errorf("a prefix that is a pattern: %q", a.Prefix())
		}
	})
}
