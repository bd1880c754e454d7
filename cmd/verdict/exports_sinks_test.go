package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	"google.golang.org/protobuf/proto"
)

// ids are decisions, each with how often it came.
type ids map[string]int

// hasAll says whether all of want came.
func (got ids) hasAll(want []string) bool {
	return !slices.ContainsFunc(want, func(id string) bool { return got[id] == 0 })
}

// collector stands in for one of OpenTelemetry's that takes logs over HTTP.
type collector struct {
	url  string
	away atomic.Bool // answers 503

	mu      sync.Mutex
	got     ids
	signIns ids // values of the header Authorization
}

func startCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{got: ids{}, signIns: ids{}}
	web := httptest.NewServer(c)
	t.Cleanup(web.Close)
	c.url = web.URL
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if c.away.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var plain io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		plain = unpacked
	}
	body, err := io.ReadAll(plain)
	req := new(collectorpb.ExportLogsServiceRequest)
	if err != nil || r.URL.Path != "/v1/logs" || proto.Unmarshal(body, req) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signIns[r.Header.Get("Authorization")]++
	for _, resource := range req.GetResourceLogs() {
		for _, scope := range resource.GetScopeLogs() {
			for _, record := range scope.GetLogRecords() {
				for _, a := range record.GetAttributes() {
					if a.GetKey() == "verdict.decision_id" {
						c.got[a.GetValue().GetStringValue()]++
					}
				}
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *collector) ids() ids {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.got)
}

// exportedFiles are the decisions in a folder, by the shape of their lines.
func exportedFiles(t *testing.T, dir string) (native, ocsf ids) {
	t.Helper()
	native, ocsf = ids{}, ids{}
	names, err := filepath.Glob(filepath.Join(dir, "audit-*.jsonl.zst*"))
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, name := range names {
		packed, err := os.ReadFile(name)
		if err != nil {
			return ids{}, ids{} // it was completed meanwhile; the next look finds it
		}
		plain, err := z.DecodeAll(packed, nil)
		if err != nil && !strings.HasSuffix(name, ".open") { // of which the last frame may be half there
			t.Fatalf("%s: %v", name, err)
		}
		for line := range bytes.Lines(plain) {
			switch id, shape := decisionIn(t, line); shape {
			case "native":
				native[id]++
			case "ocsf":
				ocsf[id]++
			}
		}
	}
	return native, ocsf
}

// decisionIn is the id of an exported record, and which shape it has.
func decisionIn(t *testing.T, record []byte) (id, shape string) {
	t.Helper()
	var r struct {
		ID       string
		ClassUID int `json:"class_uid"`
		Metadata struct{ UID string }
	}
	if err := json.Unmarshal(record, &r); err != nil || (r.ID == "") == (r.Metadata.UID == "") {
		t.Fatalf("%s: %v", record, err)
	}
	if r.ClassUID == 6003 {
		return r.Metadata.UID, "ocsf"
	}
	return r.ID, "native"
}

const exportTopic = "verdict-decisions"

// consumed are the decisions of the topic, once all of want are there.
func consumed(t *testing.T, brokers, want []string) ids {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(exportTopic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	defer cancel()
	got := ids{}
	for !got.hasAll(want) {
		fetched := client.PollFetches(ctx)
		if ctx.Err() != nil {
			t.Fatalf("%d of %d messages", len(got), len(want))
		}
		fetched.EachRecord(func(r *kgo.Record) {
			id, _ := decisionIn(t, r.Value)
			got[id]++
		})
	}
	return got
}
