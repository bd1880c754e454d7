package main

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/alecthomas/kong"
)

// docPage is a Markdown file of the repository, taken apart.
type docPage struct {
	name    string // from the root, with slashes
	prose   string // without what is code
	code    []string
	anchors map[string]bool
}

const root = "../.."

// handbook is the pages that people read: below docs, at the root, and beside what is deployed.
func handbook(t *testing.T) map[string]docPage {
	t.Helper()
	all := map[string]docPage{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || slices.Contains([]string{"bin", "dist", "third_party", "testdata"}, d.Name())):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".md":
			return nil
		}
		text, err := os.ReadFile(root + "/" + name)
		if err == nil {
			all[name] = parsePage(name, string(text))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all["README.md"].code) == 0 || len(all["docs/audit.md"].anchors) == 0 {
		t.Fatalf("%d pages, without the README or docs/audit.md", len(all))
	}
	return all
}

var (
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	notInSlug  = func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-_ ", r)
	}
)

// parsePage tells code from prose. Lines of a block that end in \ are one; anchors are those that the forge makes.
func parsePage(name, text string) docPage {
	p := docPage{name: name, anchors: map[string]bool{}}
	fenced, joined := false, ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			fenced = !fenced
		case fenced && strings.HasSuffix(line, `\`):
			joined += strings.TrimSuffix(line, `\`)
		case fenced:
			p.code, joined = append(p.code, joined+line), ""
		default:
			for _, span := range inlineCode.FindAllString(line, -1) {
				p.code = append(p.code, strings.Trim(span, "`"))
			}
			if title := strings.TrimLeft(line, "#"); title != line && strings.HasPrefix(title, " ") {
				slug := strings.ToLower(strings.Join(strings.FieldsFunc(strings.TrimSpace(title), notInSlug), ""))
				p.anchors[strings.ReplaceAll(slug, " ", "-")] = true
			}
			p.prose += inlineCode.ReplaceAllString(line, "`…`") + "\n"
		}
	}
	return p
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

func TestLinksOfThePagesLeadSomewhere(t *testing.T) {
	all, followed := handbook(t), 0
	for _, p := range all {
		for _, m := range link.FindAllStringSubmatch(p.prose, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // another site
			}
			followed++
			at := p.name
			if target != "" {
				at = path.Join(path.Dir(p.name), target)
			}
			if _, err := os.Stat(root + "/" + at); err != nil || strings.HasPrefix(at, "..") {
				t.Errorf("%s: %s is not there", p.name, m[1])
			} else if anchor != "" && path.Ext(at) == ".md" && !all[at].anchors[anchor] {
				t.Errorf("%s: %s has no heading for #%s", p.name, at, anchor)
			}
		}
	}
	if followed < 100 {
		t.Errorf("only %d links found", followed)
	}
}

// flagsOf are the flags of each command by its whole name, those of the commands above it included, with their variables.
func flagsOf(t *testing.T) (byCommand map[string]map[string]*kong.Flag, variables map[string]bool) {
	t.Helper()
	parser, err := kong.New(new(cli), kong.Name("verdict"), kong.DefaultEnvars(prefix))
	if err != nil {
		t.Fatal(err)
	}
	byCommand, variables = map[string]map[string]*kong.Flag{}, map[string]bool{}
	for _, leaf := range parser.Model.Leaves(false) {
		flags := map[string]*kong.Flag{}
		for _, group := range leaf.AllFlags(false) {
			for _, f := range group {
				flags[f.Name] = f
				for _, v := range f.Envs {
					variables[v] = true
				}
			}
		}
		byCommand[strings.TrimPrefix(leaf.FullPath(), "verdict ")] = flags
	}
	return byCommand, variables
}

var (
	invocation = regexp.MustCompile(`(?:^|[\s/(])verdict ([a-z][a-z -]*[a-z])([^|;#"]*)`)
	flagName   = regexp.MustCompile(`(?:^|[\s\[(])--([a-z][a-z0-9-]*[a-z0-9])\b`)
	variable   = regexp.MustCompile(`\bVERDICT_[A-Z0-9_]*[A-Z0-9]\b`)
)

// commandOf is the longest command that words begin with.
func commandOf(words string, byCommand map[string]map[string]*kong.Flag) (string, bool) {
	for fields := strings.Fields(words); len(fields) > 0; fields = fields[:len(fields)-1] {
		if name := strings.Join(fields, " "); byCommand[name] != nil {
			return name, true
		}
	}
	return "", false
}

func TestCommandsOfThePagesHaveTheirFlags(t *testing.T) {
	byCommand, _ := flagsOf(t)
	known := map[string]bool{}
	for _, flags := range byCommand {
		for name := range flags {
			known[name] = true
		}
	}
	checked := 0
	for _, p := range handbook(t) {
		for _, code := range p.code {
			for _, m := range invocation.FindAllStringSubmatch(code, -1) {
				command, ok := commandOf(m[1], byCommand)
				if !ok {
					continue // a path, or a command that is named without its last word
				}
				for _, f := range flagName.FindAllStringSubmatch(m[2], -1) {
					checked++
					if byCommand[command][f[1]] == nil {
						t.Errorf("%s: verdict %s has no --%s: %s", p.name, command, f[1], code)
					}
				}
			}
			if f := flagName.FindStringSubmatch(code); f != nil && strings.HasPrefix(code, "--") && !strings.HasSuffix(code, "-…") && !known[f[1]] {
				t.Errorf("%s: no command has --%s", p.name, f[1])
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d flags found", checked)
	}
}

// The table of all settings is not enough: somebody has to say what a setting is for.
func TestEveryFlagOfServeIsInAPage(t *testing.T) {
	byCommand, _ := flagsOf(t)
	said := map[string]bool{}
	for _, p := range handbook(t) {
		if p.name != "README.md" && !strings.HasPrefix(p.name, "docs/") || p.name == "docs/settings.md" {
			continue
		}
		for _, code := range p.code {
			for _, f := range flagName.FindAllStringSubmatch(code, -1) {
				said[f[1]] = true
			}
		}
	}
	for name := range byCommand["serve"] {
		if !said[name] && name != "help" {
			t.Errorf("no page tells --%s", name)
		}
	}
}

// The rule that the README gives holds for every flag, so that nobody has to guess at a variable.
func TestTheVariableOfAFlagHasItsWords(t *testing.T) {
	byCommand, _ := flagsOf(t)
	for command, flags := range byCommand {
		for name, f := range flags {
			if len(f.Envs) == 0 {
				continue // one that is given by hand only
			}
			if want := prefix + "_" + strings.ReplaceAll(strings.ToUpper(name), "-", "_"); f.Envs[0] != want {
				t.Errorf("verdict %s --%s is %s, want %s", command, name, f.Envs[0], want)
			}
		}
	}
}

func TestVariablesOfThePagesAreRead(t *testing.T) {
	_, known := flagsOf(t)
	authorizer, err := os.ReadFile(root + "/cmd/verdict-authorizer/config.go") // which reads variables of its own
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`"([A-Z][A-Z0-9_]+)[",]`).FindAllStringSubmatch(string(authorizer), -1) {
		known[prefix+"_"+m[1]] = true
	}
	for _, p := range handbook(t) {
		if p.name == "CONTRIBUTING.md" {
			continue // the variables of the tests and of the tools
		}
		for _, code := range p.code {
			for _, v := range variable.FindAllString(code, -1) {
				if !known[v] && !slices.ContainsFunc(notSettings, func(p string) bool { return strings.HasPrefix(v, p) }) {
					t.Errorf("%s: nothing reads %s", p.name, v)
				}
			}
		}
	}
}

// The first thing that anybody tries: what the pages call on this machine is a host of the example policy.
func TestTheHostsThatThePagesCallAreInTheExample(t *testing.T) {
	hosts, called := example(t).GetApis()[0].GetHosts(), 0
	demo := regexp.MustCompile(`localhost:731\d`)
	for _, p := range handbook(t) {
		for _, code := range p.code {
			for _, host := range demo.FindAllString(code, -1) {
				called++
				if !slices.Contains(hosts, host) {
					t.Errorf("%s calls %s, which is no host of the example policy: %v", p.name, host, hosts)
				}
			}
		}
	}
	if called == 0 {
		t.Error("no page calls the demo")
	}
}
