package server_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// lastCase is the last number of the token catalogue.
const lastCase = 280

// shown says which numbers of the token catalogue have a subtest in which folder. A number may be in several: what only a
// request can show, or what the rooms do together, is shown again where the requests come in.
var shown = map[string][]span{
	"server/entra":            {{1, 12}, {14, 16}, {18, 224}, {246, 267}}, // 13 and 17 need a request
	"server/directory":        {{218, 218}, {220, 223}, {225, 233}, {239, 245}},
	"server/directory/mirror": {{234, 240}, {243, 245}},
	"server/revocation":       {{268, 272}},
	"server/pdp":              {{273, 278}},
	"server/status":           {{268, 268}, {274, 276}, {278, 279}}, // those that are told to the caller
	"cmd/verdict":             {{1, 45}, {127, 128}, {144, 148}, {164, 164}, {167, 167}, {206, 211}, {273, 278}, {280, 280}},
}

// span is a range of numbers, both ends included.
type span struct{ first, last int }

// Every number of the catalogue is a subtest somewhere, and stays one: a test that is renamed or removed is missed here.
func TestEveryCaseOfTheTokenCatalogueHasATest(t *testing.T) {
	rooms := map[string]*subtests{}
	for _, f := range goFiles(t, parser.SkipObjectResolution) {
		if _, ok := shown[f.folder]; ok && f.test {
			if rooms[f.folder] == nil {
				rooms[f.folder] = &subtests{named: map[int]bool{}, keyed: map[int]bool{}}
			}
			rooms[f.folder].read(f.ast)
		}
	}
	promised := map[int]bool{}
	for folder, spans := range shown {
		var missing []int
		for _, s := range spans {
			for n := s.first; n <= s.last; n++ {
				promised[n] = true
				if rooms[folder] == nil || !rooms[folder].has(n) {
					missing = append(missing, n)
				}
			}
		}
		if len(missing) > 0 {
			t.Errorf("%s has no subtest for %v", folder, missing)
		}
	}
	for n := 1; n <= lastCase; n++ {
		if !promised[n] {
			t.Errorf("no folder has case %d", n)
		}
	}
}

// subtests are the numbers that the tests of a folder show.
type subtests struct {
	named  map[int]bool // a key of a map or the name given to Run begins with the number and a blank
	keyed  map[int]bool // the number is the key of a map of cases
	prints bool         // keys become names of subtests
}

func (s *subtests) has(n int) bool { return s.named[n] || s.prints && s.keyed[n] }

func (s *subtests) read(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			if sel, ok := n.Fun.(*ast.SelectorExpr); ok && sel.Sel.Name == "Run" && len(n.Args) == 2 {
				s.name(n.Args[0])
			}
		case *ast.CompositeLit:
			s.cases(n)
		}
		return true
	})
}

// cases reads the keys of a map: names, or numbers of entries.
func (s *subtests) cases(lit *ast.CompositeLit) {
	m, ok := lit.Type.(*ast.MapType)
	if !ok {
		return
	}
	kind, _ := m.Key.(*ast.Ident)
	for _, element := range lit.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok || kind == nil {
			continue
		}
		switch key, _ := pair.Key.(*ast.BasicLit); {
		case kind.Name == "string":
			s.name(pair.Key)
		case kind.Name == "int" && key != nil && tests(pair.Value):
			if n, err := strconv.Atoi(key.Value); err == nil {
				s.keyed[n] = true
			}
		}
	}
}

var numbered = regexp.MustCompile(`^[0-9]{3} `)

// name reads a name, or the text that one is put together from: by format, or beginning with a number.
func (s *subtests) name(expr ast.Expr) {
	ast.Inspect(expr, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil {
			return true
		}
		s.prints = s.prints || strings.HasPrefix(text, "%03d ")
		if numbered.MatchString(text) {
			if n, err := strconv.Atoi(text[:3]); err == nil {
				s.named[n] = true
			}
		}
		return true
	})
}

// tests reports whether an entry of a catalogue does something, rather than name the room that does.
func tests(value ast.Expr) bool {
	if _, made := value.(*ast.CallExpr); made {
		return true
	}
	lit, ok := value.(*ast.CompositeLit)
	return ok && slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
		pair, ok := e.(*ast.KeyValueExpr)
		if !ok {
			return false
		}
		field, ok := pair.Key.(*ast.Ident)
		return ok && (field.Name == "run" || field.Name == "token" || field.Name == "header")
	})
}

func TestWhatCountsAsASubtest(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "x_test.go", `package x
var cases = map[int]entry{
	1: {name: "a token", token: good}, 2: {name: "elsewhere", owner: "server/entra"}, 3: claimsOf("a call"), 4: {name: "run", run: f},
}
var named = map[string]bool{"005 a key": true, "6 too short": true, "0071 too long": true}
var words = map[int]string{8: "no case"}
var text = "009 no subtest"
func f(t *testing.T) {
	t.Run("010 a name", g)
	t.Run("011 "+name, g)
	t.Log("012 no subtest")
	t.Run(fmt.Sprintf("%03d %s", n, e.name), g)
}`, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	s := &subtests{named: map[int]bool{}, keyed: map[int]bool{}}
	s.read(f)
	for n, want := range map[int]bool{
		1: true, 2: false, 3: true, 4: true, 5: true, 6: false, 7: false, 8: false, 9: false, 10: true, 11: true, 12: false,
	} {
		if s.has(n) != want {
			t.Errorf("case %d has a subtest: %v, want %v", n, s.has(n), want)
		}
	}
	s.prints = false
	if s.has(1) || !s.has(10) {
		t.Error("keys count without being printed, or names do not")
	}
}
