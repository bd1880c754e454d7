package admin_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	verdictv1 "github.com/verdict-authz/verdict/proto/gen/verdict/v1"
	"github.com/verdict-authz/verdict/server/admin"
	"github.com/verdict-authz/verdict/server/admin/review"
	"github.com/verdict-authz/verdict/server/admin/trail"
	"github.com/verdict-authz/verdict/server/status"
)

// firstMessage is a stream whose caller goes away with the first message.
type firstMessage struct {
	grpc.ServerStream
	ctx context.Context
	dec func(any) error
	got func()
}

func (f *firstMessage) Context() context.Context { return f.ctx }
func (f *firstMessage) RecvMsg(m any) error      { return f.dec(m) }
func (f *firstMessage) SendMsg(any) error        { f.got(); return nil }

var grpcurlLine = regexp.MustCompile(`^grpcurl -plaintext -d '([^']*)' 127\.0\.0\.1:7301 verdict\.v1\.(\w+)/(\w+)$`)

// mask is a field mask as grpcurl takes it: it knows the message, and not that protobuf's JSON has a text in its place.
var mask = regexp.MustCompile(`("update_mask": )\{"paths": \["(\w+)"\]\}`)

// asProtoJSON is what grpcurl sends, for protojson.
func asProtoJSON(request string) []byte {
	return mask.ReplaceAllFunc([]byte(request), func(m []byte) []byte {
		part := mask.FindSubmatch(m)
		words := strings.Split(string(part[2]), "_")
		for i, w := range words[1:] {
			words[i+1] = strings.ToUpper(w[:1]) + w[1:]
		}
		return []byte(string(part[1]) + `"` + strings.Join(words, "") + `"`)
	})
}

// TestTheGuideWorks runs every call of docs/administration.md in order. Calls followed by an ERROR block must fail so.
func TestTheGuideWorks(t *testing.T) {
	text, err := os.ReadFile("../../docs/administration.md")
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t)
	reviewer, err := review.New(s, s, s, review.Config{})
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := trail.New(s, noSnapshots{}, reviewer, nil, trail.Config{})
	if err != nil {
		t.Fatal(err)
	}
	system, err := admin.NewSystemService(fakePolicy{}, fakeAudit{}, fakeKeys{}, fakeRevoked{}, admin.SystemConfig{})
	if err != nil {
		t.Fatal(err)
	}
	revocations, err := admin.NewRevocationService(s, noSnapshots{}, admin.RevocationConfig{})
	if err != nil {
		t.Fatal(err)
	}
	services := map[string]struct {
		impl any
		desc grpc.ServiceDesc
	}{
		"PolicyService":     {newService(t, s, admin.PolicyConfig{}), verdictv1.PolicyService_ServiceDesc},
		"AuditService":      {decisions, verdictv1.AuditService_ServiceDesc},
		"RevocationService": {revocations, verdictv1.RevocationService_ServiceDesc},
		"DirectoryService":  {newDirectory(t, 1, admin.DirectoryConfig{}).DirectoryService, verdictv1.DirectoryService_ServiceDesc},
		"SystemService":     {system, verdictv1.SystemService_ServiceDesc},
	}
	methods := map[string]func(impl any, ctx context.Context, dec func(any) error) error{}
	for name, svc := range services {
		for _, m := range svc.desc.Methods {
			methods[name+"/"+m.MethodName] = func(impl any, ctx context.Context, dec func(any) error) error {
				_, err := m.Handler(impl, ctx, dec, nil)
				return err
			}
		}
		for _, m := range svc.desc.Streams {
			methods[name+"/"+m.StreamName] = func(impl any, ctx context.Context, dec func(any) error) error {
				ctx, cancel := context.WithCancel(ctx)
				defer cancel()
				if err := m.Handler(impl, &firstMessage{ctx: ctx, dec: dec, got: cancel}); !errors.Is(err, context.Canceled) {
					return err
				}
				return nil
			}
		}
	}
	unseen := maps.Clone(methods)
	var last error
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "grpcurl") {
			part := grpcurlLine.FindStringSubmatch(line)
			if part == nil {
				t.Fatalf("line %d is not of the form of the others", i+1)
			}
			if strings.Contains(part[1], `_mask": "`) {
				t.Errorf("line %d: grpcurl takes a mask as {\"paths\": […]}", i+1)
			}
			name := part[2] + "/" + part[3]
			m, ok := methods[name]
			if !ok {
				t.Fatalf("line %d: there is no %s", i+1, name)
			}
			delete(unseen, name)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			last = m(services[part[2]].impl, ctx, func(req any) error {
				return protojson.Unmarshal(asProtoJSON(part[1]), req.(proto.Message))
			})
			cancel()
			if last != nil && !strings.Contains(strings.Join(lines[i:min(i+5, len(lines))], "\n"), "ERROR:") {
				t.Errorf("line %d: %s: %v", i+1, name, last)
			}
		}
		if line == "ERROR:" {
			got := grpcstatus.Convert(status.FromError(last))
			want := strings.TrimSpace(strings.TrimPrefix(lines[i+1], "  Code:")) + ": " + strings.TrimPrefix(lines[i+2], "  Message: ")
			if have := got.Code().String() + ": " + got.Message(); have != want {
				t.Errorf("line %d says\n%s\nthe call before says\n%s", i+1, want, have)
			}
		}
	}
	for name := range unseen {
		t.Errorf("%s is not in the guide", name)
	}
}
