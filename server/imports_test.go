package server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/verdict-authz/verdict/"

// room says what the Go files of one folder may import beside the standard library. A folder of ours is named as it is;
// "dir/..." stands for all folders below dir. A module stands for its packages.
type room struct {
	ours    []string
	modules []string
	tests   []string // modules that its tests may import beside those
}

// Modules by the name that the table uses for them.
const (
	grpc          = "google.golang.org/grpc"
	protobuf      = "google.golang.org/protobuf"
	rpc           = "google.golang.org/genproto/googleapis/rpc"
	envoyAPI      = "github.com/envoyproxy/go-control-plane/envoy"
	protovalidate = "buf.build/go/protovalidate"
	validateAPI   = "buf.build/gen/go/bufbuild/protovalidate"
	jwx           = "github.com/lestrrat-go/jwx/v3"
	strictJSON    = "github.com/go-json-experiment/json"
	cel           = "cel.dev/cel-go"
	pgx           = "github.com/jackc/pgx/v5"
	sqlite        = "modernc.org/sqlite"
	goose         = "github.com/pressly/goose/v3"
	kong          = "github.com/alecthomas/kong"
	yaml          = "sigs.k8s.io/yaml"
	yamlNodes     = "go.yaml.in/yaml/v3"
	uuid          = "github.com/google/uuid"
	xsync         = "golang.org/x/sync"
	prometheus    = "github.com/prometheus/client_golang"
	otter         = "github.com/maypok86/otter/v2"
	azcore        = "github.com/Azure/azure-sdk-for-go/sdk/azcore"
	azidentity    = "github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	azsecrets     = "github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
	awsSDK        = "github.com/aws/aws-sdk-go-v2"
	smithy        = "github.com/aws/smithy-go"
	goLDAP        = "github.com/go-ldap/ldap/v3"
	xsys          = "golang.org/x/sys"
	goJOSE        = "github.com/go-jose/go-jose/v4"
	compress      = "github.com/klauspost/compress"
	golangJWT     = "github.com/golang-jwt/jwt/v5"
	franzGo       = "github.com/twmb/franz-go"
	otlpProto     = "go.opentelemetry.io/proto/slim/otlp"

	hcl             = "github.com/hashicorp/hcl/v2"
	terraformPlugin = "github.com/hashicorp/terraform-plugin-go"
)

// testTools are for the tests of every room.
var testTools = []string{"github.com/google/go-cmp", "pgregory.net/rapid", "golang.org/x/tools/txtar"}

// house is the rule of imports: cmd -> server -> doors -> pdp -> policy, request; the rooms that fetch and keep things ->
// policy and store; engines -> store. A folder that is not here is refused until somebody says what it may import.
var house = map[string]room{
	"proto/gen/verdict/v1": {modules: []string{grpc, protobuf, validateAPI}},

	// The standard library and nothing else. policy and store do not know each other; they meet in snapshot.
	"server/request": {},
	"server/policy":  {ours: []string{"server/request"}},
	"store":          {},
	// It keeps bytes and knows nothing of what they say.
	"server/audit/spool": {},

	// What surrounds the decision. No grpc here: a door hands over plain values.
	"server/condition":       {ours: []string{"server/policy", "server/request"}, modules: []string{cel}},
	"server/entra":           {ours: []string{"server/policy"}, modules: []string{jwx, strictJSON, xsync}, tests: []string{goJOSE, golangJWT}},
	"server/issuer":          {modules: []string{jwx, strictJSON, uuid}},
	"server/directory":       {ours: []string{"server/policy", "store"}, modules: []string{xsync, otter}},
	"server/directory/graph": {ours: []string{"server/directory", "server/policy"}},
	"server/directory/azure": {ours: []string{"server/directory", "server/directory/graph"}, modules: []string{azcore, azidentity}},
	"server/directory/ldap":  {ours: []string{"server/directory", "server/policy"}, modules: []string{goLDAP}},
	"server/directory/mirror": {
		ours: []string{"server/directory", "server/directory/graph", "server/policy", "store"}, modules: []string{otter},
	},
	"server/directory/graphtest": {ours: []string{"server/directory/graph", "server/policy"}},
	"server/directory/ldaptest":  {modules: []string{goLDAP, xsys}},
	"server/follow":              {},
	"server/trust":               {ours: []string{"server/entra", "server/follow", "store"}},
	"server/snapshot":            {ours: []string{"server/follow", "server/policy", "server/request", "store"}, tests: []string{sqlite}},
	"server/audit":               {ours: []string{"server/audit/seal", "server/audit/spool", "server/policy", "store"}, modules: []string{uuid}},
	"server/audit/seal":          {ours: []string{"store"}, modules: []string{uuid}, tests: []string{pgx}},
	"server/audit/seal/s3sink":   {ours: []string{"server/audit/seal"}, modules: []string{awsSDK}},
	"server/audit/privacy":       {ours: []string{"server/policy", "store"}},
	"server/audit/export": {
		ours: []string{"server/audit/export/ocsf", "server/audit/shape", "store"}, tests: []string{compress},
	},
	"server/audit/export/ocsf":  {ours: []string{"server/policy", "store"}},
	"server/audit/export/files": {ours: []string{"server/audit/export", "store"}, modules: []string{compress}},
	"server/audit/export/kafka": {ours: []string{"server/audit/export", "server/secret", "store"}, modules: []string{franzGo}},
	"server/audit/export/otlp": {
		ours: []string{"server/audit/export", "server/policy", "server/secret", "store"}, modules: []string{otlpProto, grpc, protobuf, rpc},
	},
	"server/audit/keep":    {ours: []string{"server/audit/archive", "server/audit/seal", "store"}},
	"server/audit/archive": {ours: []string{"server/audit/seal", "server/audit/shape", "store"}, modules: []string{compress}},
	"server/audit/shape":   {ours: []string{"proto/gen/verdict/v1", "store"}, modules: []string{protobuf}},
	"server/secret":        {modules: []string{xsync}, tests: []string{kong}},
	"server/secret/awssm":  {ours: []string{"server/secret"}, modules: []string{awsSDK, smithy}},
	"server/secret/azkv":   {ours: []string{"server/secret"}, modules: []string{azcore, azidentity, azsecrets}},
	"server/pdp": {
		ours: []string{
			"server/directory", "server/entra", "server/policy", "server/request", "server/revocation", "store",
		},
		modules: []string{uuid},
	},
	"server/revocation": {ours: []string{"server/follow", "store"}},

	// Who watches. Metrics read their owners; the doctor asks the verifier that serves.
	"server/metrics": {ours: []string{"server/audit", "server/policy", "server/snapshot"}, modules: []string{prometheus}},
	"server/doctor":  {ours: []string{"server/entra", "server/policy"}, modules: []string{strictJSON}},

	// Where values become gRPC.
	"server/status": {ours: []string{"server/policy", "store"}, modules: []string{grpc, protobuf, rpc}},
	"server/call":   {modules: []string{grpc}},

	// The doors.
	"server/extauthz": {
		ours:    []string{"server/call", "server/entra", "server/pdp", "server/policy", "server/request", "server/status"},
		modules: []string{grpc, protobuf, rpc, envoyAPI},
	},
	"server/access": {
		ours: []string{
			"proto/gen/verdict/v1", "server/call", "server/entra", "server/pdp", "server/policy", "server/request",
			"server/status",
		},
		modules: []string{grpc, protobuf},
	},
	"server/credentials": {
		ours: []string{
			"proto/gen/verdict/v1", "server/call", "server/pdp", "server/policy", "server/secret", "server/status",
		},
		modules: []string{grpc, protobuf, rpc, strictJSON, yamlNodes},
	},
	"server/credentials/sts": {ours: []string{"server/credentials", "server/secret"}, modules: []string{awsSDK, smithy}, tests: []string{protobuf}},
	"server/admin": {
		ours: []string{
			"proto/gen/verdict/v1", "server/admin/page", "server/audit", "server/call", "server/entra", "server/policy", "server/request",
			"server/revocation", "server/snapshot", "server/status", "server/trust", "store",
		},
		modules: []string{grpc, protobuf, uuid},
	},
	"server/admin/page": {ours: []string{"server/status"}},
	"server/admin/trail": {
		ours:    []string{"proto/gen/verdict/v1", "server/admin/page", "server/audit/shape", "server/policy", "server/status", "store"},
		modules: []string{grpc, protobuf}, tests: []string{rpc},
	},
	"server/admin/review": {
		ours:    []string{"proto/gen/verdict/v1", "server/policy", "server/status", "store"},
		modules: []string{protobuf}, tests: []string{grpc},
	},
	"server/admin/review/report": {ours: []string{"proto/gen/verdict/v1"}, modules: []string{protobuf}},
	"server/pep":                 {ours: []string{"server/call"}, modules: []string{grpc, rpc, jwx, strictJSON}},
	"server/web":                 {ours: []string{"server/pdp", "server/policy", "server/request", "server/status"}},

	// The server puts the rooms together and takes its store from cmd: no engine and no migration below it.
	"server": {
		ours:    []string{"proto/gen/verdict/v1", "server/...", "store"},
		modules: []string{grpc, protobuf, envoyAPI, protovalidate, uuid, xsync},
		tests:   []string{rpc, sqlite},
	},

	"migrations": {
		ours:    []string{"store", "store/postgres", "store/sqlite"},
		modules: []string{goose, pgx}, tests: []string{sqlite},
	},
	"store/postgres":        {ours: []string{"store"}, modules: []string{pgx, uuid}},
	"store/postgres/pgtest": {ours: []string{"migrations", "store/postgres"}, modules: []string{pgx}},
	"store/sqlite":          {ours: []string{"store"}, modules: []string{sqlite, uuid}},
	"store/storetest":       {ours: []string{"store"}, modules: testTools},

	// What is started. The authorizer is small and quick to start: the contract and nothing behind it.
	"cmd/verdict": {
		ours:    []string{"migrations", "proto/gen/verdict/v1", "server", "server/...", "store", "store/postgres", "store/sqlite"},
		modules: []string{grpc, protobuf, kong, yaml, xsync},
		// They ask as Envoy does, read what a refused call carries, tamper as an owner could, and receive what is exported.
		tests: []string{envoyAPI, rpc, pgx, compress, franzGo, otlpProto},
	},
	"proto/verdictclient/stsidentity": {modules: []string{awsSDK}},
	"proto/verdictclient":             {ours: []string{"proto/gen/verdict/v1"}, modules: []string{grpc, protobuf}},
	"cmd/verdict-authorizer": {
		ours:    []string{"cmd/verdict-authorizer/execapi", "cmd/verdict-authorizer/lambda", "proto/gen/verdict/v1", "proto/verdictclient", "proto/verdictclient/stsidentity"},
		modules: []string{grpc, protobuf, rpc},
	},
	"cmd/verdict-authorizer/execapi":   {},
	"cmd/verdict-authorizer/lambda":    {},
	"cmd/verdict-authorizer/modeltest": {ours: []string{"server/request"}},
	"deploy/demo": {
		ours: []string{
			"deploy/envoy", "migrations", "proto/gen/verdict/v1", "server", "server/...", "store", "store/postgres", "store/sqlite",
		},
		modules: []string{grpc, protobuf, yaml, xsync},
	},
	"deploy/envoy":           {tests: []string{envoyAPI, grpc}},
	"deploy/lambda":          {},
	"deploy/terraform":       {tests: []string{hcl, terraformPlugin}}, // a provider that stands in for AWS's
	"deploy/envoy/envoytest": {ours: []string{"deploy/envoy"}},
}

// goFile is a Go file of the repository, parsed.
type goFile struct {
	name   string // from the root, with slashes
	folder string
	test   bool
	ast    *ast.File
}

// goFiles parses all Go files of the repository. It reads them itself rather than through
// `go list`, so that the test cache sees which files the answer depends on.
func goFiles(t *testing.T, mode parser.Mode) []goFile {
	t.Helper()
	var files []goFile
	err := fs.WalkDir(os.DirFS(".."), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != "." && (strings.HasPrefix(base, ".") || base == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", name), nil, mode)
		if err != nil {
			return err
		}
		files = append(files, goFile{
			name: name, folder: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: f,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestImportsRunOneWay(t *testing.T) {
	files := goFiles(t, parser.ImportsOnly)
	if len(files) == 0 {
		t.Fatal("no Go file found")
	}
	for _, f := range files {
		r, ok := house[f.folder]
		if !ok {
			t.Errorf("%s: nothing says what %s may import; add the folder to this test", f.name, f.folder)
			continue
		}
		for _, spec := range f.ast.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if !r.allows(f.folder, imported, f.test) {
				t.Errorf("%s imports %s, which %s may not", f.name, imported, f.folder)
			}
		}
	}
}

// allows reports whether a file of folder may import the package. Tests may import all of ours: a test looks at a room
// together with its neighbours, and is imported by nobody.
func (r room) allows(folder, imported string, test bool) bool {
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	if ours, ok := strings.CutPrefix(imported, module); ok {
		return test || slices.ContainsFunc(r.ours, func(allowed string) bool {
			below, all := strings.CutSuffix(allowed, "/...")
			return ours == allowed || all && strings.HasPrefix(ours, below+"/")
		})
	}
	allowed := r.modules
	if test {
		allowed = slices.Concat(r.modules, r.tests, testTools)
	}
	return slices.ContainsFunc(allowed, func(m string) bool { return imported == m || strings.HasPrefix(imported, m+"/") })
}

func TestRoomAllows(t *testing.T) {
	for name, tc := range map[string]struct {
		folder, imported string
		test             bool
		want             bool
	}{
		"policy may import the standard library":        {folder: "server/policy", imported: "net/netip", want: true},
		"policy may import request":                     {folder: "server/policy", imported: module + "server/request", want: true},
		"policy may not import store":                   {folder: "server/policy", imported: module + "store"},
		"policy may not import grpc":                    {folder: "server/policy", imported: grpc + "/codes"},
		"the tests of policy may not import grpc":       {folder: "server/policy", imported: grpc, test: true},
		"the tests of policy may import its conditions": {folder: "server/policy", imported: module + "server/condition", test: true, want: true},
		"store may not import policy":                   {folder: "store", imported: module + "server/policy"},
		"the pdp may not import grpc":                   {folder: "server/pdp", imported: grpc},
		"a door may not import an engine":               {folder: "server/admin", imported: module + "store/postgres"},
		"the server may not import an engine":           {folder: "server", imported: module + "store/sqlite"},
		"the server may import any of its rooms":        {folder: "server", imported: module + "server/pdp", want: true},
		"a module is not a prefix of another's name":    {folder: "server/condition", imported: cel + "x/cel"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := house[tc.folder].allows(tc.folder, tc.imported, tc.test); got != tc.want {
				t.Errorf("allows = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	said := map[string]bool{}
	for _, f := range goFiles(t, parser.ImportsOnly|parser.ParseComments) {
		if !f.test {
			said[f.folder] = said[f.folder] || f.ast.Doc != nil || ast.IsGenerated(f.ast)
		}
	}
	for folder, ok := range said {
		if !ok {
			t.Errorf("%s has no package comment", folder)
		}
	}
}

// A room that asks the machine for the time cannot be tested at another time: clocks are fields, with time.Now as their
// default. What is left of a context's deadline is the exception, since contexts know only the machine's clock.
func TestRoomsAskTheirOwnClock(t *testing.T) {
	for _, f := range goFiles(t, parser.SkipObjectResolution) {
		if f.test || path.Dir(f.folder) != "server" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && (sel.Sel.Name == "Now" || sel.Sel.Name == "Since") {
					t.Errorf("%s calls time.%s; ask the room's clock", f.name, sel.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestTopLevelFolders(t *testing.T) {
	want := []string{"cmd", "deploy", "docs", "migrations", "proto", "server", "store"}
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		// bin and dist are where make puts its output; git ignores them.
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "bin" && e.Name() != "dist" {
			got = append(got, e.Name())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("top-level folders are %v, want %v", got, want)
	}
}
