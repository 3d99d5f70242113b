package syntax

import "strings"

// yaml reads keys, plain and quoted values, and blocks of text.
func yaml(l *Language, s *scan) {
	body := strings.TrimLeft(s.text, " ")
	indent := len(s.text) - len(body)
	if s.state.indent > 0 {
		if body == "" || indent >= s.state.indent {
			templates(s, len(s.text), String)
			return
		}
		s.state = State{}
	}
	if s.state.in > 0 {
		l.scan(s)
		return
	}
	s.add(indent, Plain)
	for strings.HasPrefix(s.rest(), "- ") {
		s.add(s.at+2, Plain)
		indent += 2
	}
	if strings.HasPrefix(s.rest(), "#") || strings.HasPrefix(s.rest(), "---") {
		s.add(len(s.text), Comment)
		return
	}
	if n := yamlKey(s.rest()); n > 0 {
		s.add(s.at+n, Key)
		s.add(s.at+1, Plain)
	}
	value := s.rest()
	s.add(s.at+len(value)-len(strings.TrimLeft(value, " ")), Plain)
	value = s.rest()
	if value != "" && (value[0] == '|' || value[0] == '>') && len(strings.TrimSpace(strings.SplitN(value, "#", 2)[0])) <= 3 {
		s.add(len(s.text), Mark)
		s.state.indent = indent + 1
		return
	}
	if value != "" && strings.IndexByte(`"'[{&*!`, value[0]) < 0 {
		end := len(s.text)
		if i := strings.Index(value, " #"); i >= 0 {
			end = s.at + i
		}
		if class := yamlPlain(l, strings.TrimSpace(s.text[s.at:end])); class == String {
			templates(s, end, String)
		} else {
			s.add(end, class)
		}
	}
	l.scan(s)
}

// yamlKey is the length of the key that text begins with, 0 when it begins with none.
func yamlKey(text string) int {
	if text == "" || strings.IndexByte("#[{&*!|>%@`", text[0]) >= 0 {
		return 0
	}
	for i := range len(text) {
		if text[i] == ':' && (i+1 == len(text) || text[i+1] == ' ') {
			return i
		}
		if text[i] == '#' && i > 0 && text[i-1] == ' ' {
			return 0
		}
	}
	return 0
}

func yamlPlain(l *Language, value string) Class {
	switch {
	case l.words[strings.ToLower(value)] == Keyword:
		return Keyword
	case value != "" && (isDigit(value[0]) || value[0] == '-') && strings.Trim(value, "0123456789.-_eE+") == "":
		return Number
	}
	return String
}

// templates adds what is up to end as a class, with templates "${{ … }}" apart.
func templates(s *scan, end int, class Class) {
	for s.at < end {
		from := strings.Index(s.text[s.at:end], "${{")
		if from < 0 {
			s.add(end, class)
			return
		}
		s.add(s.at+from, class)
		to := strings.Index(s.text[s.at:end], "}}")
		if to < 0 {
			s.add(end, Mark)
			return
		}
		s.add(s.at+to+2, Mark)
	}
}

// markdown reads headings, lists, quotes, code and fences. State.in is 1 within a fence.
func markdown(_ *Language, s *scan) {
	body := strings.TrimLeft(s.text, " \t")
	lead := len(s.text) - len(body)
	fence := strings.HasPrefix(body, "```") || strings.HasPrefix(body, "~~~")
	switch {
	case fence:
		s.state.in = 1 - min(s.state.in, 1)
		s.add(len(s.text), Mark)
		return
	case s.state.in > 0:
		s.add(len(s.text), String)
		return
	case strings.HasPrefix(body, "#") && strings.HasPrefix(strings.TrimLeft(body, "#"), " "):
		s.add(len(s.text), Keyword)
		return
	}
	s.add(lead, Plain)
	for _, mark := range []string{"- ", "* ", "+ ", "> "} {
		if strings.HasPrefix(body, mark) {
			s.add(s.at+2, Mark)
			break
		}
	}
	for s.at < len(s.text) {
		from := strings.IndexByte(s.rest(), '`')
		if from < 0 {
			break
		}
		to := strings.IndexByte(s.rest()[from+1:], '`')
		if to < 0 {
			break
		}
		s.add(s.at+from, Plain)
		s.add(s.at+to+2, String)
	}
	s.add(len(s.text), Plain)
}

// markup reads tags with their attributes. State.in is 1 within a comment, 2 within a tag.
func markup(_ *Language, s *scan) {
	for s.at < len(s.text) {
		rest := s.rest()
		switch {
		case s.state.in == 1:
			end := strings.Index(rest, "-->")
			if end < 0 {
				s.add(len(s.text), Comment)
				return
			}
			s.add(s.at+end+3, Comment)
			s.state.in = 0
		case s.state.in == 2:
			attribute(s)
		case strings.HasPrefix(rest, "<!--"):
			s.add(s.at+4, Comment)
			s.state.in = 1
		case rest[0] == '<':
			n := 1
			for n < len(rest) && strings.IndexByte(" \t>", rest[n]) < 0 {
				n++
			}
			s.add(s.at+n, Mark)
			s.state.in = 2
		default:
			end := strings.IndexByte(rest, '<')
			if end < 0 {
				end = len(rest)
			}
			s.add(s.at+end, Plain)
		}
	}
}

// attribute reads the next piece of the inside of a tag.
func attribute(s *scan) {
	rest := s.rest()
	switch c := rest[0]; {
	case c == '>':
		s.add(s.at+1, Mark)
		s.state.in = 0
	case c == '"' || c == '\'':
		end := strings.IndexByte(rest[1:], c)
		if end < 0 {
			s.add(len(s.text), String)
			return
		}
		s.add(s.at+end+2, String)
	case strings.IndexByte(" \t=/", c) >= 0:
		s.add(s.at+1, Plain)
	default:
		n := strings.IndexAny(rest, " \t=>/\"'")
		if n < 0 {
			n = len(rest)
		}
		s.add(s.at+max(n, 1), Key)
	}
}

// json reads strings, of which those before a colon are keys.
func json(l *Language, s *scan) {
	for s.at < len(s.text) {
		if s.text[s.at] != '"' {
			plain := strings.IndexByte(s.rest(), '"')
			if plain < 0 {
				plain = len(s.rest())
			}
			part := *s
			part.text = s.text[:s.at+plain]
			l.scan(&part)
			s.at, s.tokens = part.at, part.tokens
			continue
		}
		end := s.at + 1
		for end < len(s.text) && s.text[end] != '"' {
			if s.text[end] == '\\' {
				end++
			}
			end++
		}
		end = min(end+1, len(s.text))
		class := String
		if strings.HasPrefix(strings.TrimLeft(s.text[end:], " \t"), ":") {
			class = Key
		}
		s.add(end, class)
	}
}

// assignments reads "[section]" and "name = value", as in TOML and INI files.
func assignments(l *Language, s *scan) {
	body := strings.TrimLeft(s.text, " \t")
	if s.state.in > 0 {
		l.scan(s)
		return
	}
	if strings.HasPrefix(body, "[") && strings.HasSuffix(strings.TrimRight(body, " \t"), "]") {
		s.add(len(s.text), Mark)
		return
	}
	if i := strings.IndexByte(s.text, '='); i > 0 && strings.IndexByte("#;\"", body[0]) < 0 {
		s.add(i, Key)
	}
	l.scan(s)
}

// rules reads a Makefile's targets and assignments.
func rules(l *Language, s *scan) {
	if !strings.HasPrefix(s.text, "\t") && !strings.HasPrefix(s.text, "#") {
		if i := strings.IndexAny(s.text, ":="); i > 0 {
			s.add(i, Key)
		}
	}
	l.scan(s)
}

// instructions reads a Dockerfile: the first word of a line is an instruction.
func instructions(l *Language, s *scan) {
	word, _, _ := strings.Cut(strings.TrimLeft(s.text, " \t"), " ")
	if word != "" && word == strings.ToUpper(word) && strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == "" {
		s.add(strings.Index(s.text, word)+len(word), Keyword)
	}
	l.scan(s)
}
