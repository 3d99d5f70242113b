// Package glob matches names of repositories and branches, and texts in templates, with the
// globs that batch specs use: "*" and "**" are any text, slashes too, "?" is any one
// character, "[a-z]" and "[!a-z]" are classes, "{a,b}" are alternatives, and a backslash
// takes the next character as it is. Globs are hostile: matching takes time in proportion to
// the lengths of text and glob, never more. Paths of files have other globs (internal/workspace).
package glob

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// maxLength bounds a glob's text, in bytes.
	maxLength = 4096
	// maxAlternatives bounds what the braces of a glob expand to.
	maxAlternatives = 64
)

// Glob is a compiled glob.
type Glob struct {
	alternatives [][]token
}

// token is one element of a glob without braces.
type token struct {
	kind   kind
	char   rune
	class  []span
	negate bool
}

type kind int

const (
	literal kind = iota
	anyChar
	anyText
	class
)

// span is a range of characters in a class.
type span struct{ low, high rune }

// Compile reads a glob.
func Compile(text string) (*Glob, error) {
	if len(text) > maxLength {
		return nil, fmt.Errorf("a glob has at most %d bytes, this one has %d", maxLength, len(text))
	}
	patterns, err := expand(text)
	if err != nil {
		return nil, err
	}
	g := &Glob{}
	for _, p := range patterns {
		tokens, err := scan(p)
		if err != nil {
			return nil, err
		}
		g.alternatives = append(g.alternatives, tokens)
	}
	return g, nil
}

// Cost is an upper bound of the steps that matching a text takes.
func (g *Glob) Cost(text string) int {
	tokens := 0
	for _, a := range g.alternatives {
		tokens += len(a) + 1
	}
	return (len(text) + 1) * tokens
}

// Match reports whether the glob matches the whole text.
func (g *Glob) Match(text string) bool {
	for _, a := range g.alternatives {
		if match(a, text) {
			return true
		}
	}
	return false
}

// match goes back to the last "*" only: an earlier one never needs to take more.
func match(tokens []token, text string) bool {
	at, star, retry := 0, -1, 0
	for i := 0; i < len(text); {
		c, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case at < len(tokens) && tokens[at].kind == anyText:
			star, retry = at, i
			at++
		case at < len(tokens) && tokens[at].fits(c):
			at++
			i += size
		case star >= 0:
			_, size := utf8.DecodeRuneInString(text[retry:])
			retry += size
			at, i = star+1, retry
		default:
			return false
		}
	}
	for at < len(tokens) && tokens[at].kind == anyText {
		at++
	}
	return at == len(tokens)
}

func (t token) fits(c rune) bool {
	switch t.kind {
	case anyChar:
		return true
	case literal:
		return c == t.char
	}
	for _, s := range t.class {
		if s.low <= c && c <= s.high {
			return !t.negate
		}
	}
	return t.negate
}

// scan reads a glob that has no braces.
func scan(text string) ([]token, error) {
	var tokens []token
	chars := []rune(text)
	for i := 0; i < len(chars); i++ {
		switch c := chars[i]; c {
		case '*':
			if len(tokens) == 0 || tokens[len(tokens)-1].kind != anyText {
				tokens = append(tokens, token{kind: anyText})
			}
		case '?':
			tokens = append(tokens, token{kind: anyChar})
		case '[':
			t, end, err := scanClass(chars, i+1)
			if err != nil {
				return nil, err
			}
			tokens, i = append(tokens, t), end
		case '\\':
			if i++; i == len(chars) {
				return nil, errors.New("the glob ends in a backslash")
			}
			tokens = append(tokens, token{char: chars[i]})
		default:
			tokens = append(tokens, token{char: c})
		}
	}
	return tokens, nil
}

// scanClass reads a class from behind its bracket; end is where its last bracket stands.
func scanClass(chars []rune, from int) (t token, end int, err error) {
	t.kind = class
	i := from
	if i < len(chars) && (chars[i] == '!' || chars[i] == '^') {
		t.negate = true
		i++
	}
	next := func() (rune, bool) {
		if i < len(chars) && chars[i] == '\\' {
			i++
		}
		if i >= len(chars) {
			return 0, false
		}
		i++
		return chars[i-1], true
	}
	for i < len(chars) && chars[i] != ']' {
		low, ok := next()
		high := low
		if ok && i+1 < len(chars) && chars[i] == '-' && chars[i+1] != ']' {
			i++
			high, ok = next()
		}
		if !ok || high < low {
			return t, 0, errors.New("the glob has a class that is not like [a-z]")
		}
		t.class = append(t.class, span{low, high})
	}
	if i >= len(chars) || len(t.class) == 0 {
		return t, 0, errors.New("the glob has a bracket without end, or an empty one")
	}
	return t, i, nil
}

// expand writes braces out, "a.{b,c}" as "a.b" and "a.c": without alternatives, matching needs no search.
func expand(text string) ([]string, error) {
	work, done := []string{text}, []string(nil)
	for len(work) > 0 {
		p := work[len(work)-1]
		work = work[:len(work)-1]
		open, ends, err := braces(p)
		if err != nil {
			return nil, err
		}
		if len(ends) == 0 {
			done = append(done, p)
		}
		from := open + 1
		for _, end := range ends {
			work = append(work, p[:open]+p[from:end]+p[ends[len(ends)-1]+1:])
			from = end + 1
		}
		if len(work)+len(done) > maxAlternatives {
			return nil, fmt.Errorf("the glob has more than %d alternatives in its braces", maxAlternatives)
		}
	}
	return done, nil
}

// braces finds the first brace and the ends of its alternatives, the last at the closing brace.
func braces(text string) (open int, ends []int, err error) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			if end := strings.IndexByte(text[i:], ']'); end > 0 {
				i += end
			}
		case '{':
			if depth++; depth == 1 {
				open = i
			}
		case ',':
			if depth == 1 {
				ends = append(ends, i)
			}
		case '}':
			if depth--; depth == 0 {
				return open, append(ends, i), nil
			}
			depth = max(depth, 0)
		}
	}
	if depth > 0 {
		return 0, nil, errors.New("the glob has a brace without end")
	}
	return 0, nil, nil
}
