package batch

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a query.
const (
	maxQuery      = 4096
	maxQueryTerms = 100
)

// Pattern is a text or a regular expression to find in files.
type Pattern struct {
	// Text is what to find: as it is, or RE2 if Regexp is set, over the whole file with "^" and "$" at each line.
	Text       string
	Regexp     bool
	IgnoreCase bool
}

// Compile returns the expression that finds the pattern.
func (p Pattern) Compile() (*regexp.Regexp, error) {
	text, flags := p.Text, "(?m)"
	if !p.Regexp {
		text = regexp.QuoteMeta(text)
	}
	if p.IgnoreCase {
		flags = "(?mi)"
	}
	return regexp.Compile(flags + text)
}

// Query is a search query, as far as we know the language.
type Query struct {
	repos, notRepos []*regexp.Regexp
	// files and notFiles are conditions on the paths of one file, patterns on its text.
	files, notFiles []func(path string) bool
	patterns        []Pattern
	// having are files that a repository must hold, or must not.
	having []having
	// Notes say what was left aside.
	Notes []string
}

// having is repo:has.file(…): a file whose path and text match.
type having struct {
	path    *regexp.Regexp
	content *Pattern
	not     bool
}

// term is one word of a query: a filter with a field, or text when field is empty.
type term struct {
	field, value string
	// raw is the value with its quotes.
	raw         string
	not, quoted bool
}

// looksAtFiles reports whether the query asks for files, so that it yields paths.
func (q *Query) looksAtFiles() bool {
	return len(q.files)+len(q.notFiles)+len(q.patterns) > 0
}

// ParseQuery reads a query in the language that batch specs know, as the version of the spec
// wants it: version 1 takes the words to find as one text, version 2 each for itself.
func ParseQuery(version int, text string) (*Query, error) {
	if len(text) > maxQuery || !utf8.ValidString(text) || strings.IndexFunc(text, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) }) >= 0 {
		return nil, fmt.Errorf("query: want at most %d bytes of UTF-8 without control characters", maxQuery)
	}
	// Lines are as good as words, and no message is to hold their ends.
	terms, err := scanQuery(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text))
	if err != nil {
		return nil, err
	}
	b := queryBuilder{query: &Query{}, ignoreCase: true, kind: "literal"}
	if version >= 2 {
		b.kind = "keyword"
	}
	// Case and kind hold for the whole query, wherever they stand in it.
	for _, t := range terms {
		if err := b.setMode(t); err != nil {
			return nil, err
		}
	}
	for _, t := range terms {
		if err := b.add(t); err != nil {
			return nil, err
		}
	}
	if err := b.findText(); err != nil {
		return nil, err
	}
	q := b.query
	if len(q.repos)+len(q.notRepos)+len(q.having) == 0 && !q.looksAtFiles() {
		return nil, errors.New("query: is empty; want repo:, file: or a text to find")
	}
	return q, nil
}

// scanQuery cuts a query into terms.
func scanQuery(text string) ([]term, error) {
	var terms []term
	for {
		text = strings.TrimLeftFunc(text, unicode.IsSpace)
		if text == "" {
			return terms, nil
		}
		if len(terms) == maxQueryTerms {
			return nil, fmt.Errorf("query: want at most %d terms", maxQueryTerms)
		}
		t := term{}
		if field, not, rest, ok := cutField(text); ok {
			t.field, t.not, text = field, not, rest
		}
		value, quoted, rest, err := scanValue(text, t.field != "")
		if err != nil {
			return nil, err
		}
		t.value, t.quoted, t.raw = value, quoted, text[:len(text)-len(rest)]
		terms, text = append(terms, t), rest
	}
}

// cutField takes a known field off the front; "foo:bar" of an unknown one is text.
func cutField(text string) (field string, not bool, rest string, ok bool) {
	word := text
	if not = strings.HasPrefix(text, "-"); not {
		word = text[1:]
	}
	end := strings.IndexFunc(word, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.') })
	if end <= 0 || word[end] != ':' {
		return "", false, "", false
	}
	field, known := fieldNames[strings.ToLower(word[:end])]
	return field, not, word[end+1:], known
}

// scanValue takes a quoted or plain value off the front. Spaces within parentheses of a field's value belong to it.
func scanValue(text string, field bool) (value string, quoted bool, rest string, err error) {
	if text != "" && (text[0] == '"' || text[0] == '\'') {
		if value, rest, ok := scanQuoted(text); ok {
			return value, true, rest, nil
		}
		if field {
			return "", false, "", fmt.Errorf("query: the quote in %q does not end", clip(text))
		}
	}
	depth, escaped := 0, false
	for i, r := range text {
		switch {
		case escaped:
			escaped = false
		case r == '\\':
			escaped = true
		case field && r == '(':
			depth++
		case field && r == ')':
			depth--
		case unicode.IsSpace(r) && depth <= 0:
			return text[:i], false, text[i:], nil
		}
	}
	if depth > 0 {
		return "", false, "", fmt.Errorf("query: the parenthesis in %q does not close", clip(text))
	}
	return text, false, "", nil
}

// scanQuoted reads a quoted text that ends at a space or at the end.
func scanQuoted(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == text[0]:
			rest = text[i+1:]
			if r, _ := utf8.DecodeRuneInString(rest); rest != "" && !unicode.IsSpace(r) {
				return "", "", false
			}
			return b.String(), rest, true
		case c == '\\' && i+1 < len(text) && (text[i+1] == text[0] || text[i+1] == '\\'):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
