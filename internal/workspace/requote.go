package workspace

import (
	"bytes"
	"io"
	"strings"
)

// requote quotes the names in the headers of a diff where git writes them plain and then can't
// read them: a folder whose name ends with a space ("a/x /y b/x /y") of a file that has no line
// with its name besides (an empty or binary one, or a change of mode).
type requote struct {
	next io.Writer
	// line is the begin of a line that may be a header; through is set inside of one that is none.
	line    []byte
	through bool
}

const diffHeader = "diff --git "

// needsQuotes reports whether any of the changes has such a name.
func needsQuotes(changes []change) bool {
	for _, c := range changes {
		if strings.Contains(c.path, " /") {
			return true
		}
	}
	return false
}

func (q *requote) Write(p []byte) (int, error) {
	size := len(p)
	for len(p) > 0 {
		part, end := p, false
		if i := bytes.IndexByte(p, '\n'); i >= 0 {
			part, end = p[:i+1], true
		}
		p = p[len(part):]
		if !q.through {
			q.line = append(q.line, part...)
			if n := min(len(q.line), len(diffHeader)); string(q.line[:n]) == diffHeader[:n] && !end {
				continue // may be or become a header
			}
			part = quotedHeader(q.line)
			q.line = q.line[:0]
		}
		q.through = !end
		if _, err := q.next.Write(part); err != nil {
			return 0, err
		}
	}
	return size, nil
}

// quotedHeader returns a line of a diff, quoted if it is a header that has to be. No other line
// of a diff begins as a header does.
func quotedHeader(line []byte) []byte {
	names, ok := strings.CutPrefix(string(line), diffHeader+"a/")
	names, whole := strings.CutSuffix(names, "\n")
	n := (len(names) - len(" b/")) / 2
	if !ok || !whole || n <= 0 || names[:n]+" b/"+names[:n] != names || !strings.Contains(names[:n], " /") {
		return line
	}
	return []byte(diffHeader + `"a/` + names[:n] + `" "b/` + names[:n] + "\"\n")
}
