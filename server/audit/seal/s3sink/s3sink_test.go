package s3sink_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/verdict-authz/verdict/server/audit/seal"
	"github.com/verdict-authz/verdict/server/audit/seal/s3sink"
)

const name = "digest-00000042.json"

func open(t *testing.T, endpoint string) *s3sink.Sink {
	t.Helper()
	s, err := s3sink.New(t.Context(), "s3://proofs/verdict/eu/", s3sink.Config{
		Region: "eu-central-1", Endpoint: endpoint, Credentials: credentials.NewStaticCredentialsProvider("AKID", "hunter2", ""),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// bucket answers as S3 does, and keeps what was asked.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	asked   []string
	fail    int // status of the next answers; 0: none
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	b.asked = append(b.asked, fmt.Sprintf("%s %s if-none-match=%s", r.Method, r.URL.Path, r.Header.Get("If-None-Match")))
	there, ok := b.objects[r.URL.Path]
	switch {
	case b.fail != 0:
		w.WriteHeader(b.fail)
	case !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKID/"):
		w.WriteHeader(http.StatusForbidden)
	case r.Method == http.MethodGet && ok:
		_, _ = w.Write(there)
	case r.Method == http.MethodPut && ok && r.Header.Get("If-None-Match") == "*":
		w.WriteHeader(http.StatusPreconditionFailed)
		_, _ = io.WriteString(w, "<Error><Code>PreconditionFailed</Code></Error>")
	case r.Method == http.MethodPut:
		b.objects[r.URL.Path] = body
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestADigestIsPutOnceAndNeverOver(t *testing.T) {
	b := &bucket{objects: make(map[string][]byte)}
	server := httptest.NewServer(b)
	defer server.Close()
	s := open(t, server.URL)
	if s.Name() != "s3://proofs/verdict/eu" {
		t.Errorf("name %s", s.Name())
	}
	content := []byte(`{"number": 42}`)
	for range 2 {
		if err := s.Put(t.Context(), name, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), name, []byte("other")); !errors.Is(err, seal.ErrContradicts) {
		t.Errorf("other content: %v", err)
	}
	const path = "/proofs/verdict/eu/" + name
	if got := b.objects[path]; len(b.objects) != 1 || !bytes.Contains(got, content) {
		t.Errorf("objects %q", b.objects)
	}
	put, get := "PUT "+path+" if-none-match=*", "GET "+path+" if-none-match="
	if want := []string{put, put, get, put, get}; strings.Join(b.asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("asked %q", b.asked)
	}
}

func TestARefusalIsAnErrorWithoutTheSecret(t *testing.T) {
	server := httptest.NewServer(&bucket{fail: http.StatusForbidden})
	defer server.Close()
	err := open(t, server.URL).Put(t.Context(), name, nil)
	if err == nil || errors.Is(err, seal.ErrContradicts) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error %v", err)
	}
}

func TestURLs(t *testing.T) {
	for _, bad := range []string{"", "s3://", "s3:///x", "https://bucket", "/var/lib/digests"} {
		if _, err := s3sink.New(t.Context(), bad, s3sink.Config{Region: "eu-central-1"}); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	s, err := s3sink.New(t.Context(), "s3://proofs", s3sink.Config{Region: "eu-central-1"})
	if err != nil || s.Name() != "s3://proofs" || !s3sink.IsURL(s.Name()) || s3sink.IsURL("/s3") {
		t.Errorf("without a prefix: %v", err)
	}
}

func TestAServerThatOthersWrote(t *testing.T) {
	program := os.Getenv("VERDICT_TEST_MOTO")
	if program == "" {
		if strings.Contains(os.Getenv("VERDICT_TEST_REQUIRE"), "moto") {
			t.Fatal("VERDICT_TEST_MOTO is not set")
		}
		t.Skip("VERDICT_TEST_MOTO, the command of moto's server, is not set")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	cmd := exec.Command(program, "-H", "127.0.0.1", "-p", port)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	endpoint := "http://127.0.0.1:" + port
	client := s3.New(s3.Options{
		Region: "eu-central-1", BaseEndpoint: &endpoint, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("AKID", "hunter2", ""),
	})
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if _, err = client.ListBuckets(t.Context(), nil); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("moto does not answer: %v", err)
		}
	}
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("proofs"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraintEuCentral1}}); err != nil {
		t.Fatal(err)
	}
	s := open(t, endpoint)
	for range 2 {
		if err := s.Put(t.Context(), name, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), name, []byte("[]")); !errors.Is(err, seal.ErrContradicts) {
		t.Errorf("other content: %v", err)
	}
}
