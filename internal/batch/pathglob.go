package batch

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxGlob bounds a glob; it becomes a regular expression, which takes linear time to match.
const maxGlob = 4096

// compilePaths compiles a glob of repositoriesMatching, over names as paths: "*" and "?" stop at "/",
// "**" does not. The globs of the original format (internal/glob) know no such difference.
func compilePaths(glob string) (*regexp.Regexp, error) {
	const star, one = "[^/]*", "[^/]"
	fault := func(why string) error {
		return fmt.Errorf("glob %q: %s", clip(glob), why)
	}
	if glob == "" || len(glob) > maxGlob || !plain(glob) {
		return nil, fault(fmt.Sprintf("want 1 to %d bytes without control characters", maxGlob))
	}
	var b strings.Builder
	b.WriteString(`(?s)^(?:`)
	depth := 0
	for rest := glob; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		switch {
		case r == '\\':
			if rest == "" {
				return nil, fault("ends in a backslash")
			}
			_, size := utf8.DecodeRuneInString(rest)
			b.WriteString(regexp.QuoteMeta(rest[:size]))
			rest = rest[size:]
		case r == '*':
			n := len(rest) - len(strings.TrimLeft(rest, "*"))
			rest = rest[n:]
			switch {
			case n == 0:
				b.WriteString(star)
			case strings.HasPrefix(rest, "/") && (b.Len() == len(`(?s)^(?:`) || strings.HasSuffix(b.String(), "/")):
				b.WriteString(`(?:.*/)?`) // "a/**/b" matches "a/b" too
				rest = rest[1:]
			default:
				b.WriteString(`.*`)
			}
		case r == '?':
			b.WriteString(one)
		case r == '[':
			class, after, ok := globClass(rest)
			if !ok {
				return nil, fault("has an open or empty bracket")
			}
			b.WriteString(class)
			rest = after
		case r == '{':
			depth++
			b.WriteString(`(?:`)
		case r == '}' && depth > 0:
			depth--
			b.WriteString(`)`)
		case r == ',' && depth > 0:
			b.WriteString(`|`)
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	if depth > 0 {
		return nil, fault("has an open brace")
	}
	re, err := regexp.Compile(b.String() + `)$`)
	if err != nil {
		return nil, fault("is not understood")
	}
	return re, nil
}

// globClass translates what follows "[", up to "]".
func globClass(s string) (class, rest string, ok bool) {
	var b strings.Builder
	b.WriteByte('[')
	if s != "" && (s[0] == '!' || s[0] == '^') {
		b.WriteString("^/")
		s = s[1:]
	}
	for first := true; s != ""; first = false {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch r {
		case ']':
			if first {
				return "", "", false
			}
			return b.String() + "]", s, true
		case '-':
			b.WriteByte('-')
			continue
		case '\\':
			if r, size = utf8.DecodeRuneInString(s); size == 0 {
				return "", "", false
			}
			s = s[size:]
		}
		fmt.Fprintf(&b, `\x{%x}`, r)
	}
	return "", "", false
}
