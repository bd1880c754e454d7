package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
)

// decide makes n decisions and returns their ids.
func (v *verdict) decide(t *testing.T, n int) (made []string) {
	t.Helper()
	for range n {
		resp, err := v.decisions(t).Check(t.Context(), ofHost("orders.example.com"))
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, resp.GetDecisionId())
	}
	return made
}

// problem is the one of Status that speaks of the export to a sink; "": none does.
func (v *verdict) problem(t *testing.T, sink string) string {
	t.Helper()
	state, err := v.system(t).Status(t.Context(), &verdictv1.StatusRequest{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range state.GetProblems() {
		if strings.Contains(p, "the export to "+sink+" fails") {
			return p
		}
	}
	return ""
}

// What was decided is in each sink: before a stop, while a verdict without exporters ran, after the next start in another
// shape, and what was decided while the collector was away. Of that, metrics and Status speak until it is over.
func TestExportsGoOnWithoutGap(t *testing.T) {
	const canary = "Bearer very-secret-value"
	dir, otlp := t.TempDir(), startCollector(t)
	headers := filepath.Join(dir, "headers")
	if err := os.WriteFile(headers, []byte("Authorization: "+canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.SeedTopics(2, exportTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	store, brokers, out := newSQLite(t), cluster.ListenAddrs(), filepath.Join(dir, "export")
	spool := []string{"--spool", filepath.Join(dir, "spool")}
	exports := slices.Concat(spool, []string{
		"--export-otlp-endpoint", otlp.url, "--export-otlp-headers", "file://" + headers, "--export-files", out,
		"--export-kafka-brokers", strings.Join(brokers, ","), "--export-kafka-topic", exportTopic,
	})

	v := startServe(t, store, exports...)
	v.apply(t, example(t))
	begun := func() bool {
		return strings.Count(v.errs.String(), `"export begins here"`) == 3
	}
	v.await(t, "start of the exporters", begun)
	made := v.decide(t, 5)
	first := slices.Clone(made)
	v.await(t, "first records", func() bool {
		native, _ := exportedFiles(t, out)
		return native.hasAll(made) && otlp.ids().hasAll(made)
	})
	consumed(t, brokers, made)
	for _, sink := range []string{"otlp", "files", "kafka"} {
		v.await(t, "count of "+sink, func() bool { return v.metric(t, fmt.Sprintf("verdict_audit_exported_total{exporter=%q}", sink)) == 5 })
		if p := v.problem(t, sink); p != "" {
			t.Errorf("all is well, and Status says %s", p)
		}
	}
	made = append(made, v.decide(t, 3)...) // some of these are on their way when it stops
	if code := v.stop(t); code != exitOK {
		t.Fatalf("stopped with %d", code)
	}

	v = startServe(t, store, spool...)
	v.awaitServing(t)
	made = append(made, v.decide(t, 4)...)
	v.stop(t)

	otlp.away.Store(true)
	v = startServe(t, store, append(exports, "--export-files-shape=ocsf", "--export-kafka-shape=ocsf")...)
	v.awaitServing(t)
	made = append(made, v.decide(t, 5)...)
	v.await(t, "records where the sink is there", func() bool {
		native, ocsf := exportedFiles(t, out)
		maps.Copy(native, ocsf)
		return native.hasAll(made)
	})
	consumed(t, brokers, made)
	const lag = `verdict_audit_export_lag_seconds{exporter="otlp"}`
	v.await(t, "word of the collector that is away", func() bool {
		return v.metric(t, lag) > 0 && v.metric(t, `verdict_audit_export_failures_total{exporter="otlp"}`) > 0 && strings.Contains(v.problem(t, "otlp"), "the oldest record has waited")
	})
	if files := v.problem(t, "files") + v.problem(t, "kafka"); files != "" {
		t.Errorf("the collector holds up others: %s", files)
	}
	if code, body := v.get(t, "/readyz"); code != http.StatusOK {
		t.Errorf("an exporter that fails is no obstacle to deciding: %d %s", code, body)
	}

	otlp.away.Store(false)
	v.await(t, "records of the outage", func() bool {
		return otlp.ids().hasAll(made) && v.metric(t, lag) == 0 && v.problem(t, "otlp") == ""
	})
	v.stop(t)

	native, ocsf := exportedFiles(t, out)
	if !native.hasAll(first) || !ocsf.hasAll(made[len(made)-9:]) {
		t.Errorf("%d native and %d OCSF records of %d", len(native), len(ocsf), len(made))
	}
	both := maps.Clone(native)
	maps.Copy(both, ocsf)
	for sink, got := range map[string]ids{"files": both, "otlp": otlp.ids(), "kafka": consumed(t, brokers, made)} {
		if len(got) != len(made) || !got.hasAll(made) {
			t.Errorf("%s has %d decisions, want these %d", sink, len(got), len(made))
		}
	}
	if names, _ := filepath.Glob(filepath.Join(out, "*.open")); len(names) != 0 {
		t.Errorf("an orderly stop leaves %v", names)
	}
	if len(otlp.signIns) != 1 || otlp.signIns[canary] == 0 {
		t.Errorf("the collector saw %v", otlp.signIns)
	}
	if strings.Contains(v.errs.String()+v.out.String(), "very-secret") {
		t.Error("a header was printed")
	}
}

// Half a setting of an exporter is told at the start, and so is a folder that cannot be had.
func TestBadExportsAreToldAtOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"TLS for a collector there is none": {[]string{"--export-otlp-tls-ca=ca.pem"}, "they mean nothing without --export-otlp-endpoint"},
		"a topic of no brokers":             {[]string{"--export-kafka-topic=t"}, "they mean nothing without --export-kafka-brokers"},
		"brokers without a topic":           {[]string{"--export-kafka-brokers=127.0.0.1:9"}, "--export-kafka-brokers: "},
		"plaintext beyond this machine":     {[]string{"--export-otlp-endpoint=http://collector.example.com:4318"}, "--export-otlp-endpoint: "},
		"a folder that is a file":           {[]string{"--export-files=" + file}, "--export-files: "},
		"a shape that there is none":        {[]string{"--export-files=x", "--export-files-shape=cef"}, `must be one of "native","ocsf"`},
		"a header that is no reference":     {[]string{"--export-otlp-endpoint=https://c.example.com", "--export-otlp-headers=hunter2"}, "--export-otlp-headers"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			var out, errs bytes.Buffer
			args := append([]string{"serve", "--store", newSQLite(t), "--tenant=11111111-1111-4111-8111-111111111111",
				"--decision-listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--http-listen=127.0.0.1:0"}, tc.args...)
			if code := run(ctx, args, nil, &out, &errs); code == exitOK || !hasLine(errs.String(), tc.want) {
				t.Errorf("exit %d, no line with %q in:\n%s", code, tc.want, errs.String())
			}
			if strings.Contains(errs.String(), "hunter2") {
				t.Error("a secret was printed")
			}
		})
	}
}
