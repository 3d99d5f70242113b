package cli

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain ünïcödé 世界\ttab":    "plain ünïcödé 世界\ttab",
		"\x1b[31mred\x1b]0;t\x07":  `\x1b[31mred\x1b]0;t\x07`,
		"a\nb\r":                   `a\x0ab\x0d`,
		"c1 \u009b31m":             `c1 \x9b31m`,
		"\xff\xfe":                 `\xff\xfe`,
		"evil\u202etxt.exe":        `evil\u202etxt.exe`,
		"isolate\u2066x\u2069":     `isolate\u2066x\u2069`,
		"line\u2028sep":            `line\u2028sep`,
		"replacement \uFFFD stays": `replacement \ufffd stays`,
		"del \x7f nul \x00":        `del \x7f nul \x00`,
	} {
		if got := visible(in); got != want {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("\x1b]52;c;aGk=\x07")
	f.Fuzz(func(t *testing.T, s string) {
		got := visible(s)
		if !utf8.ValidString(got) || strings.IndexFunc(got, unsafeRune) >= 0 {
			t.Errorf("visible(%q) = %q", s, got)
		}
		if visible(got) != got {
			t.Errorf("visible is not idempotent on %q", s)
		}
	})
}
