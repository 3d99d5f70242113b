package web

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// mark returns what to show in place of a character that acts on the text
// around it or can't be seen, and "" for a character that may stand. Newline and
// tab may stand.
func mark(r rune) string {
	switch {
	case r == '\n', r == '\t':
		return ""
	case r < 0x20:
		return string(rune(0x2400 + r)) // control pictures
	case r < 0x7f:
		return ""
	case r == 0x7f:
		return "␡"
	case r < 0xa0, // C1 controls
		r == 0xad,                            // soft hyphen
		r == 0x61c, r == 0x180e, r == 0x200b, // Arabic letter mark, Mongolian separator, zero width space
		r == 0x200e, r == 0x200f, // left-to-right and right-to-left mark
		r >= 0x2028 && r <= 0x202e,             // line and paragraph separator, bidirectional embeddings
		r >= 0x2060 && r <= 0x206f,             // invisible operators, bidirectional isolates
		r == 0xfeff, r >= 0xfff0 && r < 0xfffc, // byte order mark, interlinear annotations
		r >= 0xe0000 && r <= 0xe0fff: // tags and further invisible selectors
		return fmt.Sprintf("⟨U+%04X⟩", r)
	}
	return ""
}

// Visible returns text as valid UTF-8 in which control characters and those
// that reorder or hide text are replaced by readable marks.
func Visible(text []byte) []byte {
	if i := firstMarked(text); i < 0 {
		return text
	}
	var out bytes.Buffer
	out.Grow(len(text) + len(text)/8)
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch m := mark(r); {
		case r == utf8.RuneError && n == 1:
			out.WriteRune(utf8.RuneError)
		case m != "":
			out.WriteString(m)
		default:
			out.Write(text[:n])
		}
		text = text[n:]
	}
	return out.Bytes()
}

// firstMarked returns where the first byte stands that Visible changes, or -1.
func firstMarked(text []byte) int {
	for i := 0; i < len(text); {
		if c := text[i]; c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' {
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		if mark(r) != "" || (r == utf8.RuneError && n == 1) {
			return i
		}
		i += n
	}
	return -1
}
