package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/slim/otlp/collector/logs/v1"
	commonpb "go.opentelemetry.io/proto/slim/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/slim/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/verdict-authz/verdict/server/audit/export"
	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/server/secret"
	"github.com/verdict-authz/verdict/store"
)

var at = time.Date(2026, 11, 21, 10, 11, 12, 123456000, time.UTC)

func now() time.Time { return at.Add(time.Second) }

const canary = "very-secret-value"

// headers gives text as a secret.
func headers(text string) func(context.Context) (secret.Value, error) {
	return func(context.Context) (secret.Value, error) { return secret.NewValue([]byte(text)), nil }
}

// full has every field set, by reflection, so that a new one cannot be left out.
func full() store.Decision {
	d := store.Decision{ID: "019a0000-0000-7000-8000-00000000000a", At: at, Took: 42 * time.Microsecond, Reason: int16(policy.AllowedByGrant), PrincipalKind: 1}
	v := reflect.ValueOf(&d).Elem()
	for i := range v.NumField() {
		if f, name := v.Field(i), v.Type().Field(i).Name; f.IsZero() {
			switch value := f.Addr().Interface().(type) {
			case *string:
				*value = "text of " + name
			case *[]string:
				*value = []string{"one", name}
			case *uint64:
				*value = uint64(1000 + i)
			case *bool:
				*value = true
			}
		}
	}
	return d
}

// collector answers OTLP over HTTP and keeps what it got.
type collector struct {
	*httptest.Server
	answer func(w http.ResponseWriter)

	mu   sync.Mutex
	got  []*collectorpb.ExportLogsServiceRequest
	last http.Header
	path string
}

func newCollector(t *testing.T, answer func(http.ResponseWriter)) *collector {
	t.Helper()
	c := &collector{answer: answer}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.Header.Get("Content-Encoding") == "gzip" {
			var z *gzip.Reader
			if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
				body, err = io.ReadAll(z)
			}
		}
		msg := new(collectorpb.ExportLogsServiceRequest)
		if err == nil {
			err = proto.Unmarshal(body, msg)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		c.mu.Lock()
		c.got, c.last, c.path = append(c.got, msg), r.Header.Clone(), r.URL.Path
		c.mu.Unlock()
		if c.answer == nil {
			w.Header().Set("Content-Type", contentType)
			return
		}
		c.answer(w)
	}))
	t.Cleanup(c.Close)
	return c
}

func newSink(t *testing.T, cfg Config) *Sink {
	t.Helper()
	if cfg.Now == nil {
		cfg.Now = now
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// attributes are those of a record, as Go values.
func attributes(r *logspb.LogRecord) map[string]any {
	all := make(map[string]any)
	for _, kv := range r.GetAttributes() {
		switch v := kv.GetValue().GetValue().(type) {
		case *commonpb.AnyValue_StringValue:
			all[kv.GetKey()] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[kv.GetKey()] = v.IntValue
		case *commonpb.AnyValue_ArrayValue:
			var list []string
			for _, e := range v.ArrayValue.GetValues() {
				list = append(list, e.GetStringValue())
			}
			all[kv.GetKey()] = list
		}
	}
	return all
}

func TestARecordIsWrittenWhole(t *testing.T) {
	c := newCollector(t, nil)
	c.Start()
	s := newSink(t, Config{Endpoint: c.URL, Version: "1.2.3", Headers: headers("# comment\nAuthorization: Bearer " + canary + "\nx-scope: a:b\n")})
	d, least := full(), store.Decision{ID: "019a0000-0000-7000-8000-00000000000b", At: at, Instance: "verdict-1"}
	again := least
	again.Instance = d.Instance
	if err := s.Send(t.Context(), []store.Decision{d, least, again}); err != nil {
		t.Fatal(err)
	}
	if c.path != "/v1/logs" || c.last.Get("Authorization") != "Bearer "+canary || c.last.Get("X-Scope") != "a:b" || c.last.Get("Content-Encoding") != "gzip" {
		t.Errorf("%s %v", c.path, c.last)
	}
	all := c.got[0].GetResourceLogs()
	if len(all) != 2 || len(all[0].GetScopeLogs()[0].GetLogRecords()) != 2 {
		t.Fatalf("not by instance: %v", all)
	}
	var resource []string
	for _, kv := range all[0].GetResource().GetAttributes() {
		resource = append(resource, kv.GetKey()+"="+kv.GetValue().GetStringValue())
	}
	if want := []string{"service.name=verdict", "service.version=1.2.3", "service.instance.id=" + d.Instance}; !slices.Equal(resource, want) {
		t.Errorf("resource %v", resource)
	}
	r := all[0].GetScopeLogs()[0].GetLogRecords()[0]
	if r.GetEventName() != "verdict.decision" || r.GetTimeUnixNano() != uint64(at.UnixNano()) || r.GetObservedTimeUnixNano() != uint64(now().UnixNano()) ||
		r.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_INFO || r.GetBody().GetStringValue() != "allow ALLOWED_BY_GRANT" {
		t.Errorf("%v", r)
	}
	got := attributes(r)
	if len(got) != len(mapping) {
		t.Errorf("%d attributes of %d", len(got), len(mapping))
	}
	values := fmt.Sprint(slices.Collect(maps.Values(got)))
	v := reflect.ValueOf(d)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		var want string
		switch value := v.Field(i).Interface().(type) {
		case string:
			want = value
		case []string:
			want = fmt.Sprint(value)
		case uint64:
			want = fmt.Sprint(value)
		case time.Duration:
			want = "42"
		}
		if !strings.Contains(values, want) {
			t.Errorf("%s is nowhere: no %s in %s", name, want, values)
		}
	}
	if got["verdict.effect"] != "allow" || got["verdict.reason"] != "ALLOWED_BY_GRANT" || got["verdict.principal_kind"] != "user" || got["verdict.revision"] != int64(d.Revision) {
		t.Errorf("%v", got)
	}
	little := attributes(all[1].GetScopeLogs()[0].GetLogRecords()[0])
	if want := map[string]any{"verdict.decision_id": least.ID, "verdict.effect": "deny", "verdict.reason": "REASON_UNSPECIFIED", "verdict.instance": "verdict-1"}; !reflect.DeepEqual(little, want) {
		t.Errorf("%v", little)
	}
	if n := all[1].GetScopeLogs()[0].GetLogRecords()[0].GetSeverityText(); n != "WARN" {
		t.Errorf("a deny is %s", n)
	}
}

func TestTheDocumentHasTheWholeMapping(t *testing.T) {
	doc, err := os.ReadFile("../../../../docs/audit-export.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range mapping {
		if !bytes.Contains(doc, []byte("`"+a.key+"`")) {
			t.Errorf("docs/audit-export.md does not have `%s`", a.key)
		}
	}
}

// says is an answer over HTTP.
func says(code int, header, kind string, msg proto.Message) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", header)
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(code)
		if msg != nil {
			body, _ := proto.Marshal(msg)
			_, _ = w.Write(body)
			return
		}
		if kind == "text/html" {
			_, _ = io.WriteString(w, "<html>sign in, "+canary)
		}
		if strings.HasPrefix(kind, "application/json") {
			_, _ = io.WriteString(w, `{"partialSuccess":{"rejectedLogRecords":"1","errorMessage":"old"},"new":1}`)
		}
	}
}

func partial(n int64, why string) proto.Message {
	return &collectorpb.ExportLogsServiceResponse{PartialSuccess: &collectorpb.ExportLogsPartialSuccess{RejectedLogRecords: n, ErrorMessage: why}}
}

// outcome is the kind of an error, in the words of export.Sink.
func outcome(err error) string {
	var p *export.Partial
	var l *export.Later
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &p):
		return fmt.Sprintf("partial %d %s", p.Rejected, p.Why)
	case errors.As(err, &l):
		return fmt.Sprintf("later %s", l.After.Round(time.Second)) // a date has whole seconds
	case errors.Is(err, export.ErrRefused):
		return "refused"
	}
	return "again"
}

func TestAnswersOverHTTP(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter)
		want   string
	}{
		"taken":                           {says(200, "", contentType, new(collectorpb.ExportLogsServiceResponse)), "taken"},
		"taken, with nothing to say":      {says(204, "", "", nil), "taken"},
		"some were rejected":              {says(200, "", contentType, partial(2, "too old")), "partial 2 too old"},
		"some were rejected, in JSON":     {says(200, "", "application/json; charset=utf-8", nil), "partial 1 old"},
		"a warning":                       {says(200, "", contentType, partial(0, "soon gone")), "taken"},
		"more rejected than there were":   {says(200, "", contentType, partial(1<<40, "")), "partial 3 "},
		"the page of a proxy":             {says(200, "", "text/html", nil), "again"},
		"success that is no OTLP":         {func(w http.ResponseWriter) { w.Header().Set("Content-Type", contentType); _, _ = w.Write([]byte{7}) }, "again"},
		"the records are bad":             {says(400, "", "", nil), "refused"},
		"too much at once":                {says(413, "", "", nil), "refused"},
		"not signed in":                   {says(401, "", "", nil), "again"},
		"not permitted":                   {says(403, "", "", nil), "again"},
		"the wrong path":                  {says(404, "", "", nil), "again"},
		"a redirect is not followed":      {func(w http.ResponseWriter) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(307) }, "again"},
		"busy, and says when":             {says(429, "7", "", nil), "later 7s"},
		"away until an instant":           {says(503, now().Add(90*time.Second).Format(http.TimeFormat), "", nil), "later 1m30s"},
		"busy, and does not say when":     {says(429, "", "", nil), "again"},
		"busy, and says it strangely":     {says(429, "-5", "", nil), "again"},
		"a fault, which is not the batch": {says(500, "9", "", nil), "again"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCollector(t, tc.answer)
			c.Start()
			s := newSink(t, Config{Endpoint: c.URL + "/otlp/v1/logs", NoGzip: true, Headers: headers("x-key: " + canary)})
			err := s.Send(t.Context(), []store.Decision{{ID: "1", At: at}, {ID: "2", At: at}, {ID: "3", At: at}})
			if got := outcome(err); got != tc.want {
				t.Errorf("%s: %v", got, err)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("a secret: %v", err)
			}
			if len(c.got) != 1 || c.path != "/otlp/v1/logs" || c.last.Get("Content-Encoding") != "" {
				t.Errorf("asked %d times, at %s: %v", len(c.got), c.path, c.last)
			}
		})
	}
}

func TestNobodyAtTheEndpoint(t *testing.T) {
	c := newCollector(t, nil)
	c.Start()
	c.Close()
	for _, p := range []Protocol{HTTP, GRPC} {
		s := newSink(t, Config{Endpoint: c.URL, Protocol: p, Timeout: time.Second, Headers: headers("x-key: " + canary)})
		if err := s.Send(t.Context(), []store.Decision{full()}); outcome(err) != "again" || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%d: %v", p, err)
		}
	}
	slow := newCollector(t, func(http.ResponseWriter) { time.Sleep(300 * time.Millisecond) })
	slow.Start()
	s := newSink(t, Config{Endpoint: slow.URL, Timeout: 50 * time.Millisecond})
	if err := s.Send(t.Context(), []store.Decision{full()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("slow: %v", err)
	}
}

func TestTLSTrustsTheGivenAuthorityOnly(t *testing.T) {
	c := newCollector(t, nil)
	c.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	c.StartTLS()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := newSink(t, Config{Endpoint: c.URL, TLS: export.TLS{CA: ca}}).Send(t.Context(), []store.Decision{full()}); err != nil {
		t.Error(err)
	}
	if err := newSink(t, Config{Endpoint: c.URL}).Send(t.Context(), []store.Decision{full()}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("trusts anybody: %v", err)
	}
}

func TestWhatCannotWorkIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  Config
		want string
	}{
		"no endpoint":                      {Config{}, "give a URL"},
		"no scheme":                        {Config{Endpoint: "collector:4318"}, "give a URL"},
		"a password in the URL":            {Config{Endpoint: "https://u:" + canary + "@collector:4318"}, "no user"},
		"a key in the query":               {Config{Endpoint: "https://collector:4318/?key=" + canary}, "no user"},
		"plain text to another machine":    {Config{Endpoint: "http://collector:4318"}, "plain text"},
		"plain text, allowed":              {Config{Endpoint: "http://collector:4318", Plaintext: true}, ""},
		"plain text at home":               {Config{Endpoint: "http://localhost:4318"}, ""},
		"files of TLS, and none":           {Config{Endpoint: "http://127.0.0.1:4318", TLS: export.TLS{CA: "x"}}, "does not begin with https"},
		"an authority that is not there":   {Config{Endpoint: "https://c:1", TLS: export.TLS{CA: "/nonexistent/ca"}}, "authorities"},
		"half a certificate":               {Config{Endpoint: "https://c:1", TLS: export.TLS{Cert: "c.pem"}}, "both or neither"},
		"a path over gRPC":                 {Config{Endpoint: "https://c:4317/v1/logs", Protocol: GRPC}, "no path"},
		"no port over gRPC":                {Config{Endpoint: "https://c", Protocol: GRPC}, "port"},
		"a protocol that nobody knows":     {Config{Endpoint: "https://c:1", Protocol: 9}, "neither"},
		"a negative timeout":               {Config{Endpoint: "https://c:1", Timeout: -1}, "negative"},
		"an endpoint with a path and TLS":  {Config{Endpoint: "https://c:4318/otlp"}, ""},
		"an endpoint of gRPC with nothing": {Config{Endpoint: "https://c:4317", Protocol: GRPC}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := New(tc.cfg)
			if (err == nil) != (tc.want == "") || err != nil && (!strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), canary)) {
				t.Error(err)
			}
			if err == nil {
				_ = s.Close()
			}
		})
	}
	for _, text := range []string{"http/protobuf", "grpc"} {
		if _, err := ParseProtocol(text); err != nil {
			t.Error(err)
		}
	}
	if _, err := ParseProtocol("http/json"); err == nil {
		t.Error("taken")
	}
}

func TestHeadersAreReadAndStaySecret(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []header
	}{
		"names and values":    {"A: 1\r\n\n# x\n b-c :  v:w \n", []header{{"a", "1"}, {"b-c", "v:w"}}},
		"no colon":            {"A: 1\n" + canary, nil},
		"no value":            {"A:", nil},
		"no name":             {": " + canary, nil},
		"a name of two words": {"a b: " + canary, nil},
		"a control sign":      {"a: " + canary + "\x00", nil},
		"one of the protocol": {"Content-Type: " + canary, nil},
		"one of gRPC":         {"grpc-timeout: " + canary, nil},
		"nothing":             {"\n#\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseHeaders(tc.text)
			if (err != nil) != (tc.want == nil) || !slices.Equal(got, tc.want) {
				t.Errorf("%#v, %v", got, err)
			}
			if text := fmt.Sprintf("%v %+v %#v %v", got, got, got, err); strings.Contains(text, canary) {
				t.Error(text)
			}
		})
	}
	s := newSink(t, Config{Endpoint: "http://127.0.0.1:1", Headers: func(context.Context) (secret.Value, error) { return secret.Value{}, errors.New("no such file") }})
	if err := s.Send(t.Context(), []store.Decision{full()}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Error(err)
	}
}

func containsCanary(err error) bool { return strings.Contains(err.Error(), canary) }
