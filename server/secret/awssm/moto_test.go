package awssm_test

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/server/secret/awssm"
)

const region = "eu-west-1"

// moto is a server that answers as Secrets Manager does, in a process of its own.
type moto struct {
	url   string
	admin *secretsmanager.Client
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// startMoto runs the program that VERDICT_TEST_MOTO names and points AWS's library to it. Without it the test is skipped,
// unless VERDICT_TEST_REQUIRE lists moto.
func startMoto(t *testing.T) *moto {
	t.Helper()
	program := os.Getenv("VERDICT_TEST_MOTO")
	if program == "" {
		const text = "VERDICT_TEST_MOTO is not set; .ci/tools.sh moto installs it and .ci/tools.sh --env sets it"
		if slices.Contains(strings.Split(os.Getenv("VERDICT_TEST_REQUIRE"), ","), "moto") {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	// The shell ends the server with standard input, which ends with this process, however that comes.
	const watch = `"$@" </dev/null & pid=$!; cat >/dev/null; kill $pid; wait $pid`
	cmd := exec.Command("/bin/sh", "-c", watch, "watch", program, "-H", "127.0.0.1", "-p", "0")
	cmd.Dir = t.TempDir()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	base, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if found := address.FindString(lines.Text()); found != "" {
				base <- found
				break
			}
		}
		_, _ = io.Copy(io.Discard, said) // it logs every request, and would wait for a reader
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		<-ended
		_ = cmd.Wait() // the server was killed
	})
	isolate(t)
	m := &moto{}
	select {
	case m.url = <-base:
	case <-time.After(60 * time.Second):
		t.Fatal("moto did not start in 60 s")
	}
	t.Setenv("AWS_ENDPOINT_URL", m.url)
	m.admin = secretsmanager.New(secretsmanager.Options{
		Region: region, BaseEndpoint: &m.url,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "admin", SecretAccessKey: "admin"}, nil
		}),
	})
	return m
}

// isolate leaves nothing of this machine's AWS to the library.
func isolate(t *testing.T) {
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
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "test")
}

func (m *moto) create(t *testing.T, name, content string) (arn string) {
	t.Helper()
	out, err := m.admin.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &name, SecretString: &content})
	if err != nil {
		t.Fatal(err)
	}
	return *out.ARN
}

// put makes a new version in stages; none means AWSCURRENT.
func (m *moto) put(t *testing.T, name, content string, stages ...string) (version string) {
	t.Helper()
	out, err := m.admin.PutSecretValue(t.Context(), &secretsmanager.PutSecretValueInput{SecretId: &name, SecretString: &content, VersionStages: stages})
	if err != nil {
		t.Fatal(err)
	}
	return *out.VersionId
}

func parse(t *testing.T, text string) secret.Ref {
	t.Helper()
	ref, err := secret.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func newSource(t *testing.T, ref string, f *awssm.Fetcher, cfg secret.Config) *secret.Source {
	t.Helper()
	s, err := secret.NewSource(parse(t, ref), secret.Fetchers{secret.AWSSecretsManager: f}, slog.New(slog.DiscardHandler), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wants(t *testing.T, s *secret.Source, want string) {
	t.Helper()
	if got, err := s.Get(t.Context()); err != nil || got.Reveal() != want {
		t.Fatalf("%q, %v; want %q", got.Reveal(), err, want)
	}
}

func TestSecretsManager(t *testing.T) {
	m := startMoto(t)
	t.Setenv("AWS_REGION", region)
	arn := m.create(t, "prod/db", `{"username": "verdict", "password": "hunter2", "port": 5432, "empty": ""}`)
	m.create(t, "plain", "hunter2\n")
	m.create(t, "list", `["hunter2"]`)
	blob := "binary"
	if _, err := m.admin.CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{Name: &blob, SecretBinary: []byte{0, 1, 2}}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ref, region string
		want        string
		err         string // contained in the error
	}{
		"a key of a secret":                  {ref: "awssm://prod/db#password", want: "hunter2"},
		"all of a secret, as it is":          {ref: "awssm://plain", want: "hunter2\n"},
		"bytes":                              {ref: "awssm://binary", want: "\x00\x01\x02"},
		"by ARN":                             {ref: "awssm://" + arn + "#username", want: "verdict"},
		"by ARN from another region":         {ref: "awssm://" + arn + "#username", region: "us-east-1", want: "verdict"},
		"the reference's region comes first": {ref: "awssm://prod/db?region=eu-west-1#x", region: "us-east-1", err: "-"},
		"in its region":                      {ref: "awssm://prod/db#username?region=eu-west-1", region: "us-east-1", want: "verdict"},
		"not in another region":              {ref: "awssm://prod/db#username?region=us-east-1", err: "AWS says ResourceNotFoundException"},
		"nor in the configured one":          {ref: "awssm://prod/db#username", region: "us-east-1", err: "AWS says ResourceNotFoundException"},
		"a key that is not there":            {ref: "awssm://prod/db#passphrase", err: `awssm://prod/db#passphrase: it has no key "passphrase"`},
		"a key of what is no JSON":           {ref: "awssm://plain#password", err: `it is no JSON object, and has no key "password"`},
		"a key of a list":                    {ref: "awssm://list#password", err: `it is no JSON object, and has no key "password"`},
		"a key that is a number":             {ref: "awssm://prod/db#port", err: `its key "port" is not a string`},
		"a key that is empty":                {ref: "awssm://prod/db#empty", err: `its key "empty" is empty`},
		"a secret that is not there":         {ref: "awssm://prod/other", err: "awssm://prod/other: AWS says ResourceNotFoundException"},
		"a stage that is not there":          {ref: "awssm://prod/db#password?stage=AWSPENDING", err: "AWS says ResourceNotFoundException"},
	} {
		t.Run(name, func(t *testing.T) {
			ref, err := secret.Parse(tc.ref)
			if tc.err == "-" {
				if err == nil {
					t.Error("read")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := awssm.New(awssm.Config{Region: tc.region}).Fetch(t.Context(), ref)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "5432") {
					t.Errorf("error %v, want %q", err, tc.err)
				}
				return
			}
			if err != nil || got.Value.Reveal() != tc.want || got.Version == "" || got.Since.IsZero() {
				t.Errorf("%q %+v, %v", got.Value.Reveal(), got, err)
			}
		})
	}
}

func TestARotationIsSeenWithinThePoll(t *testing.T) {
	m := startMoto(t)
	m.create(t, "db", `{"password": "first"}`)
	s := newSource(t, "awssm://db#password?region="+region, awssm.New(awssm.Config{}), secret.Config{Every: 200 * time.Millisecond})
	changed := make(chan string, 4)
	s.OnChange(func(v secret.Value) { changed <- v.Reveal() })
	wants(t, s, "first")
	if _, ok := s.Previous(t.Context()); ok {
		t.Error("a first version has a previous one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go s.Run(ctx)

	// As a rotation goes: a version in AWSPENDING, which nobody reads, and then the stages move.
	pending := m.put(t, "db", `{"password": "second"}`, "AWSPENDING")
	time.Sleep(600 * time.Millisecond)
	wants(t, s, "first")
	described, err := m.admin.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("db")})
	if err != nil {
		t.Fatal(err)
	}
	var current string
	for version, stages := range described.VersionIdsToStages {
		if slices.Contains(stages, "AWSCURRENT") {
			current = version
		}
	}
	moved := time.Now()
	if _, err := m.admin.UpdateSecretVersionStage(t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: aws.String("db"), VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &pending, RemoveFromVersionId: &current,
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-changed:
		if took := time.Since(moved); got != "second" || took > 3*time.Second {
			t.Errorf("%q after %s", got, took)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no change was seen")
	}
	if previous, ok := s.Previous(t.Context()); !ok || previous.Reveal() != "first" {
		t.Errorf("previous %q, %v", previous.Reveal(), ok)
	}

	// Who starts after the change finds the one before in AWSPREVIOUS, as long as the change is young.
	late := newSource(t, "awssm://db#password?region="+region, awssm.New(awssm.Config{}), secret.Config{})
	wants(t, late, "second")
	if previous, ok := late.Previous(t.Context()); !ok || previous.Reveal() != "first" {
		t.Errorf("previous after the start: %q, %v", previous.Reveal(), ok)
	}
	later := newSource(t, "awssm://db#password?region="+region, awssm.New(awssm.Config{}), secret.Config{
		Now: func() time.Time { return time.Now().Add(time.Hour) },
	})
	wants(t, later, "second")
	if _, ok := later.Previous(t.Context()); ok {
		t.Error("the grace does not end")
	}
}

func TestWhenAWSThrottlesOrIsAwayTheLastGoodValueStays(t *testing.T) {
	m := startMoto(t)
	m.create(t, "db", `{"password": "first"}`)
	target, err := url.Parse(m.url)
	if err != nil {
		t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(target)
	var failing atomic.Pointer[http.HandlerFunc]
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f := failing.Load(); f != nil {
			(*f)(w, r)
			return
		}
		through.ServeHTTP(w, r)
	}))
	defer front.Close()
	s := newSource(t, "awssm://db#password?region="+region, awssm.New(awssm.Config{Endpoint: front.URL}),
		secret.Config{Timeout: 2 * time.Second, Pause: time.Nanosecond})
	wants(t, s, "first")
	m.put(t, "db", `{"password": "second"}`)
	for name, tc := range map[string]struct {
		fail http.HandlerFunc
		want string
	}{
		"throttled": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type": "ThrottlingException", "message": "Rate exceeded"}`)
		}, "ThrottlingException"},
		"unavailable": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "hunter2", http.StatusServiceUnavailable) }, "AWS"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client go
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Second):
			}
		}, "does not answer"},
		"denied": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type": "AccessDeniedException", "message": "User: arn:aws:iam::1:user/x is not authorized to perform: secretsmanager:GetSecretValue"}`)
		}, "AccessDeniedException: User: arn:aws:iam::1:user/x is not authorized"},
	} {
		t.Run(name, func(t *testing.T) {
			failing.Store(&tc.fail)
			if err := s.Refresh(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			wants(t, s, "first")
			if got := s.Stats(); got.Problem == "" || got.Failures == 0 {
				t.Errorf("%+v", got)
			}
		})
	}
	failing.Store(nil)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	wants(t, s, "second")
	if p := s.Stats().Problem; p != "" {
		t.Errorf("problem %q", p)
	}
}

func TestWhatTheSurroundingsDoNotSay(t *testing.T) {
	isolate(t)
	_, err := awssm.New(awssm.Config{}).Fetch(t.Context(), parse(t, "awssm://db"))
	if err == nil || !strings.Contains(err.Error(), "in which region?") {
		t.Errorf("no region: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err = awssm.New(awssm.Config{Region: region, Endpoint: "http://127.0.0.1:1"}).Fetch(t.Context(), parse(t, "awssm://db"))
	if err == nil || !strings.Contains(err.Error(), "no credentials") {
		t.Errorf("no credentials: %v", err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
	_, err = awssm.New(awssm.Config{Region: region, Endpoint: "http://127.0.0.1:1"}).Fetch(t.Context(), parse(t, "awssm://db"))
	if err == nil || !strings.Contains(err.Error(), "AWS cannot be reached: dial tcp 127.0.0.1:1") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("no server: %v", err)
	}
}

func TestASecretDoesNotComeOverTheWireInTheOpen(t *testing.T) {
	isolate(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://user:hunter2@192.0.2.7:4566")
	_, err := awssm.New(awssm.Config{Region: region}).Fetch(t.Context(), parse(t, "awssm://db"))
	if err == nil || !strings.Contains(err.Error(), "want https") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%v", err)
	}
}
