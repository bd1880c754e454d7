package stsidentity_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/verdict-authz/verdict/proto/verdictclient/stsidentity"
)

// sts answers as STS does; what each request looked like is checked.
type sts struct {
	url    string
	asked  atomic.Int64
	mu     sync.Mutex
	answer func(n int64) (code int, body string)
}

func (s *sts) says(answer func(n int64) (int, string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func granted(token string, expiry time.Time) string {
	return fmt.Sprintf(`<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult>
<WebIdentityToken>%s</WebIdentityToken><Expiration>%s</Expiration></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>`, token, expiry.UTC().Format(time.RFC3339))
}

func refused(code string) string {
	return `<ErrorResponse><Error><Type>Sender</Type><Code>` + code + `</Code><Message>secret detail</Message></Error></ErrorResponse>`
}

func startSTS(t *testing.T) *sts {
	t.Helper()
	s := new(sts)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := s.asked.Add(1)
		_ = r.ParseForm()
		for key, want := range map[string]string{
			"Action": "GetWebIdentityToken", "Version": "2011-06-15", "Audience.member.1": "https://verdict.example.com",
			"SigningAlgorithm": "RS256", "DurationSeconds": "300",
		} {
			if got := r.PostForm.Get(key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		auth := r.Header.Get("Authorization")
		if !strings.HasPrefix(auth, "AWS4-HMAC-SHA256 Credential=AKID/20261121/eu-central-1/sts/aws4_request, ") || r.Header.Get("X-Amz-Security-Token") != "session" {
			t.Errorf("signed as %q with session token %q", auth, r.Header.Get("X-Amz-Security-Token"))
		}
		s.mu.Lock()
		answer := s.answer
		s.mu.Unlock()
		code, body := answer(n)
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(web.Close)
	s.url = web.URL
	return s
}

var start = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func source(t *testing.T, s *sts, now func() time.Time) *stsidentity.Source {
	t.Helper()
	src, err := stsidentity.New(stsidentity.Config{
		Audience: "https://verdict.example.com", Region: "eu-central-1", Endpoint: s.url, Now: now,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "hidden", SessionToken: "session"}, nil
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestATokenIsKeptForFourFifthsOfItsLife(t *testing.T) {
	s, now := startSTS(t), start
	s.says(func(n int64) (int, string) { return 200, granted(fmt.Sprintf("a.%d.c", n), now.Add(5*time.Minute)) })
	src := source(t, s, func() time.Time { return now })
	for _, step := range []struct {
		after time.Duration
		want  string
	}{{0, "Bearer a.1.c"}, {3*time.Minute + 59*time.Second, "Bearer a.1.c"}, {4 * time.Minute, "Bearer a.2.c"}, {time.Hour, "Bearer a.3.c"}} {
		now = start.Add(step.after)
		got, err := src.GetRequestMetadata(t.Context())
		if err != nil || got[stsidentity.Header] != step.want {
			t.Errorf("after %s: %q, %v; want %q", step.after, got, err, step.want)
		}
	}
	if !src.RequireTransportSecurity() {
		t.Error("it would travel in plaintext")
	}
}

func TestATokenThatHasNotEndedServesWhileSTSIsAway(t *testing.T) {
	s, now := startSTS(t), start
	s.says(func(int64) (int, string) { return 200, granted("a.b.c", now.Add(5*time.Minute)) })
	src := source(t, s, func() time.Time { return now })
	if _, err := src.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.says(func(int64) (int, string) { return 503, refused("ServiceUnavailable") })
	now = start.Add(4*time.Minute + 30*time.Second)
	if got, err := src.Token(t.Context()); err != nil || got != "a.b.c" {
		t.Errorf("%q, %v", got, err)
	}
	now = start.Add(4*time.Minute + 55*time.Second)
	if _, err := src.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "503 ServiceUnavailable") {
		t.Errorf("at its end: %v", err)
	}
}

// A silent STS must not use up the time of the questions that an old token would do for.
func TestASilentSTSCostsLittleWhileThereIsAToken(t *testing.T) {
	s, now := startSTS(t), start
	s.says(func(int64) (int, string) { return 200, granted("a.b.c", now.Add(5*time.Minute)) })
	src := source(t, s, func() time.Time { return now })
	if _, err := src.Token(t.Context()); err != nil {
		t.Fatal(err)
	}
	silent := make(chan struct{})
	t.Cleanup(func() { close(silent) })
	s.says(func(int64) (int, string) { <-silent; return 200, "" })
	for _, step := range []struct {
		after time.Duration
		asked int64
	}{{4 * time.Minute, 2}, {4*time.Minute + 9*time.Second, 2}, {4*time.Minute + 10*time.Second, 3}} {
		now = start.Add(step.after)
		began := time.Now()
		if got, err := src.Token(t.Context()); err != nil || got != "a.b.c" {
			t.Errorf("after %s: %q, %v", step.after, got, err)
		}
		if took := time.Since(began); took > 1500*time.Millisecond {
			t.Errorf("after %s: took %s, and a question has 2 s", step.after, took)
		}
		if n := s.asked.Load(); n != step.asked {
			t.Errorf("after %s: STS was asked %d times, want %d", step.after, n, step.asked)
		}
	}
}

func TestWhereSTSIs(t *testing.T) {
	for name, tc := range map[string]struct {
		endpoint, variable, region string
		problem                    string // "": none
	}{
		"the region says it":                        {region: "eu-central-1"},
		"AWS's own variable is an endpoint":         {variable: "https://vpce-1.sts.eu-central-1.vpce.amazonaws.com/", region: "eu-central-1"},
		"so is one of a partition not known here":   {variable: "https://sts.example.com", region: "moon-1"},
		"plain HTTP stays on the machine":           {variable: "http://127.0.0.1:4601", region: "eu-central-1"},
		"plain HTTP does not leave it":              {variable: "http://sts.eu-central-1.amazonaws.com", region: "eu-central-1", problem: "AWS_ENDPOINT_URL_STS: want https"},
		"a name of this machine may be any machine": {endpoint: "http://localhost:4601", region: "eu-central-1", problem: "endpoint: want https"},
		"an endpoint is signed for a region too":    {endpoint: "https://sts.example.com", problem: "AWS_REGION"},
		"a host is no URL":                          {variable: "sts.eu-central-1.amazonaws.com", region: "eu-central-1", problem: "AWS_ENDPOINT_URL_STS: not the URL"},
		"a password in a URL is not repeated":       {variable: "https://user:hidden@sts.example.com", region: "eu-central-1", problem: "AWS_ENDPOINT_URL_STS: not the URL"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL_STS", tc.variable)
			t.Setenv("AWS_REGION", tc.region)
			_, err := stsidentity.New(stsidentity.Config{Audience: "a", Endpoint: tc.endpoint})
			if (err == nil) != (tc.problem == "") || err != nil && (!strings.Contains(err.Error(), tc.problem) || strings.Contains(err.Error(), "hidden")) {
				t.Errorf("%v, want %q", err, tc.problem)
			}
		})
	}
}

func TestWhatSTSRefusesIsToldWithoutItsText(t *testing.T) {
	for name, tc := range map[string]struct {
		code int
		body string
		want string
	}{
		"federation is off":         {400, refused("OutboundWebIdentityFederationDisabledException"), "outbound identity federation is not enabled"},
		"the role may not":          {403, refused("AccessDenied"), "sts:GetWebIdentityToken"},
		"another code":              {400, refused("ExpiredToken"), "400 ExpiredToken"},
		"a code that is not one":    {400, refused("x y<!---->"), "answer 400"},
		"not XML":                   {200, "{}", "not what STS says"},
		"an answer without a token": {200, granted("", start.Add(time.Minute)), "without a token"},
		"what is not a token":       {200, granted("abc", start.Add(time.Minute)), "without a token"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSTS(t)
			s.says(func(int64) (int, string) { return tc.code, tc.body })
			_, err := source(t, s, func() time.Time { return start }).Token(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestManyWaitForOneFetch(t *testing.T) {
	s := startSTS(t)
	s.says(func(int64) (int, string) { return 200, granted("a.b.c", start.Add(5*time.Minute)) })
	src := source(t, s, func() time.Time { return start })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, err := src.Token(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	_, err := stsidentity.New(stsidentity.Config{Region: "mars", Life: 30 * time.Second})
	for _, want := range []string{"audience", "region", "life"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not speak of the %s", err, want)
		}
	}
}

func TestTheVariableOfAWSLeadsToAnotherSTS(t *testing.T) {
	s := startSTS(t)
	s.says(func(int64) (int, string) { return 200, granted("a.b.c", start.Add(5*time.Minute)) })
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL_STS": s.url + "/", "AWS_REGION": "eu-central-1",
		"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_SESSION_TOKEN": "session",
	} {
		t.Setenv(name, value)
	}
	src, err := stsidentity.New(stsidentity.Config{Audience: "https://verdict.example.com", Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := src.Token(t.Context()); err != nil || got != "a.b.c" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWithoutCredentialsNothingIsSent(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	src, err := stsidentity.New(stsidentity.Config{Audience: "a", Region: "eu-central-1", HTTP: &http.Client{Transport: refuse{}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Token(t.Context()); err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") {
		t.Error(err)
	}
}

type refuse struct{}

func (refuse) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("was sent") }
