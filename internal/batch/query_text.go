package batch

import (
	"errors"
	"fmt"
	"strings"
)

// addWord takes a word of the text to find. Operators are known but for AND not followed: to take them
// for text would find other files than were meant.
func (b *queryBuilder) addWord(t term) error {
	if !t.quoted {
		switch strings.ToUpper(t.value) {
		case "OR", "NOT":
			return fmt.Errorf("query: the operator %s is not supported; write several entries, -repo: or -file:, or content:%q to find the word", strings.ToUpper(t.value), t.value)
		}
	}
	b.words = append(b.words, t)
	return nil
}

// findText makes patterns of the words, by the query's kind.
func (b *queryBuilder) findText() error {
	var phrase []string
	flush := func() error {
		if len(phrase) == 0 {
			return nil
		}
		text, regexp := strings.Join(phrase, " "), false
		if b.kind == "regexp" {
			text, regexp = "(?:"+strings.Join(phrase, ").*(?:")+")", true
		}
		phrase = nil
		return b.addPattern(text, regexp)
	}
	for _, w := range b.words {
		and := !w.quoted && w.field == "" && strings.EqualFold(w.value, "AND")
		between, isRegexp := strings.CutPrefix(w.value, "/")
		between, closes := strings.CutSuffix(between, "/")
		isRegexp = isRegexp && closes && between != "" && !w.quoted && w.field == "" && (b.kind == "keyword" || b.kind == "standard")
		var err error
		switch {
		case and:
			err = flush()
		case isRegexp:
			if err = flush(); err == nil {
				err = b.addPattern(between, true)
			}
		case w.field == "content":
			if err = flush(); err == nil {
				err = b.addPattern(w.value, b.kind == "regexp")
			}
		case b.kind == "keyword":
			err = b.addPattern(w.value, false)
		case w.quoted && b.kind != "regexp":
			b.note("quotes are part of the text to find in version 1; write content:%q or version: 2 to find what stands between them", w.value)
			phrase = append(phrase, w.raw)
		case w.quoted:
			phrase = append(phrase, w.raw)
		default:
			phrase = append(phrase, w.value)
		}
		if err != nil {
			return err
		}
	}
	return flush()
}

func (b *queryBuilder) addPattern(text string, regexp bool) error {
	p := Pattern{Text: text, Regexp: regexp, IgnoreCase: b.ignoreCase}
	if text == "" {
		return errors.New("query: an empty text matches everything")
	}
	if _, err := p.Compile(); err != nil {
		return fmt.Errorf("query: regular expression %q: %w", clip(text), err)
	}
	b.query.patterns = append(b.query.patterns, p)
	return nil
}
