package credentials_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/credentials"
	"github.com/verdict-authz/verdict/server/entra"
	"github.com/verdict-authz/verdict/server/pdp"
	"github.com/verdict-authz/verdict/server/policy"
)

// The template that hostile values are put into, and where they stand.
const hostileFile = `
api: aws
roles:
  reader:
    role_arn: arn:aws:iam::123456789012:role/reader
    tags: {id: "{principal.id}", "tenant": "a/{principal.tenant}", "client": "{principal.client}-{alias}"}
    policy: |
      {"Version": "2012-10-17", "Statement": [{"Sid": "S1", "Effect": "Allow", "Action": ["s3:GetObject"],
        "Resource": ["arn:aws:s3:::b/{principal.tenant}/{principal.id}/*", "\u007bprincipal.client}\"${aws:userid}\\"],
        "Condition": {"StringEquals": {"aws:ResourceTag/owner": "{principal.id}"}, "Bool": {"aws:SecureTransport": true}}}]}
`

// hostileService answers allow for a principal with these ids.
func hostileService(t *testing.T, roles *credentials.Roles, id, tenant, client string) *credentials.Server {
	t.Helper()
	answer := pdp.Answer{ID: "01932f5e-8c7a-7b3e-9d2f-5a1c4e8b7d60", Effect: policy.Allow, Reason: policy.AllowedByGrant, Caller: &entra.Token{
		Principal: policy.Principal{Kind: policy.PrincipalUser, TenantID: tenant, ObjectID: id, ClientID: client},
	}}
	s, err := credentials.New(fixed{answer}, &sts{}, roles, respond, slog.New(slog.DiscardHandler), credentials.Config{Region: "eu-west-1"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// checkSession reports what is not as the template has it, with the values in their places and nowhere else.
func checkSession(t *testing.T, s *verdictv1.AwsSession, id, tenant, client string) {
	t.Helper()
	want := map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
		"Sid": "S1", "Effect": "Allow", "Action": []any{"s3:GetObject"},
		"Resource": []any{"arn:aws:s3:::b/" + tenant + "/" + id + "/*", client + `"${aws:userid}\`},
		"Condition": map[string]any{
			"StringEquals": map[string]any{"aws:ResourceTag/owner": id}, "Bool": map[string]any{"aws:SecureTransport": true},
		},
	}}}
	var got map[string]any
	if err := json.Unmarshal([]byte(s.GetPolicy()), &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v: policy %s for %q %q %q", err, s.GetPolicy(), id, tenant, client)
	}
	for _, value := range []string{id, tenant, client} {
		if strings.ContainsAny(value, "*?${}/:\"\\ \n") {
			t.Fatalf("%q stands in a policy: IAM reads more into it than a text", value)
		}
	}
	if keys := slices.Sorted(maps.Keys(s.GetTags())); !slices.Equal(keys, []string{"client", "id", "tenant", "verdict-decision-id"}) ||
		s.GetTags()["id"] != id || s.GetTags()["tenant"] != "a/"+tenant || s.GetTags()["client"] != client+"-reader" {
		t.Fatalf("tags %v", s.GetTags())
	}
	if s.GetSourceIdentity() != id || s.GetSessionName() != "01932f5e-8c7a-7b3e-9d2f-5a1c4e8b7d60" {
		t.Fatalf("session %v", s)
	}
}

// Whatever a token says, a session is as the file has it, with the values in their places, or there is none.
func TestNoValueOfATokenChangesWhatASessionIs(t *testing.T) {
	roles := load(t, hostileFile)
	pieces := []string{
		aliceID, tid, "a", "Z9", "_.@=+-", `"`, `\`, `","Action":"*"`, `"}],"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]`,
		"*", "?", "$", "${aws:username}", "{principal.id}", "{", "}", "/", "..", ":", ",", "&Tags.member.9.Key=admin", "\x00", "\n", "\u2028",
		"é", "\xff", "aws:", " ", "%22", `\u0022`, "</script>", "=", strings.Repeat("x", 300), "verdict-decision-id",
	}
	random := rand.New(rand.NewPCG(1, 2)) // repeatable on purpose
	value := func() string {
		if random.IntN(3) > 0 { // else none of three would ever be fit
			return []string{aliceID, tid, "Z9_.@=+-", "system"}[random.IntN(4)]
		}
		text := ""
		for range 1 + random.IntN(3) {
			text += pieces[random.IntN(len(pieces))]
		}
		return text
	}
	taken, refused := 0, 0
	for range 5000 {
		id, tenant, client := value(), value(), value()
		resp, err := hostileService(t, roles, id, tenant, client).Explain(t.Context(), &verdictv1.ExplainRequest{Token: "t", Alias: "reader"})
		if err != nil {
			refused++
			for _, v := range []string{id, tenant, client} {
				if len(v) > 8 && !strings.Contains(v, "{principal.id}") && strings.Contains(err.Error(), v) {
					t.Fatalf("the error repeats a value: %v", err)
				}
			}
			continue
		}
		taken++
		checkSession(t, resp.GetSession(), id, tenant, client)
	}
	if taken < 1000 || refused < 1000 {
		t.Errorf("%d taken, %d refused: the values are not what this test is about", taken, refused)
	}
}

func FuzzNoValueOfATokenChangesWhatASessionIs(f *testing.F) {
	for _, seed := range []string{aliceID, `"`, `x","Action":"*`, "${aws:x}", "a*", "é", "\xff"} {
		f.Add(seed, tid, client)
		f.Add(aliceID, seed, client)
		f.Add(aliceID, tid, seed)
	}
	f.Fuzz(func(t *testing.T, id, tenant, client string) {
		s := hostileService(t, load(t, hostileFile), id, tenant, client)
		if resp, err := s.Explain(t.Context(), &verdictv1.ExplainRequest{Token: "t", Alias: "reader"}); err == nil && resp.GetSession() != nil {
			checkSession(t, resp.GetSession(), id, tenant, client)
		}
	})
}

// What cannot stand where the file puts it is named, by placeholder and place.
func TestAValueThatCannotStandWhereTheFilePutsItIsRefused(t *testing.T) {
	role := func(more string) string {
		return "api: aws\nroles:\n  reader:\n    role_arn: arn:aws:iam::123456789012:role/reader\n    " + more + "\n"
	}
	object := func(value string) string {
		return `policy: '{"Version":"2012-10-17","Statement":[{"Resource":"` + value + `"}]}'`
	}
	for name, tc := range map[string]struct {
		file           string
		id, tenant, cl string
		want           string
	}{
		"a wildcard in a policy":            {role(object("{principal.client}")), aliceID, tid, "a*", "alias reader: session policy: {principal.client} has characters that cannot stand in a policy"},
		"a path in a policy":                {role(object("{principal.client}")), aliceID, tid, "a/b", "{principal.client} has characters"},
		"nothing in a policy":               {role(object("{principal.client}")), aliceID, tid, "", "there is no {principal.client} in the caller's token"},
		"nothing in a tag":                  {role("tags: {app: '{principal.client}'}"), aliceID, tid, "", "session tag app: there is no {principal.client}"},
		"what STS does not take in a tag":   {role("tags: {app: '{principal.client}'}"), aliceID, tid, "a;b", "session tag app: STS takes letters"},
		"a tag that is too long":            {role("tags: {app: 'x{principal.client}'}"), aliceID, tid, strings.Repeat("é", 256), "session tag app: a value has at most 256 characters"},
		"an id that is no source identity":  {role("description: x"), "a:b", tid, "c", "source identity: STS would not take"},
		"an id that is too long for STS":    {role("description: x"), strings.Repeat("a", 65), tid, "c", "source identity: STS would not take"},
		"a policy that has become too long": {role(object(strings.Repeat("{principal.client}", 30))), aliceID, tid, strings.Repeat("c", 80), "characters; STS takes 2048"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := hostileService(t, load(t, tc.file), tc.id, tc.tenant, tc.cl).Explain(t.Context(), &verdictv1.ExplainRequest{Token: "t", Alias: "reader"})
			if reason(err) != "FailedPrecondition SESSION_NOT_POSSIBLE" || err == nil || !strings.Contains(fmt.Sprint(err), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
