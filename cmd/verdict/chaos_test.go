package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/issuer"
	"github.com/verdict-authz/verdict/store/postgres/pgtest"
)

var (
	kills = flag.Int("kills", 20, "how often the chaos tests kill something")
	seed  = flag.Uint64("seed", 0, "where the random points of the chaos tests begin; 0: somewhere")
)

var discard = slog.New(slog.DiscardHandler)

// random is the points at which things are killed. The seed is in the log.
func random(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("seed %d", s)
	return rand.New(rand.NewPCG(s, s))
}

// binary is verdict, built as it is shipped.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "verdict")
	if out, err := exec.Command("go", "build", "-trimpath", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// spawn starts the binary as a process of its own. It is killed with the test, if it has not ended before.
func spawn(t *testing.T, path string, args ...string) (*verdict, *exec.Cmd) {
	t.Helper()
	v := &verdict{done: make(chan struct{})}
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = &v.out, &v.errs
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(v.done)
		_ = cmd.Wait() // a kill is no failure; who wants the exit code asks v.code
		v.code = cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-v.done
		if t.Failed() {
			t.Logf("verdict said:\n%.4000s", v.errs.String())
		}
	})
	return v, cmd
}

// However often verdict is killed, at whatever point: what a client was told is in the store, once, after the last start.
func TestAKilledVerdictLosesNoRecord(t *testing.T) {
	chance, path, server := random(t), binary(t), pgtest.Start(t)
	url, base := server.New(t), startIssuer(t)
	dir := filepath.Join(t.TempDir(), "spool")
	args := func(durability string) []string {
		return []string{
			"serve", "--store", url, "--authority", base, "--tenant", issuer.DevTenant, "--spool", dir, "--audit-durability", durability,
			"--decision-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0",
		}
	}
	first, _ := spawnServing(t, path, base, args("spool"))
	if _, err := first.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: example(t)}); err != nil {
		t.Fatal(err)
	}
	ask := aliceReads(t, first)
	first.kill(t)

	var told ledger
	for i := range *kills {
		v, _ := spawnServing(t, path, base, args([]string{"spool", "strict"}[i%2]))
		if i%5 == 4 { // while it starts, and drains what the last one left
			time.Sleep(time.Duration(chance.IntN(40)) * time.Millisecond)
		} else {
			v.awaitServing(t)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); told.load(ctx, t, v.decision, ask) }()
			time.Sleep(20*time.Millisecond + time.Duration(chance.IntN(300))*time.Millisecond)
			v.kill(t)
			cancel()
			<-done
		}
		v.kill(t)
	}

	last, cmd := spawnServing(t, path, base, args("spool"))
	last.awaitServing(t)
	last.awaitDrained(t)
	last.stopChild(t, cmd)
	if last.code != exitOK {
		t.Errorf("stopped with %d", last.code)
	}
	wantDrained(t, dir)
	lost, duplicated := told.account(t, url)
	if n := *kills; told.answered() < 10*n {
		t.Errorf("%d answers are too few to show anything", told.answered())
	}
	t.Log(&told)
	fmt.Printf("kills=%d answered=%d lost=%d duplicated=%d\n", *kills, told.answered(), lost, duplicated)
}

// spawnServing starts the binary and waits until it listens.
func spawnServing(t *testing.T, path, base string, args []string) (*verdict, *exec.Cmd) {
	t.Helper()
	v, cmd := spawn(t, path, args...)
	v.process, v.issuer = cmd.Process, base
	v.await(t, "listening line", func() bool { return v.addresses() })
	return v, cmd
}

// kill is kill -9, and waits for the end.
func (v *verdict) kill(t *testing.T) {
	t.Helper()
	_ = v.process.Signal(os.Kill) // it may have ended
	select {
	case <-v.done:
	case <-time.After(startTimeout):
		t.Fatal("survives kill -9")
	}
}

// drainTimeout bounds the drain of what a long fault leaves, some hundred thousand records.
const drainTimeout = 5 * time.Minute

// awaitDrained waits until no record waits, of this process or one before.
func (v *verdict) awaitDrained(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(drainTimeout); ; time.Sleep(50 * time.Millisecond) {
		text := v.scrape(t)
		if strings.Contains(text, "verdict_audit_oldest_age_seconds 0\n") && strings.Contains(text, "verdict_audit_queued 0\n") {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("records wait after %s:\n%s", drainTimeout, text)
		}
	}
}

// scrape is what it tells those who watch it.
func (v *verdict) scrape(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + v.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stopChild has the process stop in order.
func (v *verdict) stopChild(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-v.done:
	case <-time.After(startTimeout):
		t.Fatal("does not stop")
	}
}

// While Postgres is killed, restarted and paused under load, every question is answered at once, and no record is lost.
func TestAKilledPostgresLosesNoRecord(t *testing.T) {
	faults := max(3, *kills/4)
	chance, server := random(t), pgtest.Start(t)
	url, dir := server.New(t), filepath.Join(t.TempDir(), "spool")
	v := startServe(t, url, "--spool", dir, "--log-level=info")
	if _, err := v.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: example(t)}); err != nil {
		t.Fatal(err)
	}
	v.awaitServing(t)
	ask := aliceReads(t, v)

	var told ledger
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); told.load(ctx, t, v.decision, ask) }()
	for i := range faults {
		time.Sleep(100*time.Millisecond + time.Duration(chance.IntN(200))*time.Millisecond)
		if i%3 == 2 {
			server.Pause()
			time.Sleep(time.Duration(chance.IntN(1000)) * time.Millisecond)
			server.Resume()
			continue
		}
		server.Stop()
		time.Sleep(time.Duration(chance.IntN(500)) * time.Millisecond)
		if err := server.Start(); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	<-done
	before := told.answered()
	if code := v.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
	again := startServe(t, url, "--spool", dir) // what the end of the drain timeout left, if anything
	again.awaitServing(t)
	again.awaitDrained(t)
	if code := again.stop(t); code != exitOK {
		t.Errorf("stopped with %d", code)
	}
	wantDrained(t, dir)
	lost, duplicated := told.account(t, url)
	if before < 100*faults || told.denied > 0 {
		t.Errorf("%s: too few answers, or denials for want of an audit", &told)
	}
	if told.slowest > 5*time.Second {
		t.Errorf("an answer took %s: something waits for the database", told.slowest)
	}
	t.Log(&told)
	fmt.Printf("postgres_faults=%d answered=%d lost=%d duplicated=%d\n", faults, before, lost, duplicated)
}

// A spool that is full obeys --on-audit-failure and works again by itself once the store is back.
func TestAFullSpool(t *testing.T) {
	for name, count := range map[string]bool{"denies": false, "counts": true} {
		t.Run(name, func(t *testing.T) {
			server := pgtest.Start(t)
			url, dir := server.New(t), filepath.Join(t.TempDir(), "spool")
			mode := map[bool]string{true: "count", false: "deny"}[count]
			v := startServe(t, url, "--spool", dir, "--spool-size=64KiB", "--on-audit-failure", mode)
			if _, err := v.policies(t).ApplyPolicy(t.Context(), &verdictv1.ApplyPolicyRequest{Policy: example(t)}); err != nil {
				t.Fatal(err)
			}
			v.awaitServing(t)
			ask := aliceReads(t, v)
			server.Stop()

			var told ledger
			check := func() {
				began := time.Now()
				resp, err := v.decisions(t).Check(t.Context(), ask)
				if err != nil {
					t.Fatal(err)
				}
				told.note(resp, err, time.Since(began))
			}
			for range 600 { // 64 KiB are about 200 records
				check()
			}
			switch {
			case count && told.denied > 0:
				t.Errorf("%d denied, although losses are to be counted", told.denied)
			case !count && (told.denied == 0 || told.answered() == 0):
				t.Errorf("a full spool does not deny: %s", &told)
			}
			state, err := v.system(t).Status(t.Context(), &verdictv1.StatusRequest{})
			if err != nil || !hasLine(fmt.Sprint(state.GetProblems()), "the spool is nearly full") {
				t.Errorf("status does not say so: %v %v", state, err)
			}
			if (state.GetAuditLost() > 0) != count || count && state.GetAuditLost()+state.GetAuditQueued() != 600 {
				t.Errorf("lost %d, queued %d", state.GetAuditLost(), state.GetAuditQueued())
			}

			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			v.await(t, "end of the drain", func() bool {
				s, err := v.system(t).Status(t.Context(), &verdictv1.StatusRequest{})
				return err == nil && s.GetAuditQueued() == 0 && !hasLine(fmt.Sprint(s.GetProblems()), "the spool is nearly full")
			})
			denied := told.denied
			for range 50 {
				check()
			}
			if told.denied != denied {
				t.Errorf("%d are denied after the drain", told.denied-denied)
			}
			state, err = v.system(t).Status(t.Context(), &verdictv1.StatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			if code := v.stop(t); code != exitOK {
				t.Errorf("stopped with %d", code)
			}
			wantDrained(t, dir)
			if count {
				if kept := told.kept(t, url); uint64(kept)+state.GetAuditLost() != 650 {
					t.Errorf("%d of 650 kept, %d counted as lost", kept, state.GetAuditLost())
				}
				return
			}
			told.account(t, url)
		})
	}
}
