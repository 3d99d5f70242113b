package web

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxCells bounds a shown line; a longer one goes on in the next.
const maxCells = 4096

// maxSequence bounds an escape sequence; a longer one ends there.
const maxSequence = 256

// style is how a cell looks. Colours are palette indexes plus one, 0 for none.
type style struct {
	fore, back uint16
	flags      uint8
}

const (
	bold = 1 << iota
	dim
	italic
	underline
	strike
	inverse
)

// flagClasses are the classes of the flags, by bit.
var flagClasses = [...]string{"bo", "di", "it", "un", "st"}

// class returns the style's CSS classes.
func (s style) class() string {
	if s == (style{}) {
		return ""
	}
	var names []string
	fore, back := s.fore, s.back
	if s.flags&inverse != 0 {
		fore, back = back, fore
		if fore == 0 && back == 0 {
			names = append(names, "in")
		}
	}
	if fore > 0 {
		names = append(names, "f"+strconv.Itoa(int(fore-1)))
	}
	if back > 0 {
		names = append(names, "b"+strconv.Itoa(int(back-1)))
	}
	for i, name := range flagClasses {
		if s.flags&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, " ")
}

// cell is one character of a line.
type cell struct {
	char  rune
	style style
}

// States of the parser.
const (
	ground  = iota
	escape  // after ESC
	control // in a CSI sequence
	text    // in an OSC, DCS, PM, APC or SOS string
	textEnd // after ESC in such a string
	charset // after ESC ( and the like: one byte to skip
)

// screen is one line of a terminal: text overwrites it after a carriage return or
// a backspace, colours stay on from line to line. Everything else that a terminal
// can do is dropped. It takes text in pieces cut anywhere between characters.
type screen struct {
	cells []cell
	col   int
	style style
	state uint8
	seq   []byte
}

// write takes text; full is called with the line when it has grown too long, and the line begins anew.
func (s *screen) write(textIn string, full func()) {
	for _, r := range textIn {
		switch s.state {
		case ground:
			s.plain(r, full)
		case escape:
			s.escaped(r)
		case control:
			s.parameter(r)
		case charset:
			s.state = ground
		default:
			s.string(r)
		}
	}
}

// plain takes a character outside of escape sequences.
func (s *screen) plain(r rune, full func()) {
	switch r {
	case 0x1b:
		s.state = escape
	case 0x9b:
		s.state, s.seq = control, s.seq[:0]
	case '\r':
		s.col = 0
	case '\b':
		s.col = max(s.col-1, 0)
	case '\a', '\n', 0x0e, 0x0f:
	default:
		if m := mark(r); m != "" {
			for _, c := range m {
				s.put(c, full)
			}
			return
		}
		s.put(r, full)
	}
}

func (s *screen) put(r rune, full func()) {
	if s.col >= maxCells {
		full()
		s.clear()
	}
	for len(s.cells) < s.col {
		s.cells = append(s.cells, cell{char: ' '})
	}
	if s.col == len(s.cells) {
		s.cells = append(s.cells, cell{r, s.style})
	} else {
		s.cells[s.col] = cell{r, s.style}
	}
	s.col++
}

// clear empties the line and keeps the style.
func (s *screen) clear() { s.cells, s.col = s.cells[:0], 0 }

// end is the end of the line: a sequence left open ends with it.
func (s *screen) end() {
	s.clear()
	s.state, s.seq = ground, s.seq[:0]
}

func (s *screen) escaped(r rune) {
	s.state = ground
	switch r {
	case '[':
		s.state, s.seq = control, s.seq[:0]
	case ']', 'P', 'X', '^', '_':
		s.state = text
	case '(', ')', '*', '+', '#', ' ', '%':
		s.state = charset
	case 0x1b:
		s.state = escape
	case 'c':
		s.style = style{}
	}
}

// string skips the strings of OSC and its like, up to BEL or ST.
func (s *screen) string(r rune) {
	switch {
	case r == '\a' || r == 0x9c || (s.state == textEnd && r == '\\'):
		s.state = ground
	case r == 0x1b:
		s.state = textEnd
	case s.state == textEnd:
		s.state = text
	}
}

// parameter collects a CSI sequence and obeys it at its final byte.
func (s *screen) parameter(r rune) {
	switch {
	case r >= 0x40 && r <= 0x7e:
		s.state = ground
		s.obey(string(s.seq), r)
	case r < 0x20 || r > 0x7e || len(s.seq) >= maxSequence:
		s.state = ground
	default:
		s.seq = append(s.seq, byte(r))
	}
}

// obey does the sequences that make sense within one line.
func (s *screen) obey(params string, final rune) {
	switch final {
	case 'm':
		if !strings.ContainsAny(params, "<=>?") {
			s.style = s.style.apply(params)
		}
	case 'K':
		s.erase(params)
	case 'J':
		if params == "2" || params == "3" {
			s.erase("2")
		}
	case 'G':
		s.col = min(max(number(params, 1)-1, 0), maxCells-1)
	case 'C':
		s.col = min(s.col+number(params, 1), maxCells-1)
	case 'D':
		s.col = max(s.col-number(params, 1), 0)
	}
}

// erase clears the line from the cursor, to it, or wholly.
func (s *screen) erase(params string) {
	switch params {
	case "", "0":
		s.cells = s.cells[:min(s.col, len(s.cells))]
	case "1":
		for i := range min(s.col+1, len(s.cells)) {
			s.cells[i] = cell{char: ' '}
		}
	case "2":
		s.cells = s.cells[:0]
	}
}

func number(s string, missing int) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return missing
	}
	return min(n, maxCells)
}

// apply returns the style after an SGR sequence with these parameters. Colons
// separate as semicolons do.
func (s style) apply(params string) style {
	fields := strings.Split(strings.ReplaceAll(params, ":", ";"), ";")
	codes := make([]int, len(fields))
	for i, f := range fields {
		if n, err := strconv.Atoi(f); err == nil {
			codes[i] = n
		}
	}
	for len(codes) > 0 {
		used := 1
		switch c := codes[0]; {
		case c == 38 || c == 48:
			var colour uint16
			colour, used = extended(codes[1:])
			if c == 38 {
				s.fore = colour
			} else {
				s.back = colour
			}
			used++
		default:
			s = s.set(c)
		}
		codes = codes[min(used, len(codes)):]
	}
	return s
}

// extended reads "5;N" or "2;R;G;B" and says how many codes it took.
func extended(codes []int) (colour uint16, used int) {
	switch {
	case len(codes) >= 2 && codes[0] == 5:
		return uint16(clamp(codes[1])) + 1, 2
	case len(codes) >= 4 && codes[0] == 2:
		return uint16(nearest(codes[1], codes[2], codes[3])) + 1, 4
	}
	return 0, len(codes)
}

// set returns the style after a single code.
func (s style) set(c int) style {
	flags := map[int]uint8{1: bold, 2: dim, 3: italic, 4: underline, 7: inverse, 9: strike}
	clears := map[int]uint8{22: bold | dim, 23: italic, 24: underline, 27: inverse, 29: strike}
	switch {
	case c == 0:
		return style{}
	case flags[c] != 0:
		s.flags |= flags[c]
	case clears[c] != 0:
		s.flags &^= clears[c]
	case c >= 30 && c <= 37:
		s.fore = uint16(c - 30 + 1)
	case c >= 90 && c <= 97:
		s.fore = uint16(c - 90 + 8 + 1)
	case c == 39:
		s.fore = 0
	case c >= 40 && c <= 47:
		s.back = uint16(c - 40 + 1)
	case c >= 100 && c <= 107:
		s.back = uint16(c - 100 + 8 + 1)
	case c == 49:
		s.back = 0
	}
	return s
}

// Span is a piece of a line in one style.
type Span struct {
	Text  string `json:"t"`
	Class string `json:"c,omitempty"`
}

// spans returns the line's content.
func (s *screen) spans() []Span {
	var out []Span
	var run strings.Builder
	for i, c := range s.cells {
		run.WriteRune(c.char)
		if i+1 == len(s.cells) || s.cells[i+1].style != c.style {
			out = append(out, Span{Text: run.String(), Class: c.style.class()})
			run.Reset()
		}
	}
	return out
}

// plainText returns the line's content without styles.
func (s *screen) plainText() string {
	out := make([]byte, 0, len(s.cells))
	for _, c := range s.cells {
		out = utf8.AppendRune(out, c.char)
	}
	return string(out)
}
