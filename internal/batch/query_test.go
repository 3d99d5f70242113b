package batch

import (
	"slices"
	"strings"
	"testing"
)

func TestParseQueryRefuses(t *testing.T) {
	for query, want := range map[string]string{
		"":                                 "empty",
		"   \n":                            "empty",
		"count:5":                          "empty",
		"repo:(":                           "parenthesis",
		"repo:a)":                          "regular expression",
		"repo:":                            "no value",
		"repo:x fork:yes":                  "fork: is not supported; known are repo:",
		"archived:no x":                    "archived: is not supported",
		"select:repo x":                    "select: is not supported",
		"type:diff x":                      "type: is not supported",
		"a OR b":                           "operator OR",
		"a and not b":                      "operator NOT",
		"patternType:structural x":         "structural is not supported",
		"lang:brainfuck x":                 "lang:brainfuck is not known",
		"repo:^x$@main":                    "branch",
		"repo:has.description(x)":          "not supported",
		"repo:has.file()":                  "want a path",
		"repo:has.file(path:a owner:b)":    "owner",
		"repo:\"a":                         "does not end",
		"file:has.owner(x)":                "not supported",
		"context:@me x":                    "context:@me",
		"case:maybe x":                     "case:yes or case:no",
		"patternType:regexp (a":            "regular expression",
		"x\x00":                            "control characters",
		"\xff":                             "UTF-8",
		"repohasfile:[":                    "regular expression",
		"repo:has.content([)":              "regular expression",
		"-content:x":                       "not supported",
		strings.Repeat("a ", 101):          "100 terms",
		strings.Repeat("a", maxQuery+1):    "4096",
		`content:"" file:x`:                "no value",
		"author:ada x":                     "author: is not supported",
		"repo:(?=x)":                       "regular expression",
		"patternType:regexp a{1,1000}{99}": "regular expression",
	} {
		q, err := ParseQuery(2, query)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %+v, %v, want an error with %q", clip(query), q, err, want)
		}
	}
}

func TestParseQueryText(t *testing.T) {
	for _, c := range []struct {
		version int
		query   string
		want    []Pattern
		notes   int
	}{
		{1, `fmt.Println( x )`, []Pattern{{Text: "fmt.Println( x )", IgnoreCase: true}}, 0},
		{1, `a  file:x b`, []Pattern{{Text: "a b", IgnoreCase: true}}, 0},
		{1, `"a b" c`, []Pattern{{Text: `"a b" c`, IgnoreCase: true}}, 1},
		{1, `a AND b c`, []Pattern{{Text: "a", IgnoreCase: true}, {Text: "b c", IgnoreCase: true}}, 0},
		{1, `http://x std::move`, []Pattern{{Text: "http://x std::move", IgnoreCase: true}}, 0},
		{1, `/a.b/`, []Pattern{{Text: "/a.b/", IgnoreCase: true}}, 0},
		{1, `content:"a b" patterntype:literal`, []Pattern{{Text: "a b", IgnoreCase: true}}, 0},
		{1, `a b patternType:keyword`, []Pattern{{Text: "a", IgnoreCase: true}, {Text: "b", IgnoreCase: true}}, 0},
		{1, `patternType:standard x /a.b/`, []Pattern{{Text: "x", IgnoreCase: true}, {Text: "a.b", Regexp: true, IgnoreCase: true}}, 0},
		{2, `a "b c" 'd "e'`, []Pattern{{Text: "a", IgnoreCase: true}, {Text: "b c", IgnoreCase: true}, {Text: `d "e`, IgnoreCase: true}}, 0},
		{2, `"say \"x\""`, []Pattern{{Text: `say "x"`, IgnoreCase: true}}, 0},
		{2, `"or" case:yes`, []Pattern{{Text: "or"}}, 0},
		{2, `patternType:regexp a+ b`, []Pattern{{Text: "(?:a+).*(?:b)", Regexp: true, IgnoreCase: true}}, 0},
		{2, `/x y/ count:all context:global timeout:1s`, []Pattern{{Text: "/x", IgnoreCase: true}, {Text: "y/", IgnoreCase: true}}, 2},
	} {
		q, err := ParseQuery(c.version, c.query)
		if err != nil {
			t.Errorf("%q: %v", c.query, err)
			continue
		}
		if !slices.Equal(q.patterns, c.want) || len(q.Notes) != c.notes {
			t.Errorf("%q, version %d: got %+v, notes %q, want %+v", c.query, c.version, q.patterns, q.Notes, c.want)
		}
	}
}

func TestPatternCompile(t *testing.T) {
	for _, c := range []struct {
		p    Pattern
		text string
		want bool
	}{
		{Pattern{Text: "a.b"}, "x\nza.b", true},
		{Pattern{Text: "a.b"}, "A.B", false},
		{Pattern{Text: "a.b", IgnoreCase: true}, "A.B", true},
		{Pattern{Text: "^b$", Regexp: true}, "a\nb\nc", true},
		{Pattern{Text: "^b$"}, "a\nb\nc", false},
	} {
		re, err := c.p.Compile()
		if err != nil || re.MatchString(c.text) != c.want {
			t.Errorf("%+v in %q: want %v (%v)", c.p, c.text, c.want, err)
		}
	}
}

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		glob, name string
		paths      bool
	}{
		{"a/*", "a/b", true},
		{"a/*", "a/b/c", false},
		{"a/**", "a/b/c", true},
		{"**/c", "c", true},
		{"**/c", "a/b/c", true},
		{"a/**/c", "a/c", true},
		{"a/**/c", "ab/c", false},
		{"*", "a", true},
		{"*", "a/b", false},
		{"a?c", "a/c", false},
		{"a.c", "abc", false},
		{"[ab]c", "bc", true},
		{"[!ab]c", "bc", false},
		{"[a-c]", "b", true},
		{"{a,b/{c,d}}", "b/d", true},
		{"{a,b}", "c", false},
		{`\*`, "*", true},
		{`\*`, "a", false},
		{"a,b", "a,b", true},
		{"a}", "a}", true},
	} {
		paths, err := compilePaths(c.glob)
		if err != nil {
			t.Errorf("%q: %v", c.glob, err)
			continue
		}
		if got := paths.MatchString(c.name); got != c.paths {
			t.Errorf("%q on path %q: %v", c.glob, c.name, got)
		}
	}
	for _, bad := range []string{"", "[a", "[]", "{a", `a\`, "a\x00", "\xff", strings.Repeat("*", 5000), "[b-a]"} {
		if _, err := compilePaths(bad); err == nil {
			t.Errorf("%q is accepted", clip(bad))
		}
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{`repo:^a$ -r:b file:\.go$ "x y" lang:go`, `repo:has.file(path:a content:"b c") /re/ case:yes`, `patternType:regexp a(b|c) OR`, `f:"a`, `-file:x count:1`} {
		f.Add(1, seed)
		f.Add(2, seed)
	}
	f.Fuzz(func(t *testing.T, version int, text string) {
		q, err := ParseQuery(version, text)
		if err != nil {
			if !plain(err.Error()) {
				t.Errorf("the error of %q is not fit for a terminal: %q", text, err)
			}
			return
		}
		q.matchesName("github.com/a/b")
		q.matchesPath("a/b.go")
		for _, p := range q.patterns {
			if _, err := p.Compile(); err != nil {
				t.Errorf("%q: pattern %+v: %v", text, p, err)
			}
		}
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("a/**/{b,[!c-d]}*?", "a/x/b")
	f.Fuzz(func(t *testing.T, glob, name string) {
		if re, err := compilePaths(glob); err == nil {
			re.MatchString(name)
		}
	})
}
