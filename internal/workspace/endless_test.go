package workspace

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/glovebox-dev/glovebox"
)

func TestExpand(t *testing.T) {
	for glob, want := range map[string]string{
		"a": "a", "": "", "a.{b,c}": "a.b a.c", "{a,b}/{c,d}": "a/c a/d b/c b/d", "{a,{b,c}d}": "a bd cd", "{a}": "a", "x{,y}": "x xy",
		`\{a,b\}`: `\{a,b\}`, "[{]a,b}": "[{]a,b}", `[\]{]x{a,b}`: `[\]{]xa [\]{]xb`, "{a": "{a", "a}": "a}", "{}": "",
	} {
		got, ok := expand(glob)
		if !ok || strings.Join(got, " ") != want {
			t.Errorf("%s: %q, %t", glob, got, ok)
		}
	}
	if got, ok := expand(strings.Repeat("{a,aa}", 30)); ok {
		t.Errorf("%d alternatives", len(got))
	}
	if got, ok := expand("{" + strings.Repeat("a,", 200) + "}"); ok {
		t.Errorf("%d alternatives", len(got))
	}
}

// FuzzExpand: what a glob matches, one of its expansions does. (The library itself gives up early on some.)
func FuzzExpand(f *testing.F) {
	f.Add("a{b,c}d", "abd")
	f.Add("{a,**/b}/*.{x,[{]}", "q/b/z.{")
	f.Fuzz(func(t *testing.T, glob, path string) {
		if len(glob) > 20 || len(path) > 20 || !utf8.ValidString(glob+path) || !doublestar.ValidatePattern(glob) {
			return
		}
		globs, ok := expand(glob)
		if !ok {
			return
		}
		got := slices.ContainsFunc(globs, func(g string) bool { return doublestar.MatchUnvalidated(g, path) })
		if !got && doublestar.MatchUnvalidated(glob, path) {
			t.Errorf("%q matches %q, but none of %q does", glob, path, globs)
		}
	})
}

// TestGlobsThatTakeForEver: a job's globs can't keep the executor busy.
func TestGlobsThatTakeForEver(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	w := prepare(t, options(t, newCache(t), s.path, s.commit()))
	long := strings.Repeat("a", 240)
	do(t, put(w, long, "x"), put(w, "d/"+long+"/"+long+"/"+long, "x"))
	start := time.Now()
	for _, glob := range []string{
		strings.Repeat("{a,aa}", 30) + "b", strings.Repeat("*{a,aa}", 30) + "b", strings.Repeat("*{a,aa}", 5) + "b",
		strings.Repeat("*a", 100) + "b", strings.Repeat("**/*a*a*", 100) + "b", strings.Repeat("**/", 1000) + "b",
	} {
		_, _, err := w.Outputs(t.Context(), []string{glob}, OutputLimits{})
		if fault, ok := errors.AsType[*Fault](err); err != nil && (!ok || !strings.Contains(fault.Reason, "alternatives")) {
			t.Errorf("%.40s: %v", glob, err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestHugeHoles: a file with a hole takes no room and would take days to read.
func TestHugeHoles(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	opts := options(t, newCache(t), s.path, s.commit())
	opts.Files = []glovebox.File{{Path: "brought", Content: "x"}}
	w := prepare(t, opts)
	do(t, w.root.Remove("a"), put(w, "a", "y"), os.Truncate(filepath.Join(w.Root, "brought"), 8<<40), os.WriteFile(filepath.Join(w.Root, ".gitignore"), nil, 0o600), os.Truncate(filepath.Join(w.Root, ".gitignore"), 8<<40))
	start := time.Now()
	_, _, diffErr := w.Diff(t.Context(), 0)
	_, _, outputsErr := w.Outputs(t.Context(), []string{"**"}, OutputLimits{})
	for _, err := range []error{diffErr, outputsErr} {
		if _, ok := errors.AsType[*Fault](err); !ok {
			t.Error(err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestIgnoreRulesThatTakeForEver: neither can rules that git takes exponential time to match.
func TestIgnoreRulesThatTakeForEver(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	w := prepare(t, options(t, newCache(t), s.path, s.commit()))
	w.ignoreFor = 200 * time.Millisecond
	long, stars := strings.Repeat("a", 240), strings.Repeat("a*", 20)
	do(t, put(w, "d/"+long+"/"+long+"/1/"+long, "x"), put(w, ".gitignore", "**/"+stars+"**/"+stars+"/b\n"))
	_, _, err := w.Diff(t.Context(), 0)
	if fault, ok := errors.AsType[*Fault](err); !ok || !strings.Contains(fault.Reason, ".gitignore") {
		t.Errorf("diff: %v", err)
	}
}
