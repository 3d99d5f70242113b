// Package syntax owns the colours of code: a line of text becomes tokens with a
// class each. It reads a line once, from left to right, in time linear in its
// length whatever it holds, and never fails: what it does not understand is
// plain. It must not know diffs, pages or HTML.
//
// It is a scanner of words, strings and comments and not a parser, since a diff
// shows fragments: a line may begin in the midst of anything.
package syntax

import "strings"

// Class is the kind of a token.
type Class uint8

// Classes of tokens.
const (
	Plain Class = iota
	Comment
	String
	Number
	Keyword
	Function // a name that is called
	Key      // a name that something is assigned to: a field, an attribute, a variable
	Mark     // what gives text its form: a heading, a tag, a template
	classes
)

// Short returns the class in one letter, "" for plain and unknown ones.
func (c Class) Short() string {
	if c >= classes {
		return ""
	}
	return [classes]string{"", "c", "s", "n", "k", "f", "a", "m"}[c]
}

// Token ends at byte End of its line, and begins where the one before it ends.
type Token struct {
	End   int
	Class Class
}

// State is what a line leaves to the next; the zero State is a file's beginning.
type State struct {
	// in is the span that is open, counted from 1; 0 outside of any.
	in int
	// indent is how deep a block of text of YAML is; deeper lines belong to it.
	indent int
}

// Language is how to read the lines of a file. A nil one reads all as plain.
type Language struct {
	words map[string]Class
	// fold: words are the same in lower and upper case.
	fold bool
	// lines begin comments that go to the end of the line.
	lines []string
	spans []span
	// names are bytes of names besides letters, digits and "_".
	names string
	// keys end a name that is a key: ":" or "=".
	keys string
	// read reads lines that are not simply words, strings and comments.
	read func(l *Language, s *scan)
}

// span is a string or comment with an end of its own.
type span struct {
	open, close string
	class       Class
	escape      bool // a backslash takes the next byte's meaning
	multi       bool // goes on over the end of the line
	short       bool // is one only when it ends within a few bytes
}

// Line reads one line, without its newline.
func (l *Language) Line(text string, state State) ([]Token, State) {
	s := &scan{text: text, state: state}
	switch {
	case l == nil:
		s.add(len(text), Plain)
	case l.read != nil:
		l.read(l, s)
	default:
		l.scan(s)
	}
	return s.tokens, s.state
}

// scan is a line that is being read.
type scan struct {
	text   string
	at     int
	tokens []Token
	state  State
}

// add ends a token of a class; neighbours of one class become one.
func (s *scan) add(end int, class Class) {
	if end <= s.at {
		return
	}
	s.at = end
	if n := len(s.tokens); n > 0 && s.tokens[n-1].Class == class {
		s.tokens[n-1].End = end
		return
	}
	s.tokens = append(s.tokens, Token{end, class})
}

func (s *scan) rest() string { return s.text[s.at:] }

// scan reads the rest of a line of words, strings and comments.
func (l *Language) scan(s *scan) {
	for s.at < len(s.text) {
		switch {
		case s.state.in > 0 && s.state.in <= len(l.spans):
			l.inside(s)
		case l.comment(s), l.begin(s):
		case isDigit(s.text[s.at]):
			s.add(s.at+numberLength(s.rest()), Number)
		case l.isName(s.text[s.at]):
			l.word(s)
		default:
			s.add(s.at+1, Plain)
		}
	}
	if in := s.state.in; in > 0 && in <= len(l.spans) && !l.spans[in-1].multi {
		s.state.in = 0
	}
}

// comment reads a comment to the line's end.
func (l *Language) comment(s *scan) bool {
	for _, open := range l.lines {
		// "#" within a word is no comment: $#, a#b, the address of a colour.
		if strings.HasPrefix(s.rest(), open) && (open != "#" || s.at == 0 || strings.IndexByte(" \t;(", s.text[s.at-1]) >= 0) {
			s.add(len(s.text), Comment)
			return true
		}
	}
	return false
}

// begin opens the span that begins here.
func (l *Language) begin(s *scan) bool {
	for i, sp := range l.spans {
		if !strings.HasPrefix(s.rest(), sp.open) {
			continue
		}
		if sp.short && !endsSoon(s.rest()[len(sp.open):], sp.close) {
			continue
		}
		s.add(s.at+len(sp.open), sp.class)
		s.state.in = i + 1
		return true
	}
	return false
}

// endsSoon reports whether a literal of one character ends where it must.
func endsSoon(text, end string) bool {
	if strings.HasPrefix(text, `\`) {
		return strings.Contains(text[1:min(len(text), 12)], end)
	}
	at := strings.Index(text[:min(len(text), 6)], end)
	return at == 1 || at > 1 && text[0] >= 0x80
}

// inside reads the open span to its end or the line's.
func (l *Language) inside(s *scan) {
	sp := l.spans[s.state.in-1]
	for i := s.at; i < len(s.text); i++ {
		switch {
		case sp.escape && s.text[i] == '\\':
			i++
		case strings.HasPrefix(s.text[i:], sp.close):
			s.add(i+len(sp.close), sp.class)
			s.state.in = 0
			return
		}
	}
	s.add(len(s.text), sp.class)
}

// word reads a name and says what it is by what it is and what follows.
func (l *Language) word(s *scan) {
	end := s.at
	for end < len(s.text) && (l.isName(s.text[end]) || isDigit(s.text[end])) {
		end++
	}
	name := s.text[s.at:end]
	if l.fold {
		name = strings.ToLower(name)
	}
	class := l.words[name]
	if class == Plain && end < len(s.text) {
		switch next := s.text[end]; {
		case next == '(' || next == '!' && strings.HasPrefix(s.text[end:], "!("):
			class = Function
		case l.keys != "" && strings.IndexByte(l.keys, next) >= 0 && !strings.HasPrefix(s.text[end+1:], string(next)):
			class = Key
		}
	}
	if class == Plain && name[0] == '$' && len(name) > 1 {
		class = Key
	}
	s.add(end, class)
}

func (l *Language) isName(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80 || strings.IndexByte(l.names, c) >= 0
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// numberLength is the length of the number that text begins with.
func numberLength(text string) int {
	n := 1
	for n < len(text) && (isDigit(text[n]) || text[n] == '.' || text[n] == '_' || text[n] >= 'a' && text[n] <= 'z' || text[n] >= 'A' && text[n] <= 'Z') {
		n++
	}
	return n
}
