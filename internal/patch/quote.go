package patch

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// escapes are the letters that git writes after a backslash in a quoted name.
var escapes = map[byte]byte{'a': '\a', 'b': '\b', 't': '\t', 'n': '\n', 'v': '\v', 'f': '\f', 'r': '\r', '"': '"', '\\': '\\'}

// name reads a name of a header, quoted as in C or plain.
func name(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		if s == "" {
			return "", errors.New("want a name")
		}
		return s, nil
	}
	if len(s) < 2 || !strings.HasSuffix(s, `"`) {
		return "", errors.New("the quoted name does not end")
	}
	s = s[1 : len(s)-1]
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			return "", errors.New("a quote within a quoted name")
		}
		if s[i] != '\\' {
			b.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", errors.New("the quoted name does not end")
		}
		if c, ok := escapes[s[i]]; ok {
			b.WriteByte(c)
			continue
		}
		if i+3 > len(s) || s[i] < '0' || s[i] > '3' || strings.Trim(s[i:i+3], "01234567") != "" {
			return "", errors.New("an unknown escape in a quoted name")
		}
		b.WriteByte((s[i]-'0')<<6 | (s[i+1]-'0')<<3 | (s[i+2] - '0'))
		i += 2
	}
	return b.String(), nil
}

// Shown is the name in a form that fits one line of a terminal.
func (f File) Shown() string { return Quote(f.Name) }

// Quote returns a path as it is if it is plain text, else in quotes, with what is not escaped.
func Quote(path string) string {
	if utf8.ValidString(path) && strings.IndexFunc(path, func(r rune) bool { return !unicode.IsGraphic(r) || r == '"' || r == '\\' }) < 0 {
		return path
	}
	const digits = "01234567"
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(path); {
		r, size := utf8.DecodeRuneInString(path[i:])
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsGraphic(r) && (r != utf8.RuneError || size > 1):
			b.WriteRune(r)
		default:
			for _, c := range []byte(path[i : i+size]) {
				b.Write([]byte{'\\', digits[c>>6], digits[c>>3&7], digits[c&7]})
			}
		}
		i += size
	}
	b.WriteByte('"')
	return b.String()
}
