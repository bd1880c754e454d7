package main

import (
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "github.com/verdict-authz/verdict/proto/gen/verdict/v1" // registers the services
)

var (
	grpcurlCall = regexp.MustCompile(`^grpcurl .*\b(verdict\.v1\.\w+)/(\w+)`)
	grpcurlData = regexp.MustCompile(`-d '([^']*)'`)
	maskAsPaths = regexp.MustCompile(`_mask": \{"paths": \["\w+"(, "\w+")*\]\}`)
)

// What the pages have people paste into grpcurl names methods that there are, with requests that they take. grpcurl knows a
// field mask as the message that it is; protojson has a text in its place.
func TestCallsOfThePagesAreOfTheContract(t *testing.T) {
	checked := 0
	for _, p := range handbook(t) {
		for _, code := range p.code {
			call := grpcurlCall.FindStringSubmatch(code)
			if call == nil {
				continue
			}
			checked++
			service, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(call[1]))
			if err != nil {
				t.Errorf("%s: %v: %s", p.name, err, code)
				continue
			}
			method := service.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(call[2]))
			if method == nil {
				t.Errorf("%s: %s has no %s", p.name, call[1], call[2])
				continue
			}
			data := grpcurlData.FindStringSubmatch(code)
			if data == nil || strings.Contains(data[1], "…") {
				continue // none, one that the shell puts together, or one that is cut
			}
			if strings.Contains(data[1], `_mask": "`) {
				t.Errorf(`%s: grpcurl takes a mask as {"paths": […]}: %s`, p.name, code)
			}
			request := maskAsPaths.ReplaceAllString(data[1], `_mask": "paths"`)
			if err := protojson.Unmarshal([]byte(request), dynamicpb.NewMessage(method.Input())); err != nil {
				t.Errorf("%s: %v: %s", p.name, err, code)
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d calls found", checked)
	}
}
