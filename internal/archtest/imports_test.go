package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const root = "../.."

// file is one Go source of the tree.
type file struct {
	path, dir string // relative to the module
	test      bool
	ast       *ast.File
	imports   []string // ours relative to the module, others as written
}

// sources parses the package clause, comments and imports of every Go file of the module.
func sources(t *testing.T) []file {
	t.Helper()
	var files []file
	fset := token.NewFileSet()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
			return nil
		}
		parsed, err := parser.ParseFile(fset, path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		f := file{path: filepath.ToSlash(rel), test: strings.HasSuffix(name, "_test.go"), ast: parsed}
		if f.dir = filepath.ToSlash(filepath.Dir(rel)); f.dir == "." {
			f.dir = ""
		}
		for _, spec := range parsed.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if p == module {
				p = ""
			}
			f.imports = append(f.imports, strings.TrimPrefix(p, module+"/"))
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 20 {
		t.Fatalf("found only %d Go files: is the root right?", len(files))
	}
	return files
}

func TestImports(t *testing.T) {
	for _, f := range sources(t) {
		for _, path := range f.imports {
			if why := breaks(f.dir, path, f.test); why != "" {
				t.Errorf("%s imports %q: %s", f.path, path, why)
			}
		}
	}
}

// TestRulesBite holds the table to cases that must be refused, and to some that must not:
// a rule with a typo in it would let everything pass.
func TestRulesBite(t *testing.T) {
	for _, c := range []struct {
		from, path string
		test       bool
		refused    bool
	}{
		{"internal/executor", "internal/server", false, true},
		{"internal/executor", "internal/sandbox/gvisor", false, true},
		{"internal/executor", "internal/sandbox/fake", true, false},
		{"internal/executor", "internal/sandbox", false, false},
		{"internal/server", "internal/workspace", false, true},
		{"internal/sandbox/docker", "internal/sandbox/gvisor", false, true},
		{"internal/sandbox/docker", "internal/sandbox", false, false},
		{"internal/sandbox", "internal/sandbox/all", false, true},
		{"internal/cli", "gvisor.dev/gvisor/runsc/cli/maincli", true, true},
		{"cmd/glovebox", "gvisor.dev/gvisor/runsc/cli/maincli", false, false},
		{"", "github.com/dustin/go-humanize", false, true},
		{"", "strings", false, false},
		{"api", "internal/queue", false, true},
		{"internal/cli", "internal/sandbox/fake", false, true},
		{"internal/store", "internal/cli", true, true},
		{"e2e", "internal/cli", true, false},
		{"internal/jobfile", "github.com/santhosh-tekuri/jsonschema/v6", false, true},
		{"internal/jobfile", "github.com/santhosh-tekuri/jsonschema/v6/kind", true, false},
	} {
		if got := breaks(c.from, c.path, c.test) != ""; got != c.refused {
			t.Errorf("%q importing %q (test %v): refused %v, want %v", c.from, c.path, c.test, got, c.refused)
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, f := range sources(t) {
		name := strings.TrimSuffix(f.ast.Name.Name, "_test")
		if why, bad := forbiddenNames[name]; bad {
			t.Errorf("%s: package %s: %s", f.path, name, why)
		}
		for _, part := range strings.Split(f.dir, "/") {
			if why, bad := forbiddenNames[part]; bad {
				t.Errorf("%s: folder %s: %s", f.path, part, why)
			}
		}
	}
}

// TestPackageComments wants each package to say what it owns.
func TestPackageComments(t *testing.T) {
	documented, seen := map[string]bool{}, map[string]bool{}
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		seen[f.dir] = true
		if f.ast.Doc != nil {
			documented[f.dir] = true
		}
	}
	for dir := range seen {
		if !documented[dir] {
			t.Errorf("package in %q has no package comment", dir)
		}
	}
}

// TestNoBuildTags keeps the tiers of tests out of build tags: a file that is
// not compiled is a file that rots. Operating systems are no tiers.
func TestNoBuildTags(t *testing.T) {
	allowed := map[string]bool{"linux": true, "!linux": true, "unix": true, "!unix": true, "race": true, "!race": true}
	for _, f := range sources(t) {
		src, err := os.ReadFile(filepath.Join(root, f.path))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(src)) {
			if strings.HasPrefix(line, "package ") {
				break
			}
			if tag, ok := strings.CutPrefix(line, "//go:build "); ok && !allowed[strings.TrimSpace(tag)] {
				t.Errorf("%s: build tag %q: opt in by internal/testenv instead", f.path, strings.TrimSpace(tag))
			}
		}
	}
}
