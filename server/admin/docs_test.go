package admin_test

import (
	"context"
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
	"github.com/verdict-authz/verdict/server/status"
)

var grpcurlLine = regexp.MustCompile(`^grpcurl -plaintext -d '([^']*)' 127\.0\.0\.1:7301 verdict\.v1\.(\w+)/(\w+)$`)

// TestTheGuideWorks runs every call of docs/administration.md in order. Calls followed by an ERROR block must fail so.
func TestTheGuideWorks(t *testing.T) {
	text, err := os.ReadFile("../../docs/administration.md")
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t)
	decisions, err := admin.NewAuditService(s)
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
	unseen := map[string]grpc.MethodDesc{}
	for name, svc := range services {
		for _, m := range svc.desc.Methods {
			unseen[name+"/"+m.MethodName] = m
		}
	}
	methods := map[string]grpc.MethodDesc{}
	for name, m := range unseen {
		methods[name] = m
	}
	var last error
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "grpcurl") {
			part := grpcurlLine.FindStringSubmatch(line)
			if part == nil {
				t.Fatalf("line %d is not of the form of the others", i+1)
			}
			name := part[2] + "/" + part[3]
			m, ok := methods[name]
			if !ok {
				t.Fatalf("line %d: there is no %s", i+1, name)
			}
			delete(unseen, name)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			_, last = m.Handler(services[part[2]].impl, ctx, func(req any) error {
				return protojson.Unmarshal([]byte(part[1]), req.(proto.Message))
			}, nil)
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
