package syntax

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// colours writes a line with each token that is not plain as "class(text)".
func colours(l *Language, text string, s State) (string, State) {
	tokens, s := l.Line(text, s)
	var out strings.Builder
	at := 0
	for _, t := range tokens {
		part := text[at:t.End]
		if c := t.Class.Short(); c != "" {
			part = c + "⟨" + part + "⟩"
		}
		out.WriteString(part)
		at = t.End
	}
	return out.String(), s
}

func TestColours(t *testing.T) {
	tests := []struct{ file, text, want string }{
		{"a.go", "func show(v any) error { // x", "k⟨func⟩ f⟨show⟩(v k⟨any⟩) k⟨error⟩ { c⟨// x⟩"},
		{"a.go", "x := \"a\\\"b\" + `raw` + 'c' + 0x1f", "x := s⟨\"a\\\"b\"⟩ + s⟨`raw`⟩ + s⟨'c'⟩ + n⟨0x1f⟩"},
		{"a.go", "a /* b\nc */ d", "a c⟨/* b⟩\nc⟨c */⟩ d"},
		{"a.go", "\"open\nfunc", "s⟨\"open⟩\nk⟨func⟩"},
		{"a.ts", "const a: string = `x\n${y}` as T", "k⟨const⟩ a: k⟨string⟩ = s⟨`x⟩\ns⟨${y}`⟩ k⟨as⟩ T"},
		{"x/a.yaml", "steps:\n  - run: go vet ${{ x }} # y\n    n: 12\n    on: true", "a⟨steps⟩:\n  - a⟨run⟩: s⟨go vet ⟩m⟨${{ x }}⟩ c⟨# y⟩\n    a⟨n⟩: n⟨12⟩\n    a⟨on⟩: k⟨true⟩"},
		{"a.yml", "run: |\n  a: b # c\n\n  d\nnext: \"q\"", "a⟨run⟩: m⟨|⟩\ns⟨  a: b # c⟩\n\ns⟨  d⟩\na⟨next⟩: s⟨\"q\"⟩"},
		{"README.md", "# Title\n- see `x`\n```go\nfunc\n```\nplain", "k⟨# Title⟩\nm⟨- ⟩see s⟨`x`⟩\nm⟨```go⟩\ns⟨func⟩\nm⟨```⟩\nplain"},
		{"a.json", `{"k": "v", "n": [1, true]}`, `{a⟨"k"⟩: s⟨"v"⟩, a⟨"n"⟩: [n⟨1⟩, k⟨true⟩]}`},
		{"a.html", `<a href="x">t</a><!-- c`, `m⟨<a⟩ a⟨href⟩=s⟨"x"⟩m⟨>⟩tm⟨</a>⟩c⟨<!-- c⟩`},
		{"Dockerfile", "FROM alpine # no", "k⟨FROM⟩ alpine c⟨# no⟩"},
		{"Makefile", "all: build\n\t$(GO) build", "a⟨all⟩: build\n\tf⟨$⟩(GO) build"},
		{"a.sh", "if [ \"$x\" ]; then echo $HOME#1; fi", "k⟨if⟩ [ s⟨\"$x\"⟩ ]; k⟨then⟩ k⟨echo⟩ a⟨$HOME⟩#n⟨1⟩; k⟨fi⟩"},
		{"a.rs", "fn f<'a>(c: char) { 'x' }", "k⟨fn⟩ f<'a>(c: k⟨char⟩) { s⟨'x'⟩ }"},
		{"a.py", "def f(): # c\n\"\"\"doc\nif\"\"\"", "k⟨def⟩ f⟨f⟩(): c⟨# c⟩\ns⟨\"\"\"doc⟩\ns⟨if\"\"\"⟩"},
		{"a.sql", "SELECT 'a' from T -- c", "k⟨SELECT⟩ s⟨'a'⟩ k⟨from⟩ T c⟨-- c⟩"},
		{"a.toml", "[a.b]\nk = \"v\" # c", "m⟨[a.b]⟩\na⟨k ⟩= s⟨\"v\"⟩ c⟨# c⟩"},
		{"go.mod", "require x v1 // indirect", "k⟨require⟩ x v1 c⟨// indirect⟩"},
		{"a.css", "a { color: red; } /* x */", "a { a⟨color⟩: red; } c⟨/* x */⟩"},
		{"what.ever", "func 1", "func 1"},
	}
	for _, tt := range tests {
		var got []string
		var state State
		for line := range strings.SplitSeq(tt.text, "\n") {
			var out string
			out, state = colours(ByName(tt.file), line, state)
			got = append(got, out)
		}
		if out := strings.Join(got, "\n"); out != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.file, out, tt.want)
		}
	}
}

// files are names of one file of each language.
func files() []string {
	return []string{"a.go", "a.ts", "a.java", "a.c", "a.cs", "a.rs", "a.swift", "a.php", "a.yaml", "a.json", "a.md", "a.html", "a.toml", "a.sh", "a.css",
		"a.sql", "a.py", "a.rb", "a.tf", "Dockerfile", "Makefile", "go.mod", "Jenkinsfile", "none"}
}

func FuzzLine(f *testing.F) {
	f.Add("a: |\n  b ${{ ''' \\")
	f.Add("<a b='\n--> `\\` \"\"\" /* é")
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range files() {
			l := ByName(name)
			var state State
			for line := range strings.SplitSeq(text, "\n") {
				var tokens []Token
				tokens, state = l.Line(line, state)
				at := 0
				for _, token := range tokens {
					if token.End <= at || utf8.ValidString(line) && !utf8.ValidString(line[at:token.End]) {
						t.Fatalf("%s: %q: tokens %v", name, line, tokens)
					}
					at = token.End
				}
				if at != len(line) {
					t.Fatalf("%s: %q: tokens %v end at %d of %d", name, line, tokens, at, len(line))
				}
			}
		}
	})
}

// TestLongLinesTakeLinearTime reads what makes scanners go back again and again.
func TestLongLinesTakeLinearTime(t *testing.T) {
	for _, unit := range []string{"'", "\"\\", "`", "<!--<a ", "${{", "/*", "{\"", "- ", "a:b", "```", "#"} {
		line := strings.Repeat(unit, (1<<17)/len(unit))
		for _, name := range files() {
			begun := time.Now()
			ByName(name).Line(line, State{})
			if took := time.Since(begun); took > time.Second {
				t.Errorf("%s takes %v for 128 KiB of %q", name, took, unit)
			}
		}
	}
}

func BenchmarkLine(b *testing.B) {
	text := "	return fmt.Errorf(\"read %s: %w\", name, err) // the caller knows"
	l := ByName("a.go")
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		l.Line(text, State{})
	}
}
