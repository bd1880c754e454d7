package entra

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
)

// independent is an issuer that others wrote, in a process of its own.
type independent struct{ base string }

// startIndependent runs npm's oidc-provider from the folder that VERDICT_TEST_OIDC_PROVIDER names. Without it the test is
// skipped, unless VERDICT_TEST_REQUIRE lists oidc-provider.
func startIndependent(t *testing.T) *independent {
	t.Helper()
	folder := os.Getenv("VERDICT_TEST_OIDC_PROVIDER")
	if folder == "" {
		const text = "VERDICT_TEST_OIDC_PROVIDER is not set; .ci/tools.sh oidc-provider installs it and .ci/tools.sh --env sets it"
		if slices.Contains(strings.Split(os.Getenv("VERDICT_TEST_REQUIRE"), ","), "oidc-provider") {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "testdata/oidc-provider.mjs", folder, tenantT, audience, client, oid)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	stdin, err := cmd.StdinPipe() // node ends with it, should this process die
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the issuer said: %s", complaints.String())
		}
	})
	line := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(stdout).ReadString('\n')
		line <- strings.TrimSpace(text)
	}()
	select {
	case base := <-line:
		if !strings.HasPrefix(base, "http://127.0.0.1:") {
			t.Fatalf("the issuer did not start: %q", base)
		}
		return &independent{base: base}
	case <-time.After(30 * time.Second):
		t.Fatal("the issuer did not start in 30 s")
	}
	return nil
}

// post returns the body of a good answer.
func (p *independent) post(t *testing.T, path string, form url.Values) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v: %s", path, resp.StatusCode, err, body)
	}
	return body
}

// publish makes the issuer publish these keys and sign with the first.
func (p *independent) publish(t *testing.T, kids ...string) {
	t.Helper()
	p.post(t, "/keys?"+strings.Join(kids, ","), nil)
}

// token asks for an access token and checks which key signed it.
func (p *independent) token(t *testing.T, kid string) string {
	t.Helper()
	var answer struct {
		Token string `json:"access_token"`
	}
	body := p.post(t, "/"+tenantT+"/v2.0/oauth2/v2.0/token", url.Values{
		"grant_type": {"client_credentials"}, "client_id": {client}, "client_secret": {"not-a-secret"},
	})
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(answer.Token, ".")
	header, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || !strings.Contains(string(header), fmt.Sprintf(`"kid":"%s"`, kid)) {
		t.Fatalf("header %s, %v, want kid %s", header, err, kid)
	}
	return answer.Token
}

// Under load, an issuer announces a key, signs with it, withdraws the old one, and then changes its key without warning:
// no good token is refused, and the old key is refused once it is withdrawn.
func TestRotationUnderLoad(t *testing.T) {
	issuer := startIndependent(t)
	const every = 100 * time.Millisecond
	v, err := NewVerifier(Config{
		Providers:    []Provider{{Kind: Entra, Authority: issuer.base, Tenants: []string{tenantT}, AllowLoopbackHTTP: true}},
		RefreshEvery: every, UnknownKeyEvery: every, StrictRemoval: true,
	}, discard)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = v.Run(ctx) })  // always nil
	var held atomic.Pointer[[]string] // the good tokens
	first := issuer.token(t, "K1")
	held.Store(&[]string{first})
	var asked, refused atomic.Int64
	for range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				good := *held.Load()
				if _, r := v.Verify(ctx, good[i%len(good)], expectA); !r.OK() && ctx.Err() == nil {
					refused.Add(1)
				}
				asked.Add(1)
				time.Sleep(time.Millisecond)
			}
		})
	}
	rounds := func() uint64 { return v.Stats()[0].Refreshes }
	settle := func() { // three refreshes later every document has been seen
		t.Helper()
		from := rounds()
		for range 400 {
			if rounds() >= from+3 {
				return
			}
			time.Sleep(every / 4)
		}
		t.Fatal("the keys are not refreshed")
	}

	issuer.publish(t, "K1", "K2") // announced
	settle()
	issuer.publish(t, "K2", "K1") // signs
	second := issuer.token(t, "K2")
	held.Store(&[]string{first, second})
	settle()
	held.Store(&[]string{second})
	time.Sleep(every)
	issuer.publish(t, "K2") // withdrawn
	settle()
	if tok, r := v.Verify(ctx, first, expectA); r.Reason != policy.KeyUnknown || tok != nil {
		t.Errorf("the key that was withdrawn: %v", r)
	}
	time.Sleep(2 * every)         // the question above has spent the refresh of its interval
	issuer.publish(t, "K3", "K2") // without warning
	third := issuer.token(t, "K3")
	if _, r := v.Verify(ctx, third, expectA); !r.OK() {
		t.Errorf("the key without warning: %v", r)
	}
	held.Store(&[]string{second, third})
	settle()
	cancel()
	wg.Wait()
	t.Logf("%d questions, %d refreshes", asked.Load(), rounds())
	if asked.Load() < 100 || refused.Load() != 0 {
		t.Errorf("%d of %d good tokens were refused", refused.Load(), asked.Load())
	}
}
