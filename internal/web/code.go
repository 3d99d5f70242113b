package web

import (
	"html/template"
	"strings"

	"github.com/glovebox-dev/glovebox/internal/web/syntax"
)

// maxSourceLines bounds a text with colours on a page.
const maxSourceLines = 2000

// codeLine is one line of a text with colours.
type codeLine struct {
	N      int
	Text   string
	Tokens []syntax.Token
	// Faults are what is wrong in this line.
	Faults []string
}

// sourceView is a text with colours.
type sourceView struct {
	Lines []codeLine
	Cut   bool
}

// readSource colours a text as a file of that name.
func readSource(name, text string) sourceView {
	var view sourceView
	language := syntax.ByName(name)
	var state syntax.State
	for line := range strings.Lines(text) {
		if len(view.Lines) >= maxSourceLines {
			view.Cut = true
			break
		}
		l := codeLine{N: len(view.Lines) + 1, Text: cutLine(strings.TrimRight(line, "\r\n"))}
		l.Tokens, state = language.Line(l.Text, state)
		view.Lines = append(view.Lines, l)
	}
	return view
}

// code is a text as markup: each token escaped, with its class. Tokens that don't fit the
// text change nothing but its colours. This is the one place where Go makes markup, since a
// template takes ten times as long for the tokens of thousands of lines.
func code(text string, tokens []syntax.Token) template.HTML {
	if len(tokens) == 0 {
		return template.HTML(template.HTMLEscapeString(text))
	}
	var out strings.Builder
	out.Grow(len(text)*2 + 24*len(tokens))
	at := 0
	for _, token := range tokens {
		end := min(max(token.End, at), len(text))
		part := template.HTMLEscapeString(text[at:end])
		if class := token.Class.Short(); class != "" && part != "" {
			out.WriteString(`<i class="t-` + class + `">` + part + `</i>`)
		} else {
			out.WriteString(part)
		}
		at = end
	}
	out.WriteString(template.HTMLEscapeString(text[at:]))
	return template.HTML(out.String())
}
