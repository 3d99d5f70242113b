package web

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// screenOf writes pieces to a screen and returns its spans as "class:text" joined by "|".
func screenOf(pieces ...string) string {
	var s screen
	for _, p := range pieces {
		s.write(p, func() {})
	}
	var out []string
	for _, span := range s.spans() {
		if span.Class != "" {
			span.Text = span.Class + ":" + span.Text
		}
		out = append(out, span.Text)
	}
	return strings.Join(out, "|")
}

func TestScreen(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                            "plain",
		"\x1b[31mred\x1b[0m x":             "f1:red| x",
		"\x1b[1;92mok\x1b[22;39m.":         "f10 bo:ok|.",
		"\x1b[38;5;208morange":             "f208:orange",
		"\x1b[48;2;255;0;0mback":           "b196:back",
		"\x1b[38:2:0:255:0mcolons":         "f46:colons",
		"\x1b[7mflip":                      "in:flip",
		"\x1b[31;44;7mflip":                "f4 b1:flip",
		"\x1b[3;4;9;2mall":                 "di it un st:all",
		"10%\r100%":                        "100%",
		"abcdef\rxy":                       "xycdef",
		"abcdef\r\x1b[Kxy":                 "xy",
		"abc\x1b[2K\rz":                    "z",
		"abc\b\bX":                         "aXc",
		"a\x1b[5Gb":                        "a   b",
		"a\x1b]0;title\ab":                 "ab",
		"a\x1b]8;;http://x\x1b\\b":         "ab",
		"a\x1bP+q\x1b\\b":                  "ab",
		"a\x1b(Bb":                         "ab",
		"\x1b[?25lhidden cursor":           "hidden cursor",
		"\x1b[>4;2mx":                      "x",
		"nul\x00 bell\a esc":               "nul␀ bell esc",
		"rtl\u202eevil":                    "rtl⟨U+202E⟩evil",
		"\x1b[999999999999999999mx":        "x",
		"\x1b[38;5mx":                      "x",
		"<script>&\"'":                     "<script>&\"'",
		"\x1b[\x1b[31mx":                   "[31mx",
		"tab\there":                        "tab\there",
		"\u009b31mred":                     "f1:red",
		"\x1b[" + strings.Repeat("1", 300): "1111111111111111111111111111111111111111111",
	} {
		if got := screenOf(in); got != want {
			t.Errorf("%q shows %q, want %q", in, got, want)
		}
	}
}

func TestScreenTakesPieces(t *testing.T) {
	whole := "a\x1b[38;5;208mb\x1b]0;t\x1b\\c\r\x1b[1mZ\x1b[0mé"
	var pieces []string
	for _, r := range whole {
		pieces = append(pieces, string(r))
	}
	if a, b := screenOf(whole), screenOf(pieces...); a != b {
		t.Errorf("in pieces %q, whole %q", b, a)
	}
}

func TestLongLinesAreBroken(t *testing.T) {
	var s screen
	full := 0
	s.write(strings.Repeat("x", 10*maxCells), func() { full++ })
	if full != 9 || len(s.cells) != maxCells {
		t.Errorf("broken %d times with %d cells left, want 9 and %d", full, len(s.cells), maxCells)
	}
}

func TestNearestKeepsThePalette(t *testing.T) {
	for i := 16; i < 256; i++ {
		var r, g, b int
		fmt.Sscanf(paletteColour(i), "#%02x%02x%02x", &r, &g, &b)
		if got := paletteColour(nearest(r, g, b)); got != paletteColour(i) {
			t.Errorf("nearest to colour %d, %s, is %s", i, paletteColour(i), got)
		}
	}
	if n := strings.Count(string(paletteCSS()), "\n"); n != 256 {
		t.Errorf("%d colours in the style sheet", n)
	}
}

func FuzzScreen(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\r\b\x1b[K\x1b]0;x\a", uint8(3))
	f.Fuzz(func(t *testing.T, in string, cut uint8) {
		in = strings.ToValidUTF8(in, "?")
		var s screen
		s.write(in, func() {})
		if len(s.cells) > maxCells {
			t.Fatalf("%d cells", len(s.cells))
		}
		text := s.plainText()
		if !utf8.ValidString(text) || string(Visible([]byte(text))) != text {
			t.Fatalf("unsafe text %q", text)
		}
		for _, span := range s.spans() {
			if strings.Trim(span.Class, "abcdefghijklmnopqrstuvwxyz0123456789 ") != "" {
				t.Fatalf("class %q", span.Class)
			}
		}
		at := min(int(cut), len(in))
		for at > 0 && at < len(in) && !utf8.RuneStart(in[at]) {
			at--
		}
		if a, b := screenOf(in), screenOf(in[:at], in[at:]); a != b {
			t.Fatalf("cut at %d: %q, whole: %q", at, b, a)
		}
	})
}

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain\n\ttext é 日本 👩‍👩": "plain\n\ttext é 日本 👩‍👩",
		"a\rb\x00\x1b\x7f":       "a␍b␀␛␡",
		"x\u202ey\u2066z":        "x⟨U+202E⟩y⟨U+2066⟩z",
		"bad\xff":                "bad\ufffd",
		"\u0085\ufeff":           "⟨U+0085⟩⟨U+FEFF⟩",
		"\U000E0041":             "⟨U+E0041⟩",
	} {
		if got := string(Visible([]byte(in))); got != want {
			t.Errorf("Visible(%q) = %q, want %q", in, got, want)
		}
	}
}

// shuffled is a source of numbers that is the same on each run.
func shuffled(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }
