package template

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// expression is where an expression stands in a text, with its delimiters.
type expression struct{ from, to int }

// expressions finds the expressions of a text. Delimiters in quotes and comments count for nothing.
func expressions(text string) (list []expression) {
	for at := 0; ; {
		i := strings.Index(text[at:], open)
		if i < 0 {
			return list
		}
		from := at + i
		at = closing(text, from+len(open))
		if list = append(list, expression{from, at}); len(list) > maxExpressions {
			return list
		}
	}
}

// closing returns the offset behind the delimiter that ends an expression, or the text's end.
func closing(text string, at int) int {
	if body := strings.TrimLeft(strings.TrimPrefix(text[at:], "-"), " \t\r\n"); strings.HasPrefix(body, "/*") {
		if i := strings.Index(text[at:], "*/"); i >= 0 {
			at += i
		}
	}
	for at < len(text) {
		switch c := text[at]; {
		case strings.HasPrefix(text[at:], end):
			return at + len(end)
		case c == '"' || c == '\'' || c == '`':
			at = quoted(text, at)
		default:
			at++
		}
	}
	return len(text)
}

// quoted returns the offset behind a quoted text; one in single or double quotes ends with its line.
func quoted(text string, at int) int {
	quote := text[at]
	for at++; at < len(text); at++ {
		switch {
		case text[at] == quote:
			return at + 1
		case quote != '`' && text[at] == '\n':
			return at
		case quote != '`' && text[at] == '\\':
			at++
		}
	}
	return len(text)
}

// keyword is the first word of an expression.
func (t *Text) keyword(e expression) string {
	body := strings.TrimPrefix(t.text[e.from+len(open):e.to], "-")
	body = strings.TrimLeftFunc(body, unicode.IsSpace)
	stop := strings.IndexFunc(body, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	if stop < 0 {
		return body
	}
	return body[:stop]
}

// shape checks what must hold before the text is parsed: how much there is, how deep it nests,
// and that nothing defines templates, which could call themselves.
func (t *Text) shape() (at int, message string) {
	if len(t.exprs) > maxExpressions {
		return t.exprs[maxExpressions].from, fmt.Sprintf("the template has more than %d expressions", maxExpressions)
	}
	var nested []int
	for _, e := range t.exprs {
		if strings.Count(t.text[e.from:e.to], "(") > maxNesting && depth(t.text[e.from:e.to]) > maxNesting {
			return e.from, fmt.Sprintf("the expression nests more than %d parentheses", maxNesting)
		}
		switch word := t.keyword(e); word {
		case "define", "template", "block":
			return e.from, fmt.Sprintf("%q is not allowed: a template here can't define or call templates", word)
		case "if", "range", "with":
			if nested = append(nested, e.from); len(nested) > maxNesting {
				return e.from, fmt.Sprintf("nested more than %d levels deep", maxNesting)
			}
		case "end":
			if len(nested) == 0 {
				return e.from, `there is no "if", "range" or "with" that this "end" could end`
			}
			nested = nested[:len(nested)-1]
		}
	}
	if last := t.exprs[len(t.exprs)-1]; !strings.HasSuffix(t.text[last.from:last.to], end) || last.to-last.from < len(open)+len(end) {
		return last.from, fmt.Sprintf("the expression that begins here has no %q", end)
	}
	if len(nested) > 0 {
		return nested[len(nested)-1], fmt.Sprintf("what begins here has no %q", open+" end "+end)
	}
	return 0, ""
}

// depth counts parentheses, those in quotes too: too many is all that matters.
func depth(text string) int {
	deepest, now := 0, 0
	for _, c := range []byte(text) {
		switch c {
		case '(':
			now++
			deepest = max(deepest, now)
		case ')':
			now--
		}
	}
	return deepest
}

var parseError = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^template: text:\d+: `) })

// locate gives an error of the parser, which knows lines only, its place: the error is in the
// first expression with which the text up to there has it.
func (t *Text) locate(err error) *SyntaxError {
	at := sort.Search(len(t.exprs)-1, func(i int) bool {
		_, early := parseTree(t.text[:t.exprs[i].to])
		return early != nil && !strings.Contains(early.Error(), "unexpected EOF")
	})
	message := err.Error()
	message = message[len(parseError().FindString(message)):]
	return t.fault(t.exprs[at].from, "in "+t.excerpt(t.exprs[at].from)+": "+clip(message))
}

// fault makes the error of an offset.
func (t *Text) fault(at int, message string) *SyntaxError {
	at = min(max(at, 0), len(t.text))
	line := strings.LastIndexByte(t.text[:at], '\n') + 1
	return &SyntaxError{1 + strings.Count(t.text[:line], "\n"), 1 + utf8.RuneCountInString(t.text[line:at]), message}
}

// Offset is where in the template's text the fault is, in bytes.
func (e *SyntaxError) Offset(text string) int {
	at := 0
	for n := e.Line; n > 1; n-- {
		at += strings.IndexByte(text[at:], '\n') + 1
	}
	for n := e.Column; n > 1 && at < len(text); n-- {
		_, size := utf8.DecodeRuneInString(text[at:])
		at += size
	}
	return at
}

// offset is the reverse of fault, for the line and byte column that text/template reports.
func (t *Text) offset(line, column string) int {
	at := 0
	n, _ := strconv.Atoi(line)
	for ; n > 1; n-- {
		at += strings.IndexByte(t.text[at:], '\n') + 1
	}
	n, _ = strconv.Atoi(column)
	return min(at+n, len(t.text))
}

// excerpt is the expression that an offset lies in, fit for a message.
func (t *Text) excerpt(at int) string {
	i := sort.Search(len(t.exprs), func(i int) bool { return t.exprs[i].to > at })
	if i == len(t.exprs) {
		i--
	}
	return clip(t.text[t.exprs[i].from:t.exprs[i].to])
}

// clip bounds what is quoted in a message and takes control characters out of it.
func clip(s string) string {
	const limit = 100
	cut := ""
	if len(s) > limit {
		s, cut = s[:limit], "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "")) + cut
}
