package storetest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strconv"
	"strings"
	"testing"
)

// Statements returns every constant of the package in dir whose name begins with sql, by name, its parts put together.
func Statements(t testing.TB, dir string) map[string]string {
	t.Helper()
	pkgs, err := parser.ParseDir(token.NewFileSet(), dir, func(f fs.FileInfo) bool { //nolint:staticcheck // build tags do not matter here
		return !strings.HasSuffix(f.Name(), "_test.go")
	}, 0)
	must(t, err)
	values := make(map[string]ast.Expr)
	for _, pkg := range pkgs {
		for _, file := range pkg.Files {
			ast.Inspect(file, func(n ast.Node) bool {
				if spec, ok := n.(*ast.ValueSpec); ok {
					for i, name := range spec.Names {
						if i < len(spec.Values) {
							values[name.Name] = spec.Values[i]
						}
					}
				}
				return true
			})
		}
	}
	statements := make(map[string]string)
	for name, expr := range values {
		if strings.HasPrefix(name, "sql") {
			text, ok := text(expr, values)
			if !ok {
				t.Fatalf("%s is not a constant of literals", name)
			}
			statements[name] = text
		}
	}
	return statements
}

func text(e ast.Expr, values map[string]ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.Ident:
		v, ok := values[e.Name]
		if !ok {
			return "", false
		}
		return text(v, values)
	case *ast.BinaryExpr:
		x, okX := text(e.X, values)
		y, okY := text(e.Y, values)
		return x + y, okX && okY && e.Op == token.ADD
	}
	return "", false
}
