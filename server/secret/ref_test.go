package secret_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/verdict-authz/verdict/server/secret"
)

const arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-a1B2c3"

func TestParse(t *testing.T) {
	aws := func(r secret.Ref) secret.Ref {
		r.Scheme = secret.AWSSecretsManager
		if r.Stage == "" {
			r.Stage = secret.CurrentStage
		}
		return r
	}
	for name, tc := range map[string]struct {
		in    string
		want  secret.Ref
		print string // "" means in
		err   string
	}{
		"a file":                               {in: "file:///run/secrets/db", want: secret.Ref{Scheme: secret.File, Name: "/run/secrets/db"}},
		"a file's name may need escapes":       {in: "file:///run/a%20b%3F%23%25", want: secret.Ref{Scheme: secret.File, Name: "/run/a b?#%"}},
		"a file's name is made clean":          {in: "file:///run//x/../db", want: secret.Ref{Scheme: secret.File, Name: "/run/db"}, print: "file:///run/db"},
		"a file is absolute":                   {in: "file://run/db", err: "not absolute"},
		"a folder is no file":                  {in: "file:///run/", err: "folder"},
		"a file has no key":                    {in: "file:///run/db#password", err: "no key"},
		"half an escape is refused":            {in: "file:///run/%2", err: "%25"},
		"a file's name holds no NUL":           {in: "file:///run/%00", err: "%25"},
		"a variable":                           {in: "env://DB_PASSWORD", want: secret.Ref{Scheme: secret.Env, Name: "DB_PASSWORD"}},
		"a variable has a name":                {in: "env://", err: "variable"},
		"a variable's name has no equals sign": {in: "env://A=b", err: "variable"},

		"a name in AWS":                 {in: "awssm://prod/verdict/db", want: aws(secret.Ref{Name: "prod/verdict/db"})},
		"a key in it":                   {in: "awssm://prod/db#password", want: aws(secret.Ref{Name: "prod/db", Key: "password"})},
		"key, stage and region":         {in: "awssm://db@x#pass%3Fword%2F?region=eu-west-1&stage=AWSPENDING", want: aws(secret.Ref{Name: "db@x", Key: "pass?word/", Stage: "AWSPENDING", Region: "eu-west-1"})},
		"the current stage may be said": {in: "awssm://db?stage=AWSCURRENT", want: aws(secret.Ref{Name: "db"}), print: "awssm://db"},
		"an ARN brings its region":      {in: "awssm://" + arn + "#password", want: aws(secret.Ref{Name: arn, Key: "password", Region: "eu-west-1"})},
		"an ARN and its region agree":   {in: "awssm://" + arn + "?region=eu-west-1", want: aws(secret.Ref{Name: arn, Region: "eu-west-1"}), print: "awssm://" + arn},
		"an ARN in another region":      {in: "awssm://" + arn + "?region=eu-west-2", err: "another region"},
		"an ARN of another service":     {in: "awssm://arn:aws:ssm:eu-west-1:123456789012:parameter/x", err: "not the ARN"},
		"a name in AWS is needed":       {in: "awssm://#password", err: "name of a secret"},
		"a name in AWS has no colon":    {in: "awssm://user:hunter2@db", err: "name of a secret"},
		"an empty key is refused":       {in: "awssm://db#", err: "after #"},
		"the key comes first":           {in: "awssm://db?stage=AWSCURRENT#password", err: "key comes before"},
		"an unknown parameter":          {in: "awssm://db?password=hunter2", err: "unknown parameter"},
		"a parameter twice":             {in: "awssm://db?region=eu-west-1&region=eu-west-2", err: "twice"},
		"an empty stage":                {in: "awssm://db?stage=", err: "stage"},
		"a region that is a host":       {in: "awssm://db?region=evil.example", err: "region"},
		"a broken parameter":            {in: "awssm://db?stage=%zz", err: "parameters"},

		"a vault's secret":            {in: "azkv://my-vault/db-password", want: secret.Ref{Scheme: secret.AzureKeyVault, Vault: "my-vault", Name: "db-password"}},
		"one version of it":           {in: "azkv://my-vault/db/0123456789abcdef0123456789abcdef", want: secret.Ref{Scheme: secret.AzureKeyVault, Vault: "my-vault", Name: "db", Version: "0123456789abcdef0123456789abcdef"}},
		"a vault's case is no matter": {in: "azkv://My-Vault/db", want: secret.Ref{Scheme: secret.AzureKeyVault, Vault: "my-vault", Name: "db"}, print: "azkv://my-vault/db"},
		"a vault is no host":          {in: "azkv://my-vault.vault.azure.net/db", err: "its name alone"},
		"a vault has no user":         {in: "azkv://x:hunter2@vault/db", err: "names of a vault"},
		"a vault alone":               {in: "azkv://my-vault", err: "azkv://vault/name"},
		"too many parts":              {in: "azkv://my-vault/a/b/c", err: "azkv://vault/name"},
		"an empty version":            {in: "azkv://my-vault/db/", err: "version"},
		"a vault's secret has no key": {in: "azkv://my-vault/db#password", err: "no key"},

		"a bare string is refused":         {in: "hunter2", err: "never given in the open"},
		"a path is refused":                {in: "/run/secrets/db", err: "never given in the open"},
		"an empty string is refused":       {in: "", err: "never given in the open"},
		"another scheme is refused":        {in: "postgres://user:hunter2@db/x", err: "never given in the open"},
		"a scheme's case is its own":       {in: "FILE:///run/db", err: "never given in the open"},
		"a line break is no part of names": {in: "env://A\n", err: "variable"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := secret.Parse(tc.in)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "hunter2") {
					t.Fatalf("error %v, want one with %q and without what was given", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			want := tc.print
			if want == "" {
				want = tc.in
			}
			if got.String() != want {
				t.Errorf("prints %q, want %q", got, want)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"file:///a%20b", "env://A", "awssm://a/b#k%23?stage=s&region=eu-west-1", "awssm://" + arn, "azkv://vault/name/00ff", "hunter2", "file:////", "file:///..",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, err := secret.Parse(in)
		if err != nil {
			if len(in) > 30 && strings.Contains(err.Error(), in) {
				t.Fatalf("the error repeats what was given: %v", err)
			}
			return
		}
		again, err := secret.Parse(r.String())
		if err != nil || again != r {
			t.Fatalf("%q prints as %q, which reads as %#v, %v; want %#v", in, r, again, err, r)
		}
	})
}

func TestARefIsAFlag(t *testing.T) {
	parse := func(args ...string) (ref secret.Ref, err error) {
		var cli struct {
			StorePassword secret.Ref `placeholder:"REF"`
		}
		parser, err := kong.New(&cli)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parser.Parse(args)
		return cli.StorePassword, err
	}
	if got, err := parse("--store-password=awssm://db#password"); err != nil || got.Key != "password" {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := parse(); err != nil || !got.IsZero() {
		t.Errorf("without the flag: %v, %v", got, err)
	}
	_, err := parse("--store-password=hunter2")
	if err == nil || !strings.Contains(err.Error(), "--store-password") || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "hunter2") {
		t.Errorf("in the open: %v", err)
	}
}
