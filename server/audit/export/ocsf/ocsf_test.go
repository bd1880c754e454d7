package ocsf

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/verdict-authz/verdict/server/policy"
	"github.com/verdict-authz/verdict/store"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var at = time.Date(2026, 11, 21, 10, 11, 12, 123456000, time.UTC)

const (
	tenant = "11111111-1111-4111-8111-111111111111"
	user   = "22222222-2222-4222-8222-222222222222"
	client = "33333333-3333-4333-8333-333333333333"
)

// cases are records of each kind that there is; the names are those of the golden files.
func cases() map[string]store.Decision {
	base := store.Decision{
		ID: "019a0000-0000-7000-8000-00000000000a", At: at, Revision: 42, Door: "ext_authz", PEP: "spiffe://example.org/gateway",
		Took: 42 * time.Microsecond, RequestID: "req-1", SourceIP: "203.0.113.0/24", Instance: "verdict-0", Epoch: 3, Seq: 99,
		API: "orders", Method: "GET", Host: "orders.example.org",
	}
	allowed := base
	allowed.Allowed, allowed.Reason = true, int16(policy.AllowedByGrant)
	allowed.PrincipalKind, allowed.TenantID, allowed.PrincipalID, allowed.ClientID, allowed.TokenID = 1, tenant, user, client, "uti-1"
	allowed.Route, allowed.Template = "read", "/orders/{id}"
	allowed.Permissions, allowed.Grants, allowed.Scopes = []string{"orders.read"}, []string{"g-1", "g-2"}, []string{"Orders.Read"}
	allowed.Subjects, allowed.GrantSubjects = []string{"tenant:" + tenant}, []string{"tenant:" + tenant}

	denied := allowed
	denied.Allowed, denied.Reason, denied.Detail = false, int16(policy.NoGrant), "no grant of the caller has orders.write"
	denied.Method, denied.Template, denied.Grants, denied.GrantSubjects = "POST", "/orders", nil, nil
	denied.Missing, denied.Permissions, denied.SourceIP = []string{"orders.write"}, []string{"orders.write"}, "2001:db8::7"

	unproven := base
	unproven.Reason, unproven.Detail, unproven.RawPath, unproven.SourceIP = int16(policy.RequestMalformed), "path: <&>", `/orders/%252e%252e\`, ""
	unproven.Method, unproven.API = "PROPFIND", ""

	question := store.Decision{
		ID: base.ID, At: at, Reason: int16(policy.GroupsUnresolved), Revision: 42, API: "orders", Door: "check",
		PrincipalKind: 2, TenantID: tenant, PrincipalID: user, ClientID: client,
		Permissions: []string{"orders.read", "orders.write"}, Resource: "orders/7", AgentParent: client, AgentFacets: "actor 11",
	}

	flood := unproven
	flood.Reason, flood.Repeats, flood.Method, flood.RawPath = int16(policy.TokenMissing), 1200, "DELETE", ""

	return map[string]store.Decision{
		"allowed-user": allowed, "denied-user": denied, "malformed": unproven, "permission-question": question, "flood": flood,
		"least": {ID: base.ID, At: at},
	}
}

func TestRecordsAreWrittenAsEvents(t *testing.T) {
	for name, d := range cases() {
		t.Run(name, func(t *testing.T) {
			line, err := AppendJSON([]byte("before "), &d)
			if err != nil {
				t.Fatal(err)
			}
			again, _ := AppendJSON(nil, &d)
			if string(line) != "before "+string(again) || bytes.ContainsRune(again, '\n') {
				t.Fatalf("not one line, or not the same twice: %s", line)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, again, "", "  "); err != nil {
				t.Fatal(err)
			}
			pretty.WriteByte('\n')
			golden := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(golden, pretty.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(pretty.Bytes(), want) {
				t.Errorf("got %s\nwant %s", pretty.Bytes(), want)
			}
			for _, fault := range validate(t, again) {
				t.Error(fault)
			}
		})
	}
}

// rules are what OCSF 1.7.0 asks of the class and of the objects that it is made of: attributes that must be there, and
// those of which one must be.
var rules = map[string]struct{ required, oneOf []string }{
	"": {required: []string{
		"activity_id", "category_uid", "class_uid", "type_uid", "severity_id", "time", "metadata", "actor", "api", "src_endpoint",
	}},
	"metadata":                      {required: []string{"product", "version"}},
	"metadata.product":              {oneOf: []string{"name", "uid"}},
	"actor":                         {oneOf: []string{"process", "user", "invoked_by", "session", "app_name", "app_uid"}},
	"actor.user":                    {oneOf: []string{"account", "name", "uid"}},
	"actor.authorizations[]":        {oneOf: []string{"decision", "policy"}},
	"actor.authorizations[].policy": {oneOf: []string{"name", "uid"}},
	"api":                           {required: []string{"operation"}},
	"api.request":                   {required: []string{"uid"}},
	"api.service":                   {oneOf: []string{"name", "uid"}},
	"src_endpoint":                  {oneOf: []string{"ip", "uid", "name", "hostname", "svc_name", "instance_uid"}},
	"dst_endpoint":                  {oneOf: []string{"ip", "uid", "name", "hostname", "svc_name", "instance_uid"}},
	"http_request":                  {},
	"http_request.url":              {oneOf: []string{"url_string", "hostname", "path"}},
	"resources[]":                   {oneOf: []string{"name", "uid"}},
	"unmapped":                      {},
}

// enums are the values that numbers may have.
var enums = map[string][]float64{
	"activity_id": {0, 1, 2, 3, 4, 99}, "category_uid": {6}, "class_uid": {6003}, "severity_id": {0, 1, 2, 3, 4, 5, 6, 99},
	"status_id": {0, 1, 2, 99}, "actor.user.type_id": {0, 1, 2, 3, 99},
}

func validate(t *testing.T, line []byte) (faults []string) {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(line, &root); err != nil {
		t.Fatal(err)
	}
	if root["type_uid"] != root["class_uid"].(float64)*100+root["activity_id"].(float64) {
		faults = append(faults, "type_uid is not class_uid * 100 + activity_id")
	}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			rule, known := rules[path]
			if !known {
				faults = append(faults, path+": an object without a rule")
			}
			for _, name := range rule.required {
				if _, ok := v[name]; !ok {
					faults = append(faults, fmt.Sprintf("%s: %s is required", path, name))
				}
			}
			if len(rule.oneOf) > 0 && !slices.ContainsFunc(rule.oneOf, func(n string) bool { _, ok := v[n]; return ok }) {
				faults = append(faults, fmt.Sprintf("%s: none of %v", path, rule.oneOf))
			}
			for name, value := range v {
				walk(strings.TrimPrefix(path+"."+name, "."), value)
			}
		case []any:
			for _, value := range v {
				walk(path+"[]", value)
			}
		case float64:
			if allowed, ok := enums[path]; ok && !slices.Contains(allowed, v) {
				faults = append(faults, fmt.Sprintf("%s: %v is none of %v", path, v, allowed))
			}
		case string:
			if v == "" {
				faults = append(faults, path+": empty")
			}
		}
	}
	walk("", root)
	return faults
}

// A field that is new in a record must find its place.
func TestEveryFieldOfARecordHasAPlace(t *testing.T) {
	full := store.Decision{}
	v := reflect.ValueOf(&full).Elem()
	want := make(map[string]string)
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Name
		switch value := f.Addr().Interface().(type) {
		case *string:
			*value = "text-of-" + name
		case *[]string:
			*value = []string{"text-of-" + name}
		case *uint64:
			*value = uint64(1_000_001 + i)
			want[name] = fmt.Sprint(*value)
			if name == "Repeats" {
				want[name] = fmt.Sprint(*value + 1) // count is of all
			}
			continue
		case *time.Time:
			*value = at
			want[name] = at.Format(time.RFC3339Nano)
			continue
		case *time.Duration:
			*value = 987654 * time.Microsecond
			want[name] = "987654"
			continue
		case *int16:
			*value = 2
			want[name] = "2"
			continue
		case *bool:
			*value = true
			want[name] = "allow"
			continue
		case *[]byte:
			continue // the hash over the record is not part of it
		default:
			t.Fatalf("a kind that this test does not know: %s", name)
		}
		want[name] = "text-of-" + name
	}
	full.Reason, full.PrincipalKind = int16(policy.AllowedByGrant), 2
	want["Reason"], want["PrincipalKind"] = "ALLOWED_BY_GRANT", "Application"
	line, err := AppendJSON(nil, &full)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		if !bytes.Contains(line, []byte(text)) {
			t.Errorf("%s is nowhere: no %s in %s", name, text, line)
		}
	}
}

func TestTheDocumentHasTheWholeMapping(t *testing.T) {
	doc, err := os.ReadFile("../../../../docs/audit-export.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range mapping {
		if !bytes.Contains(doc, []byte("`"+a.path+"`")) {
			t.Errorf("docs/audit-export.md does not have `%s`", a.path)
		}
	}
	if !bytes.Contains(doc, []byte("OCSF "+Version)) {
		t.Errorf("docs/audit-export.md does not have OCSF %s", Version)
	}
}
