package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"
)

// costly are functions that no package-level variable may call: each sandbox executes our
// binary again several times, and each time all packages are initialised.
var costly = []string{"regexp.MustCompile", "regexp.MustCompilePOSIX", "template.Must"}

// costlyCalls lists the calls of costly functions that initialisation would make. What
// stands in a function of its own, such as sync.OnceValue's, is not called then.
func costlyCalls(f *ast.File) []string {
	var found []string
	for _, decl := range f.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.VAR {
			continue
		}
		ast.Inspect(group, func(n ast.Node) bool {
			if _, later := n.(*ast.FuncLit); later {
				return false
			}
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && slices.Contains(costly, x.Name+"."+s.Sel.Name) {
					found = append(found, x.Name+"."+s.Sel.Name)
				}
			}
			return true
		})
	}
	return found
}

// TestStartIsCheap keeps costly calls out of package initialisation.
func TestStartIsCheap(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || !slices.Contains(f.imports, "regexp") && !slices.Contains(f.imports, "html/template") && !slices.Contains(f.imports, "text/template") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, f.path), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, call := range costlyCalls(parsed) {
			t.Errorf("%s: a package-level variable calls %s: use sync.OnceValue, for each process of a sandbox pays it", f.path, call)
		}
	}
}

// TestStartRuleBites holds the search to a file with both.
func TestStartRuleBites(t *testing.T) {
	const src = `package p
import "regexp"
var a, b = 1, regexp.MustCompile("x")
var c = []*regexp.Regexp{regexp.MustCompile("y")}
var d = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("z") })
func f() { regexp.MustCompile("z") }
`
	parsed, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := costlyCalls(parsed); len(got) != 2 {
		t.Errorf("found %v, want two calls", got)
	}
}
