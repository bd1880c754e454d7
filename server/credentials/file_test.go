package credentials_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/verdict-authz/verdict/server/credentials"
)

func TestLoadRolesSaysAllThatIsWrongAndWhere(t *testing.T) {
	for name, tc := range map[string]struct {
		file string
		want []string // problems, in order
	}{
		"nothing":          {"", []string{"it is empty"}},
		"two documents":    {"api: a\n---\napi: b\n", []string{"it holds more than one document"}},
		"no role":          {"api: aws\n", []string{"line 1: roles: none; nobody could have credentials"}},
		"no api":           {"roles: {a: {role_arn: arn:aws:iam::123456789012:role/a}}", []string{"line 1: api: none; which api has the permissions assume.{alias}?"}},
		"a list for roles": {"api: aws\nroles: []\n", []string{"line 2: roles: want keys and values, got a list"}},
		"many things at once": {`api: 7
colour: red
roles:
  Prod: {}
  a:
    role_arn: arn:aws:iam::123456789012:user/a
    action: guess
    max_duration: 2h
    tags: {aws:x: y, verdict-decision-id: z, "a;b": c, ok: 1, Ok: x, v: "a*b", w: "{principal.name}"}
    transitive_tag_keys: [missing]
    rolearn: x
  a: {}
  b: {role_arn: arn:aws-cn:iam::123456789012:role/b, region: eu-west-1, max_duration: 10m}
  c: {role_arn: arn:aws:iam::123456789012:role/c, action: web_identity, max_duration: 13h, tags: {x: y}, policy_arns: [arn:aws-cn:iam::aws:policy/X, x]}
`, []string{
			"line 1: api: want a text, got int; leave the key out, or put quotes around",
			"line 2: colour: unknown key; there are api, roles",
			"line 4: roles.Prod: an alias has 1 to 63 of a-z, 0-9 and -, and begins with a letter",
			"line 4: roles.Prod.role_arn: want the ARN of a role",
			"line 9: roles.a.tags.aws:x: keys that begin with aws: are AWS's own",
			"line 9: roles.a.tags.verdict-decision-id: verdict sets this one itself",
			"line 9: roles.a.tags.a;b: STS takes letters",
			"line 9: roles.a.tags.ok: want a text, got int",
			"line 9: roles.a.tags.Ok: STS takes one tag of a name",
			"line 9: roles.a.tags.v: STS takes letters",
			"line 9: roles.a.tags.w: {principal.name} is no placeholder; there are {principal.id}, {principal.tenant}",
			"line 11: roles.a.rolearn: unknown key; there are action, description, external_id_file, max_duration, policy, policy_arns",
			"line 6: roles.a.role_arn: want the ARN of a role",
			"line 6: roles.a.action: want assume_role or web_identity",
			"line 8: roles.a.max_duration: want 15m0s to 1h0m0s in whole seconds: verdict's own role makes it role chaining",
			"line 10: roles.a.transitive_tag_keys: there is no tag missing",
			"line 12: roles: a is there twice",
			"line 13: roles.b.max_duration: want 15m0s to 1h0m0s",
			"line 13: roles.b.region: is of partition aws, and the role of aws-cn",
			"line 14: roles.c.policy_arns[1]: want the ARN of a managed policy",
			"line 14: roles.c: tags, transitive_tag_keys and external_id_file are for assume_role",
			"line 14: roles.c.max_duration: want 15m0s to 12h0m0s in whole seconds",
			"line 14: roles.c.policy_arns: arn:aws-cn:iam::aws:policy/X is of another partition than the role",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := credentials.LoadRoles(write(t, "roles.yaml", tc.file))
			if err == nil {
				t.Fatal("was taken")
			}
			_, all, _ := strings.Cut(err.Error(), "roles.yaml: ")
			got := strings.Split(all, "\n")
			for i, want := range tc.want {
				if i >= len(got) || !strings.HasPrefix(got[i], want) {
					t.Fatalf("problem %d is not %q in\n%s", i, want, all)
				}
			}
			if len(got) != len(tc.want) {
				t.Errorf("%d problems, want %d:\n%s", len(got), len(tc.want), all)
			}
		})
	}
}

func TestLoadRolesTakesRolesOfEveryPartition(t *testing.T) {
	for arn, region := range map[string]string{
		"arn:aws:iam::123456789012:role/a": "ap-southeast-4", "arn:aws-cn:iam::123456789012:role/a/b/c": "cn-northwest-1",
		"arn:aws-us-gov:iam::123456789012:role/a": "us-gov-west-1", "arn:aws-iso:iam::123456789012:role/a": "us-iso-east-1",
		"arn:aws-iso-b:iam::123456789012:role/a": "us-isob-east-1", "arn:aws-eusc:iam::123456789012:role/a": "eusc-de-east-1",
	} {
		t.Run(arn, func(t *testing.T) {
			r := load(t, fmt.Sprintf("api: aws\nroles: {a: {role_arn: %q, region: %s}}", arn, region))
			if r.Len() != 1 || r.API() != "aws" {
				t.Errorf("%d roles of %s", r.Len(), r.API())
			}
		})
	}
}

func TestPolicies(t *testing.T) {
	for name, tc := range map[string]struct {
		policy string
		want   string // of the error; "": none
	}{
		"variables of IAM stay":                 {`{"Version":"2012-10-17","Statement":{"Resource":"${aws:PrincipalTag/x, 'y'}"}}`, ""},
		"a placeholder":                         {`{"Version":"2012-10-17","Statement":{"Resource":"x/{principal.id}"}}`, ""},
		"one of ours as one of IAM's":           {`{"Version":"2012-10-17","Statement":{"Resource":"${principal.id}"}}`, "at /Statement/Resource: ${principal.id} is no variable of IAM; write {principal.id}"},
		"a placeholder for a name":              {`{"Version":"2012-10-17","Statement":{"{principal.id}":"x"}}`, "a placeholder cannot stand in a name"},
		"an escaped one for a name":             {`{"Version":"2012-10-17","Statement":{"\u007bprincipal.id}":"x"}}`, "a placeholder cannot stand in a name"},
		"one that is not there":                 {`{"Version":"2012-10-17","Statement":{"R":"{principal.mail}"}}`, "{principal.mail} is no placeholder"},
		"half a brace":                          {`{"Version":"2012-10-17","Statement":{"R":"a}b"}}`, "a brace that belongs to no placeholder"},
		"the other half":                        {`{"Version":"2012-10-17","Statement":{"R":"a{b"}}`, "a brace that belongs to no placeholder"},
		"a member twice":                        {`{"Version":"2012-10-17","Statement":{"R":"a","R":"b"}}`, "it is no JSON"},
		"no version":                            {`{"Statement":[]}`, `its Version must be "2012-10-17"`},
		"the old version":                       {`{"Version":"2008-10-17","Statement":[]}`, `its Version must be "2012-10-17"`},
		"a version that is of something else":   {`{"Statement":[{"Version":"2012-10-17"}]}`, `its Version must be "2012-10-17"`},
		"no statement":                          {`{"Version":"2012-10-17"}`, "it is no policy"},
		"a list":                                {`[{"Version":"2012-10-17","Statement":[]}]`, "it is no policy"},
		"not JSON":                              {`{"Version":`, "it is no JSON"},
		"two policies":                          {`{"Version":"2012-10-17","Statement":[]} {}`, "it is no JSON"},
		"what STS does not take":                {`{"Version":"2012-10-17","Statement":{"R":"→"}}`, `STS takes no '→' in a policy`},
		"too long before anything is filled in": {`{"Version":"2012-10-17","Statement":{"R":"` + strings.Repeat("x", 2048) + `"}}`, "STS takes 2048, even before"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			if err := os.WriteFile(filepath.Join(folder, "policy.json"), []byte("\n  "+tc.policy+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, field := range []string{"policy: '" + strings.ReplaceAll(tc.policy, "'", "''") + "'", "policy_file: policy.json"} {
				file := filepath.Join(folder, "roles.yaml")
				if err := os.WriteFile(file, []byte("api: aws\nroles:\n  a:\n    role_arn: arn:aws:iam::123456789012:role/a\n    "+field+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := credentials.LoadRoles(file)
				if (err == nil) != (tc.want == "") || !strings.Contains(fmt.Sprint(err), tc.want) {
					t.Errorf("%s: %v", field[:12], err)
				}
			}
		})
	}
}

func TestFilesOfARole(t *testing.T) {
	const id = "CANARY-external-id"
	folder := t.TempDir()
	files := map[string]string{"id": id + "\n", "bad-id": "CANARY-\x00", "huge": strings.Repeat("x", 1<<20+1)}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct{ field, want string }{
		"an external id":                  {"external_id_file: id", ""},
		"by its whole name":               {"external_id_file: " + filepath.Join(folder, "id"), ""},
		"one that STS would refuse":       {"external_id_file: bad-id", "roles.a.external_id_file: bad-id holds no external id"},
		"one that is not there":           {"external_id_file: none", "line 5: roles.a.external_id_file: open"},
		"a file that is far too large":    {"policy_file: huge", "over 1048576 bytes"},
		"a policy in two places":          {"policy: x\n    policy_file: id", "give policy or policy_file"},
		"a policy that is YAML":           {"policy: {Version: 2012-10-17}", "want JSON as a text"},
		"a name of a file that is a list": {"policy_file: [x]", "want a text, got a list"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(folder, "roles.yaml")
			if err := os.WriteFile(file, []byte("api: aws\nroles:\n  a:\n    role_arn: arn:aws:iam::123456789012:role/a\n    "+tc.field+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			roles, err := credentials.LoadRoles(file)
			if (err == nil) != (tc.want == "") || !strings.Contains(fmt.Sprint(err), tc.want) {
				t.Errorf("%v", err)
			}
			if regexp.MustCompile("CANARY").MatchString(fmt.Sprint(err)) {
				t.Errorf("the external id is in %v", err)
			}
			if err == nil && roles.Len() != 1 {
				t.Error("no role")
			}
		})
	}
	if _, err := credentials.LoadRoles(filepath.Join(folder, "none.yaml")); err == nil {
		t.Error("a file that is not there was taken")
	}
}

func TestTheFileOfTheGuideIsTaken(t *testing.T) {
	guide, err := os.ReadFile("../../docs/aws-credentials.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(api: .*?)```").FindAllSubmatch(guide, -1)
	if len(blocks) == 0 {
		t.Fatal("the guide has no file")
	}
	folder := t.TempDir()
	for _, name := range []string{"external-id", "policy.json"} {
		content := "ext-id"
		if name == "policy.json" {
			content = `{"Version":"2012-10-17","Statement":[]}`
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range blocks {
		file := filepath.Join(folder, "roles.yaml")
		if err := os.WriteFile(file, b[1], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := credentials.LoadRoles(file); err != nil {
			t.Errorf("%v", err)
		}
	}
}
