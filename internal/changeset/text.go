package changeset

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox/internal/git"
)

// maxText bounds a reason, a note or an error that is kept.
const maxText = 1000

// oneLine makes a foreign text fit to be kept and shown: one line of UTF-8, no control
// characters, none that turn the reading direction, no credentials of URLs.
func oneLine(s string) string {
	if len(s) > 8*maxText {
		s = s[:8*maxText]
	}
	s = git.Redact(strings.ToValidUTF8(s, "\ufffd"))
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.Is(unicode.Cf, r) && r != '\u200d':
			return -1
		}
		return r
	}, s))
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// actorName is an actor without its kind: "ada" of "user:ada".
func actorName(actor string) string {
	if _, name, ok := strings.Cut(actor, ":"); ok {
		return name
	}
	return actor
}
