package glob_test

import (
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox/internal/glob"
)

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		glob, text string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "a", true}, {"a", "A", false},
		{"*", "", true}, {"*", "github.com/a/b", true}, {"github.com/a/*", "github.com/a/b/c", true},
		{"github.com/**/c", "github.com/a/b/c", true}, {"*b", "aab", true}, {"*b", "aabc", false},
		{"a?c", "aüc", true}, {"a?c", "ac", false}, {"a*b*c", "a-b-b-c", true},
		{"[a-c]x", "bx", true}, {"[a-c]x", "dx", false}, {"[!a-c]x", "dx", true}, {"[!a-c]x", "ax", false}, {"[-a]", "-", true}, {"[a-]", "-", true},
		{`\*`, "*", true}, {`\*`, "a", false}, {`[\]]`, "]", true},
		{"{a,b}/c", "b/c", true}, {"{a,b}/c", "c/c", false}, {"x{,y,{z,w}1}", "xw1", true}, {"x{,y}", "x", true}, {`\{a`, "{a", true}, {"[{]", "{", true}, {"a}", "a}", true}, {"}{a,b}", "}b", true},
	} {
		g, err := glob.Compile(c.glob)
		if err != nil {
			t.Errorf("%q: %v", c.glob, err)
		} else if got := g.Match(c.text); got != c.want {
			t.Errorf("%q, %q: got %v, want %v", c.glob, c.text, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{"[", "[]", "[a", "[z-a]", `a\`, `[a\`, "{a", "{a,{b}", strings.Repeat("{a,b}", 7), strings.Repeat("a", 5000)} {
		if _, err := glob.Compile(text); err == nil {
			t.Errorf("%.20q: accepted", text)
		}
	}
}

// TestTime: no glob takes exponential time.
func TestTime(t *testing.T) {
	start := time.Now()
	g, err := glob.Compile(strings.Repeat("*a", 500) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if g.Match(strings.Repeat("a", 100_000)) {
		t.Error("matched")
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("{a,b}[!x-z]*?\\*", "a/b")
	f.Fuzz(func(t *testing.T, text, name string) {
		if g, err := glob.Compile(text); err == nil && len(name) < 1000 {
			g.Match(name)
		}
	})
}
