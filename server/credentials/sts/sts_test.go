package sts_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/verdict-authz/verdict/server/credentials"
	"github.com/verdict-authz/verdict/server/credentials/sts"
	"github.com/verdict-authz/verdict/server/secret"
)

const tokenCanary = "CANARY.of.token"

// isolate leaves nothing of this machine's AWS to the library but these.
func isolate(t *testing.T, pairs ...string) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // restored by the test's end
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	t.Setenv("AWS_CONFIG_FILE", none)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", none)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for i := 0; i < len(pairs); i += 2 {
		t.Setenv(pairs[i], pairs[i+1])
	}
}

var ownKeys = []string{"AWS_ACCESS_KEY_ID", "AKIAOWN", "AWS_SECRET_ACCESS_KEY", "CANARY-own-secret"}

// stub is STS as far as forms and answers go.
type stub struct {
	*httptest.Server

	mu     sync.Mutex
	forms  []url.Values
	signed []string // Authorization headers
	status int      // 0 means 200
	body   string
	wait   bool // until the client goes away
}

func newStub(t *testing.T) *stub {
	t.Helper()
	s := &stub{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		s.mu.Lock()
		s.forms, s.signed = append(s.forms, r.PostForm), append(s.signed, r.Header.Get("Authorization"))
		status, body, wait := s.status, s.body, s.wait
		s.mu.Unlock()
		if wait {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "text/xml")
		if status != 0 {
			w.WriteHeader(status)
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	return s
}

func answer(action string) string {
	return fmt.Sprintf(`<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult>
<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/r/d</Arn><AssumedRoleId>X:d</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>ASIANEW</AccessKeyId><SecretAccessKey>new-secret</SecretAccessKey><SessionToken>new-token</SessionToken>
<Expiration>2026-11-21T12:15:00Z</Expiration></Credentials><PackedPolicySize>33</PackedPolicySize>
</%[1]sResult><ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></%[1]sResponse>`, action)
}

func refusal(code, text string) string {
	return `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>` + code +
		`</Code><Message>` + text + `</Message></Error><RequestId>r-2</RequestId></ErrorResponse>`
}

func (s *stub) client(t *testing.T) *sts.Client {
	t.Helper()
	c, err := sts.New(t.Context(), sts.Config{Endpoint: s.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func full(a credentials.Action) *credentials.Session {
	s := &credentials.Session{
		Alias: "reader", RoleARN: "arn:aws:iam::123456789012:role/r", Action: a, Name: "decision-1", Duration: time.Hour, Region: "eu-west-1",
		Policy: `{"Version":"2012-10-17","Statement":[]}`, PolicyARNs: []string{"arn:aws:iam::aws:policy/A", "arn:aws:iam::aws:policy/B"},
	}
	if a == credentials.AssumeRole {
		s.SourceIdentity, s.ExternalID = "object-id", secret.NewValue([]byte("ext"))
		s.Tags = []credentials.Tag{{Key: "team", Value: "orders"}, {Key: "verdict-decision-id", Value: "decision-1"}}
		s.TransitiveTags = []string{"team"}
	}
	return s
}

func TestTheFormIsWhatTheSessionSays(t *testing.T) {
	common := map[string]string{
		"Version": "2011-06-15", "RoleArn": "arn:aws:iam::123456789012:role/r", "RoleSessionName": "decision-1", "DurationSeconds": "3600",
		"Policy": `{"Version":"2012-10-17","Statement":[]}`, "PolicyArns.member.1.arn": "arn:aws:iam::aws:policy/A", "PolicyArns.member.2.arn": "arn:aws:iam::aws:policy/B",
	}
	for name, tc := range map[string]struct {
		action credentials.Action
		more   map[string]string
		signed string // beginning of the signature
		keys   []string
	}{
		"AssumeRole is signed for its region": {credentials.AssumeRole, map[string]string{
			"Action": "AssumeRole", "SourceIdentity": "object-id", "ExternalId": "ext", "TransitiveTagKeys.member.1": "team",
			"Tags.member.1.Key": "team", "Tags.member.1.Value": "orders", "Tags.member.2.Key": "verdict-decision-id", "Tags.member.2.Value": "decision-1",
		}, "AWS4-HMAC-SHA256 Credential=AKIAOWN/", ownKeys},
		"AssumeRoleWithWebIdentity is not signed": {credentials.WebIdentity, map[string]string{
			"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": tokenCanary,
		}, "", ownKeys},
		"nor does it need credentials": {credentials.WebIdentity, map[string]string{
			"Action": "AssumeRoleWithWebIdentity", "WebIdentityToken": tokenCanary,
		}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t, tc.keys...)
			s := newStub(t)
			s.body = answer(tc.action.String())
			got, err := s.client(t).Assume(t.Context(), full(tc.action), secret.NewValue([]byte(tokenCanary)))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, m := range []map[string]string{common, tc.more} {
				for k, v := range m {
					want[k] = v
				}
			}
			form := map[string]string{}
			for k, v := range s.forms[0] {
				form[k] = strings.Join(v, "|")
			}
			if diff := cmp.Diff(want, form); diff != "" {
				t.Error(diff)
			}
			if tc.signed == "" && s.signed[0] != "" || !strings.HasPrefix(s.signed[0], tc.signed) || tc.signed != "" && !strings.Contains(s.signed[0], "/eu-west-1/sts/aws4_request") {
				t.Errorf("signed as %s", s.signed[0])
			}
			if got.AccessKeyID != "ASIANEW" || got.SecretAccessKey.Reveal() != "new-secret" || got.SessionToken.Reveal() != "new-token" || got.PackedPolicyPercent != 33 ||
				!got.ExpiresAt.Equal(time.Date(2026, 11, 21, 12, 15, 0, 0, time.UTC)) || got.ARN != "arn:aws:sts::123456789012:assumed-role/r/d" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestTheRoomThatWasUsedIsThatOfTheSessionToken(t *testing.T) {
	isolate(t)
	const utilization = "<SessionTokenUtilization>%d</SessionTokenUtilization><PackedPolicySize>"
	for name, tc := range map[string]struct {
		more string
		want int
	}{
		"an STS that only knows the packed size": {"<PackedPolicySize>", 33},
		"one that tells both":                    {fmt.Sprintf(utilization, 7), 7},
		"one whose token is nearly full":         {fmt.Sprintf(utilization, 97), 97},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(t)
			s.body = strings.Replace(answer("AssumeRoleWithWebIdentity"), "<PackedPolicySize>", tc.more, 1)
			got, err := s.client(t).Assume(t.Context(), full(credentials.WebIdentity), secret.NewValue([]byte(tokenCanary)))
			if err != nil || got.PackedPolicyPercent != tc.want {
				t.Errorf("%d %%, %v", got.PackedPolicyPercent, err)
			}
		})
	}
}

func TestWhatAWSSaysBecomesOneOfTwoThings(t *testing.T) {
	isolate(t, ownKeys...)
	for name, tc := range map[string]struct {
		status int
		body   string
		want   credentials.RefusedError // zero: unavailable
		tries  int
	}{
		"access denied, and to what": {403, refusal("AccessDenied", "User: arn:aws:sts::1:assumed-role/verdict/i is not authorized to perform: sts:TagSession on resource: CANARY"),
			credentials.RefusedError{Code: "AccessDenied", Action: "sts:TagSession", RequestID: "r-2"}, 1},
		"a malformed policy":           {400, refusal("MalformedPolicyDocument", "CANARY"), credentials.RefusedError{Code: "MalformedPolicyDocument", RequestID: "r-2"}, 1},
		"a packed policy too large":    {400, refusal("PackedPolicyTooLarge", "CANARY"), credentials.RefusedError{Code: "PackedPolicyTooLarge", RequestID: "r-2"}, 1},
		"a region that is off":         {403, refusal("RegionDisabledException", "CANARY"), credentials.RefusedError{Code: "RegionDisabledException", RequestID: "r-2"}, 1},
		"a token that is not taken":    {400, refusal("InvalidIdentityToken", "CANARY"), credentials.RefusedError{Code: "InvalidIdentityToken", RequestID: "r-2"}, 1},
		"a code that is none":          {400, refusal("CANARY of a code\n", "x"), credentials.RefusedError{Code: "Unknown", RequestID: "r-2"}, 1},
		"throttling":                   {400, refusal("Throttling", "CANARY"), credentials.RefusedError{}, 3},
		"a fault of AWS":               {500, refusal("InternalFailure", "CANARY"), credentials.RefusedError{}, 3},
		"a page of something between":  {502, "<html>CANARY</html>", credentials.RefusedError{}, 3},
		"keys of the issuer not found": {400, refusal("IDPCommunicationError", "CANARY"), credentials.RefusedError{}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStub(t)
			s.status, s.body = tc.status, tc.body
			_, err := s.client(t).Assume(t.Context(), full(credentials.AssumeRole), secret.Value{})
			var refused *credentials.RefusedError
			switch {
			case tc.want == (credentials.RefusedError{}):
				if !errors.Is(err, credentials.ErrUnavailable) || errors.As(err, &refused) {
					t.Errorf("%v", err)
				}
			case !errors.As(err, &refused) || *refused != tc.want:
				t.Errorf("%v, want %+v", err, tc.want)
			}
			if strings.Contains(fmt.Sprint(err), "CANARY") {
				t.Errorf("AWS's own text is in %v", err)
			}
			if len(s.forms) < 1 || len(s.forms) > tc.tries {
				t.Errorf("asked %d times", len(s.forms))
			}
		})
	}
}

func TestWhatCannotBeAskedIsUnavailable(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	isolate(t)
	gone := newStub(t)
	gone.Close()
	slow := newStub(t)
	slow.wait = true
	for name, tc := range map[string]struct {
		stub   *stub
		action credentials.Action
	}{
		"nobody listens":            {gone, credentials.WebIdentity},
		"no answer in time":         {slow, credentials.WebIdentity},
		"no credentials of its own": {newStub(t), credentials.AssumeRole},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tc.stub.client(t).Assume(ctx, full(tc.action), secret.NewValue([]byte(tokenCanary)))
			if !errors.Is(err, credentials.ErrUnavailable) || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestTheRegionOfTheSurroundings(t *testing.T) {
	isolate(t, "AWS_REGION", "eu-north-1")
	c, err := sts.New(t.Context(), sts.Config{})
	if err != nil || c.Region() != "eu-north-1" {
		t.Errorf("%v", err)
	}
	broken := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(broken, []byte("[default]\nregion = x\ncredential_source = CANARY\nrole_arn = y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	isolate(t, "AWS_CONFIG_FILE", broken)
	if _, err := sts.New(t.Context(), sts.Config{}); err == nil || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("%v", err)
	}
}

// roundTrip answers for the whole internet.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEachRegionHasItsOwnEndpoint(t *testing.T) {
	isolate(t, ownKeys...)
	hosts := []string{}
	c, err := sts.New(t.Context(), sts.Config{HTTP: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		hosts = append(hosts, r.URL.Scheme+"://"+r.URL.Host)
		w := httptest.NewRecorder()
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.WriteString(refusal("AccessDenied", ""))
		return w.Result(), nil
	})}})
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1"} {
		s := full(credentials.AssumeRole)
		s.Region = region
		_, _ = c.Assume(t.Context(), s, secret.Value{})
	}
	want := []string{
		"https://sts.us-east-1.amazonaws.com", "https://sts.eu-west-1.amazonaws.com", "https://sts.cn-north-1.amazonaws.com.cn",
		"https://sts.us-gov-west-1.amazonaws.com",
	}
	if diff := cmp.Diff(want, hosts); diff != "" {
		t.Error(diff)
	}
}

// A token and the credentials that it is exchanged for went out in the open, to wherever a setting or a variable said.
func TestNobodyOnTheWayReadsCredentials(t *testing.T) {
	for name, tc := range map[string]struct {
		endpoint, variable string
		refused            bool
	}{
		"plaintext to another machine":               {endpoint: "http://sts.example.com", refused: true},
		"plaintext to another machine by a variable": {variable: "http://192.0.2.7:4566", refused: true},
		"an address with a password":                 {endpoint: "https://user:hunter2@sts.example.com", refused: true},
		"TLS":                                        {endpoint: "https://vpce-1.sts.eu-west-1.vpce.amazonaws.com"},
		"this machine":                               {variable: "http://127.0.0.1:4566"},
	} {
		t.Run(name, func(t *testing.T) {
			isolate(t, ownKeys...)
			t.Setenv("AWS_ENDPOINT_URL_STS", tc.variable)
			_, err := sts.New(t.Context(), sts.Config{Endpoint: tc.endpoint})
			if (err != nil) != tc.refused || err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v", err)
			}
		})
	}
}
