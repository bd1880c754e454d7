package terraform_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// tree copies the module and the examples, since Terraform writes beside what it reads, and lays a package where the examples
// look for it. It returns the folder that stands for this one.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "deploy", "terraform")
	for _, part := range []string{"verdict-authorizer", "examples"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(part)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(root, "dist", "verdict-authorizer-arm64.zip"), "a package")
	return dir
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// terraform is the program that VERDICT_TEST_TERRAFORM names, with the stand-in as its AWS provider.
type terraform struct {
	program string
	env     []string
}

// startTerraform skips t when there is no Terraform, unless VERDICT_TEST_REQUIRE lists it.
func startTerraform(t *testing.T) *terraform {
	t.Helper()
	program := os.Getenv("VERDICT_TEST_TERRAFORM")
	if program == "" {
		const text = "VERDICT_TEST_TERRAFORM is not set; .ci/tools.sh --env sets it where terraform is on PATH"
		if slices.Contains(strings.Split(os.Getenv("VERDICT_TEST_REQUIRE"), ","), "terraform") {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "terraform-provider-aws")); err != nil {
		t.Fatal(err)
	}
	settings := filepath.Join(dir, "cli.tfrc")
	write(t, settings, fmt.Sprintf("provider_installation {\n  dev_overrides {\n    \"hashicorp/aws\" = %q\n  }\n}\n", dir))
	return &terraform{program: program, env: []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "TF_CLI_CONFIG_FILE=" + settings, "TF_IN_AUTOMATION=1", "CHECKPOINT_DISABLE=1",
	}}
}

// run runs a command of Terraform in dir. Output without error may hold an error of the configuration: see plan.
func (tf *terraform) run(t *testing.T, dir string, args ...string) (stdout []byte, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tf.program, args...)
	cmd.Dir, cmd.Env = dir, tf.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err = cmd.Output()
	if err != nil && len(stdout) == 0 {
		t.Fatalf("terraform %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout, err
}

// diagnostic is what Terraform has to say of a configuration.
type diagnostic struct {
	Severity, Summary, Detail string

	Range struct {
		Filename string
		Start    struct{ Line int }
	}
}

// plan is what Terraform would make, by address.
type plan map[string]planned

type planned struct {
	Address string
	Type    string
	Values  map[string]any
}

// text is a value that is a string.
func (p planned) text(name string) string {
	s, _ := p.Values[name].(string)
	return s
}

// plan plans the configuration in dir. With problems there is no plan.
func (tf *terraform) plan(t *testing.T, dir string, vars ...string) (plan, []diagnostic) {
	t.Helper()
	if _, err := tf.run(t, dir, "get"); err != nil {
		t.Fatalf("terraform get: %v", err)
	}
	args := []string{"plan", "-json", "-input=false", "-lock=false", "-refresh=false", "-out=plan"}
	for _, v := range vars {
		args = append(args, "-var="+v)
	}
	out, err := tf.run(t, dir, args...)
	var problems []diagnostic
	for line := range bytes.Lines(out) {
		var said struct {
			Type       string
			Diagnostic diagnostic
		}
		if json.Unmarshal(line, &said) == nil && said.Type == "diagnostic" && said.Diagnostic.Severity == "error" {
			problems = append(problems, said.Diagnostic)
		}
	}
	if err != nil {
		if len(problems) == 0 {
			t.Fatalf("terraform plan: %v\n%s", err, out)
		}
		return nil, problems
	}
	shown, err := tf.run(t, dir, "show", "-json", "plan")
	if err != nil {
		t.Fatalf("terraform show: %v", err)
	}
	type module struct {
		Resources    []planned
		ChildModules []json.RawMessage `json:"child_modules"`
	}
	var all struct {
		PlannedValues struct {
			Root json.RawMessage `json:"root_module"`
		} `json:"planned_values"`
	}
	if err := json.Unmarshal(shown, &all); err != nil {
		t.Fatal(err)
	}
	p := plan{}
	for todo := []json.RawMessage{all.PlannedValues.Root}; len(todo) > 0; todo = todo[1:] {
		var m module
		if err := json.Unmarshal(todo[0], &m); err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Resources {
			p[r.Address] = r
		}
		todo = append(todo, m.ChildModules...)
	}
	return p, problems
}

// of are the resources of a type, in the order of their addresses.
func (p plan) of(kind string) (list []planned) {
	for _, r := range p {
		if r.Type == kind {
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b planned) int { return strings.Compare(a.Address, b.Address) })
	return list
}
