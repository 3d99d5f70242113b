package workspace

import "strings"

// maxAlternatives bounds what the braces of one glob expand to.
const maxAlternatives = 64

// expand writes a glob's braces out, "a.{b,c}" as "a.b" and "a.c". A matcher that tries
// alternatives where it meets them takes exponential time for some globs; without braces none does.
// ok is false when there are more than maxAlternatives.
func expand(glob string) (globs []string, ok bool) {
	open, ends := braces(glob)
	if len(ends) == 0 {
		return []string{glob}, true
	}
	from, rest := open+1, glob[ends[len(ends)-1]+1:]
	for _, end := range ends {
		more, ok := expand(glob[:open] + glob[from:end] + rest)
		if globs = append(globs, more...); !ok || len(globs) > maxAlternatives {
			return nil, false
		}
		from = end + 1
	}
	return globs, true
}

// braces finds a glob's first brace and the ends of its alternatives, the last of them
// at the closing brace; nothing when there is none.
func braces(glob string) (open int, ends []int) {
	depth := 0
	for i := 0; i < len(glob); i++ {
		switch glob[i] {
		case '\\':
			i++
		case '[':
			for i++; i < len(glob) && glob[i] != ']'; i++ {
				if glob[i] == '\\' {
					i++
				}
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
				return open, append(ends, i)
			}
		}
	}
	return 0, nil
}

// expandAll expands globs and keeps for each result which of them it came from.
func expandAll(globs []string) (patterns []string, from []int, err error) {
	for i, g := range globs {
		more, ok := expand(strings.TrimPrefix(g, "./"))
		if !ok {
			return nil, nil, &Fault{"the output " + shown(g) + " has too many alternatives in braces"}
		}
		for range more {
			from = append(from, i)
		}
		patterns = append(patterns, more...)
	}
	return patterns, from, nil
}
