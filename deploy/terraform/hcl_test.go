package terraform_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// These tests read the files themselves and need no Terraform.

var update = flag.Bool("update", false, "rewrite the tables of the README")

// block is a block of a file.
type block struct {
	*hclsyntax.Block
	file   string
	source []byte
}

// attribute is the text of an expression; "" when there is none.
func (b block) attribute(name string) string {
	a, ok := b.Body.Attributes[name]
	if !ok {
		return ""
	}
	return string(a.Expr.Range().SliceBytes(b.source))
}

// blocks are those of a kind in all files of a folder and the folders below.
func blocks(t *testing.T, folder, kind string) (found []block) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), folder, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".tf" {
			return err
		}
		source, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			return err
		}
		if formatted := hclwrite.Format(source); !bytes.Equal(formatted, source) {
			t.Errorf("%s is not as terraform fmt would have it", name)
		}
		f, problems := hclsyntax.ParseConfig(source, name, hcl.InitialPos)
		if problems.HasErrors() {
			return problems
		}
		for _, b := range f.Body.(*hclsyntax.Body).Blocks {
			if b.Type == kind {
				found = append(found, block{Block: b, file: name, source: source})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Fatalf("no %s in %s", kind, folder)
	}
	return found
}

func TestNothingIsOpenUnlessItSaysSo(t *testing.T) {
	permissions, authorizers := 0, 0
	for _, r := range blocks(t, ".", "resource") {
		where := r.file + ": " + strings.Join(r.Labels, ".")
		switch r.Labels[0] {
		case "aws_lambda_permission":
			permissions++
			if !regexp.MustCompile(`^"\$\{var\.execution_arn\}/authorizers/\$\{aws_[a-z0-9_]+\.this(\[each\.key\])?\.id\}"$`).MatchString(r.attribute("source_arn")) {
				t.Errorf("%s lets more invoke the function than one authorizer: source_arn = %s", where, r.attribute("source_arn"))
			}
		case "aws_apigatewayv2_authorizer", "aws_api_gateway_authorizer":
			authorizers++
			ttl := r.attribute("authorizer_result_ttl_in_seconds")
			if !strings.HasPrefix(r.file, "verdict-authorizer/modules/websocket/") && !strings.HasSuffix(ttl, "function.cache_ttl_s") {
				t.Errorf("%s: its TTL is %q and not that of the function", where, ttl)
			}
		case "aws_api_gateway_method":
			if r.attribute("authorization") == `"NONE"` && r.attribute("http_method") == `"OPTIONS"` {
				continue // preflight
			}
			if r.attribute("authorization") != `"CUSTOM"` {
				t.Errorf("%s is open: authorization = %s", where, r.attribute("authorization"))
			}
		case "aws_apigatewayv2_route":
			switch kind := r.attribute("authorization_type"); {
			case kind == `"CUSTOM"`, kind == `each.value.public ? "NONE" : "CUSTOM"`:
			case kind == "" && r.file == "examples/websocket/main.tf": // only $connect can have an authorizer
			default:
				t.Errorf("%s is open: authorization_type = %s", where, kind)
			}
		}
	}
	if permissions != 3 || authorizers != 3 {
		t.Errorf("%d permissions and %d authorizers, want one of each for REST, HTTP and WebSocket APIs", permissions, authorizers)
	}
}

func TestEveryVariableIsTypedAndSaysWhatItIs(t *testing.T) {
	for _, v := range blocks(t, ".", "variable") {
		if v.attribute("type") == "" || v.attribute("type") == "any" || len(v.attribute("description")) < 10 {
			t.Errorf("%s: %s has no type or no description", v.file, v.Labels[0])
		}
	}
}

// The README says what the files say.
func TestTheReadmeListsInputsAndOutputs(t *testing.T) {
	const readme = "verdict-authorizer/README.md"
	old, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	text := string(old)
	for name, folder := range map[string]string{
		"verdict-authorizer": "verdict-authorizer", "rest": "verdict-authorizer/modules/rest", "http": "verdict-authorizer/modules/http",
		"websocket": "verdict-authorizer/modules/websocket",
	} {
		begin, end := "<!-- "+name+": made by go test ./deploy/terraform -update -->\n", "<!-- end of "+name+" -->"
		before, rest, found := strings.Cut(text, begin)
		_, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("%s has no place for the tables of %s", readme, name)
		}
		text = before + begin + tables(t, folder) + end + after
	}
	if *update {
		write(t, readme, text)
		return
	}
	if diff := cmp.Diff(text, string(old)); diff != "" {
		t.Errorf("%s is not up to date; go test ./deploy/terraform -update rewrites it (-should be +is):\n%s", readme, diff)
	}
}

// tables are the inputs and outputs of one module.
func tables(t *testing.T, folder string) string {
	var b strings.Builder
	own := func(list []block) []block {
		return slices.DeleteFunc(list, func(b block) bool { return path.Dir(b.file) != folder })
	}
	b.WriteString("\n| Input | Default | |\n|---|---|---|\n")
	for _, v := range own(blocks(t, folder, "variable")) {
		otherwise := "required"
		if d := v.attribute("default"); d != "" {
			otherwise = "`" + d + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Labels[0], otherwise, unquoted(v.attribute("description")))
	}
	b.WriteString("\n| Output | |\n|---|---|\n")
	for _, o := range own(blocks(t, folder, "output")) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", o.Labels[0], unquoted(o.attribute("description")))
	}
	b.WriteString("\n")
	return b.String()
}

func unquoted(s string) string {
	return strings.NewReplacer(`\"`, `"`, "|", `\|`).Replace(strings.TrimSuffix(strings.TrimPrefix(s, `"`), `"`))
}

var setting = regexp.MustCompile(`VERDICT_[A-Z_]+[A-Z]`)

// The function refuses to start with a name that it does not know.
func TestTheTemplatesSetWhatTheFunctionKnows(t *testing.T) {
	guide, err := os.ReadFile("../../docs/aws-lambda.md")
	if err != nil {
		t.Fatal(err)
	}
	known := setting.FindAllString(string(guide), -1)
	files, err := filepath.Glob("../sam/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "verdict-authorizer/main.tf") {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := setting.FindAllString(string(source), -1)
		if len(names) < 3 {
			t.Errorf("%s sets only %v", file, names)
		}
		for _, name := range names {
			if !slices.Contains(known, name) {
				t.Errorf("%s sets %s, which docs/aws-lambda.md does not have", file, name)
			}
		}
	}
	if len(files) != 3 {
		t.Errorf("%d templates of SAM, want those for REST, HTTP and WebSocket APIs", len(files))
	}
}
