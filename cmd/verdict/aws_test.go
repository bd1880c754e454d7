package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

// isolateAWS leaves nothing of this machine's AWS to verdict but what a test sets.
func isolateAWS(t *testing.T) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // restored by the test's end
		}
	}
	none := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": none, "AWS_SHARED_CREDENTIALS_FILE": none, "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_ACCESS_KEY_ID": "AKIAOWN", "AWS_SECRET_ACCESS_KEY": "CANARY-own",
	} {
		t.Setenv(name, value)
	}
}

var motoAddress = regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`)

// startMoto runs the program that VERDICT_TEST_MOTO names, which answers as Secrets Manager does, and returns its address.
// Without it the test is skipped, unless VERDICT_TEST_REQUIRE lists moto.
func startMoto(t *testing.T) (base string) {
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
	found, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(said); lines.Scan(); {
			if at := motoAddress.FindString(lines.Text()); at != "" {
				found <- at
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
	select {
	case base = <-found:
	case <-time.After(60 * time.Second):
		t.Fatal("moto did not start in 60 s")
	}
	return base
}

// secretsManager does one thing in the Secrets Manager at base, as its administrator.
func secretsManager(t *testing.T, base, action string, input map[string]string) {
	t.Helper()
	body, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "secretsmanager."+action)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=ADMIN/20260101/eu-west-1/secretsmanager/aws4_request, SignedHeaders=host, Signature=00")
	client := http.Client{Timeout: startTimeout}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", action, resp.Status, text, err)
	}
}

// lockedDatabase is a database that the role verdict_serve, which has what docs/store.md gives to who serves, gets into with its
// password alone.
type lockedDatabase struct {
	owner        *pgx.Conn // trusted, and another role
	trusted, url string    // of the owner; of verdict_serve, without a password
}

func newLocked(t *testing.T, password string) *lockedDatabase {
	t.Helper()
	trusted := pgtest.Start(t).New(t)
	owner, err := pgx.Connect(t.Context(), trusted)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = owner.Close(context.Background()) })
	d := &lockedDatabase{owner: owner, trusted: trusted}
	d.exec(t, "CREATE ROLE verdict_serve LOGIN PASSWORD '"+password+"'")
	d.exec(t, "GRANT verdict_pdp, verdict_admin TO verdict_serve")
	var hba string
	if err := owner.QueryRow(t.Context(), "SHOW hba_file").Scan(&hba); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hba, []byte("local all verdict trust\nlocal all all scram-sha-256\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.exec(t, "SELECT pg_reload_conf()")
	u, err := neturl.Parse(trusted)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("user", "verdict_serve")
	u.RawQuery = q.Encode()
	d.url = u.String()
	for end := time.Now().Add(startTimeout); ; time.Sleep(20 * time.Millisecond) {
		conn, err := pgx.Connect(t.Context(), d.url)
		if err != nil {
			return d
		}
		_ = conn.Close(t.Context())
		if time.Now().After(end) {
			t.Fatal("the database asks for no password")
		}
	}
}

func (d *lockedDatabase) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := d.owner.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// sessions is how many connections verdict_serve has that began after a time of the database.
func (d *lockedDatabase) sessions(t *testing.T, after time.Time) (n int) {
	t.Helper()
	if err := d.owner.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE usename = 'verdict_serve' AND backend_start > $1", after).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// The password of the database is in Secrets Manager and changes there under a verdict that serves: every decision is made,
// every record arrives, new connections have the new password, and nothing that verdict writes holds either.
func TestAPasswordOfSecretsManagerChangesWhileServing(t *testing.T) {
	const before, after = "CANARY-password-one", "CANARY-password-two"
	isolateAWS(t)
	base := startMoto(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", base)
	content := func(password string) string {
		return fmt.Sprintf(`{"engine":"postgres","username":"verdict_serve","password":%q}`, password)
	}
	secretsManager(t, base, "CreateSecret", map[string]string{"Name": "verdict/db", "SecretString": content(before), "ClientRequestToken": "00000000-0000-4000-8000-000000000001"})
	database := newLocked(t, before)

	v := startServe(t, database.url, "--store-password", "awssm://verdict/db#password?region=eu-west-1", "--spool", filepath.Join(t.TempDir(), "spool"), "--log-level=debug")
	v.apply(t, example(t))
	token, decisions := v.mint(t, "user", "alice"), v.decisions(t)
	ctx, stop := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asked := 0
	asking.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
			resp, err := decisions.Check(t.Context(), &verdictv1.CheckRequest{
				Token: token, Question: &verdictv1.CheckRequest_Http{Http: &verdictv1.HttpRequest{Method: "GET", Host: "orders.example.com", Path: "/orders/42"}},
			})
			if err != nil || resp.GetEffect() != verdictv1.Effect_EFFECT_ALLOW {
				t.Errorf("question %d: %v %v", asked, resp, err)
				return
			}
			asked++
		}
	})
	t.Cleanup(func() { stop(); asking.Wait() })

	secretsManager(t, base, "PutSecretValue", map[string]string{"SecretId": "verdict/db", "SecretString": content(after), "ClientRequestToken": "00000000-0000-4000-8000-000000000002"})
	database.exec(t, "ALTER ROLE verdict_serve PASSWORD '"+after+"'")
	var changed time.Time
	if err := database.owner.QueryRow(t.Context(), "SELECT clock_timestamp()").Scan(&changed); err != nil {
		t.Fatal(err)
	}
	// Who has only the old password cannot come in again, and the poll is up to 72 s away: the refusal has it read anew.
	database.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'verdict_serve'")
	v.await(t, "connections with the new password", func() bool {
		_, err := v.audits(t).ListDecisions(t.Context(), &verdictv1.ListDecisionsRequest{})
		return err == nil && database.sessions(t, changed) > 0
	})
	stop()
	asking.Wait()
	if asked < 10 {
		t.Errorf("only %d questions were asked meanwhile", asked)
	}
	v.awaitDrained(t)
	kept := records(t, database.trusted)
	if len(kept) != asked {
		t.Errorf("%d records of %d decisions", len(kept), asked)
	}
	if code := v.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
	if strings.Contains(v.errs.String()+v.out.String(), "CANARY") {
		t.Error("a secret was printed")
	}
}
