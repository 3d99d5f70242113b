package patch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// header is what the lines before a section's content say.
type header struct {
	file *File
	// first is what follows "diff --git ".
	first string
	// from and to are of a rename or copy; minus and plus of "---" and "+++", empty for /dev/null.
	from, to    string
	minus, plus *string
	renamed     bool
}

// begin reads "diff --git a/OLD b/NEW".
func (h *header) begin(line []byte) error {
	rest, ok := strings.CutPrefix(string(line), string(prefixGit))
	if !ok {
		return errors.New(`want "diff --git"`)
	}
	h.first = strings.TrimSuffix(rest, "\n")
	return nil
}

// add reads one of the lines that may follow.
func (h *header) add(line []byte) (err error) {
	text := strings.TrimSuffix(string(line), "\n")
	if len(text) == len(line) && len(line) >= maxHeader {
		return errors.New("the line is too long for a header")
	}
	if strings.HasPrefix(text, "Binary files ") && strings.HasSuffix(text, " differ") {
		return errors.New("the diff lacks the content of a binary file")
	}
	for _, field := range []struct {
		prefix string
		set    func(string) error
	}{
		{"--- ", func(s string) (err error) { h.minus, err = side(s, "a/"); return }},
		{"+++ ", func(s string) (err error) { h.plus, err = side(s, "b/"); return }},
		{"index ", func(string) error { return nil }},
		{"old mode ", func(s string) error { h.file.OldMode = s; return mode(s) }},
		{"new mode ", func(s string) error { h.file.NewMode = s; return mode(s) }},
		{"new file mode ", func(s string) error { h.file.New, h.file.NewMode = true, s; return mode(s) }},
		{"deleted file mode ", func(s string) error { h.file.Deleted, h.file.OldMode = true, s; return mode(s) }},
		{"similarity index ", func(string) error { return nil }},
		{"dissimilarity index ", func(string) error { return nil }},
		{"rename from ", func(s string) (err error) { h.from, err = name(s); h.renamed = true; return }},
		{"rename to ", func(s string) (err error) { h.to, err = name(s); return }},
		{"copy from ", func(s string) (err error) { h.from, err = name(s); h.file.Copied = true; return }},
		{"copy to ", func(s string) (err error) { h.to, err = name(s); return }},
	} {
		if rest, ok := strings.CutPrefix(text, field.prefix); ok {
			return field.set(rest)
		}
	}
	return errors.New("want a line of a file's header")
}

// finish sets the names and holds all lines of the header to each other.
func (h *header) finish() error {
	f := h.file
	moved := h.renamed || f.Copied
	switch {
	case h.renamed && f.Copied, moved && (f.New || f.Deleted), f.New && f.Deleted:
		return errors.New("the header contradicts itself")
	case moved && (h.from == "" || h.to == "" || h.from == h.to), !moved && h.to != "":
		return errors.New("want two names of a rename or copy")
	case moved:
		f.Name, f.OldName = h.to, h.from
	default:
		same, err := sameNames(h.first)
		if err != nil {
			return err
		}
		f.Name = same
	}
	old := f.OldName
	if old == "" {
		old = f.Name
	}
	if h.minus != nil || h.plus != nil {
		if h.minus == nil || h.plus == nil || !agrees(*h.minus, old, f.New) || !agrees(*h.plus, f.Name, f.Deleted) {
			return errors.New("the header's names differ")
		}
	}
	for _, n := range []string{f.Name, old} {
		if err := checkName(n); err != nil {
			return err
		}
	}
	return nil
}

// agrees holds the name of a "---" or "+++" line, empty for /dev/null, to the one it must have.
func agrees(got, want string, none bool) bool { return got == want && !none || got == "" && none }

// side reads the name of a "---" or "+++" line. Git ends names with spaces by a tab.
func side(s, prefix string) (*string, error) {
	s = strings.TrimSuffix(s, "\t")
	if s == "/dev/null" {
		return new(string), nil
	}
	n, err := name(s)
	if err != nil {
		return nil, err
	}
	n, ok := strings.CutPrefix(n, prefix)
	if !ok || n == "" {
		return nil, fmt.Errorf("want a name that begins with %s", prefix)
	}
	return &n, nil
}

// sameNames reads "a/NAME b/NAME", where a name may hold spaces and neither end is marked: it is
// the one way in which both are equal.
func sameNames(s string) (string, error) {
	fault := errors.New(`want "diff --git a/NAME b/NAME"`)
	if len(s)%2 == 0 || len(s) < len("a/x b/x") || s[len(s)/2] != ' ' {
		return "", fault
	}
	a, err := name(s[:len(s)/2])
	if err != nil {
		return "", err
	}
	b, err := name(s[len(s)/2+1:])
	if err != nil {
		return "", err
	}
	old, ok1 := strings.CutPrefix(a, "a/")
	now, ok2 := strings.CutPrefix(b, "b/")
	if !ok1 || !ok2 || old != now {
		return "", fault
	}
	return now, nil
}

func mode(s string) error {
	if len(s) != 6 || strings.Trim(s, "01234567") != "" {
		return errors.New("want a mode of six octal digits")
	}
	return nil
}

// checkName refuses what is no path of a file in a git tree.
func checkName(n string) error {
	if len(n) > 4096 || strings.IndexByte(n, 0) >= 0 {
		return errors.New("the path is too long or holds a NUL")
	}
	for part := range strings.SplitSeq(n, "/") {
		if slices.Contains([]string{"", ".", ".."}, part) || strings.EqualFold(part, ".git") {
			return fmt.Errorf("%s is no path in a repository", Quote(n))
		}
	}
	return nil
}
