package web

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// Bounds of a diff on a page; the download has all of it.
const (
	maxDiffBytes     = 2 << 20
	maxDiffFiles     = 300
	maxDiffLines     = 6000
	maxDiffFileLines = 1500
	maxDiffLine      = 1000
	// openDiffLines is how many lines of a diff are shown without being asked.
	openDiffLines = 1200
)

// diffView is a diff as the page shows it.
type diffView struct {
	Files []diffFile
	// Cut is set when the page does not show all of it.
	Cut     bool
	Missing bool
}

// diffFile is one file of a diff.
type diffFile struct {
	Name, OldName  string
	Note           string // "new file", "deleted", "renamed", "binary", a change of mode
	Added, Deleted int64
	Hunks          []diffHunk
	Open           bool
	Cut            bool
}

// diffHunk is one fragment of a file.
type diffHunk struct {
	Header string
	Lines  []diffLine
}

// diffLine is one line; a number of zero is not shown.
type diffLine struct {
	Op       string // "ctx", "add" or "del"
	Old, New int64
	Text     string
	NoEOL    bool
}

// readDiff parses the beginning of a diff, file by file, so that one that can't
// be read spoils no other.
func readDiff(r io.Reader) (*diffView, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxDiffBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read diff: %w", err)
	}
	view := &diffView{}
	if len(text) > maxDiffBytes {
		view.Cut = true
		text = text[:bytes.LastIndexByte(text[:maxDiffBytes], '\n')+1]
	}
	budget, open := maxDiffLines, openDiffLines
	for _, part := range splitDiff(text) {
		if len(view.Files) >= maxDiffFiles || budget <= 0 {
			view.Cut = true
			break
		}
		files, _, err := gitdiff.Parse(bytes.NewReader(part))
		if err != nil && len(files) == 0 {
			file, used := rawFile(part, min(budget, maxDiffFileLines))
			budget -= used
			view.Files = append(view.Files, file)
			view.Cut = view.Cut || file.Cut
			continue
		}
		for _, f := range files {
			file, used := viewFile(f, min(budget, maxDiffFileLines))
			budget -= used
			file.Open = used > 0 && used <= open
			open -= used
			view.Cut = view.Cut || file.Cut
			view.Files = append(view.Files, file)
		}
	}
	return view, nil
}

// splitDiff cuts a diff before each file's header. No line within a file's part
// begins like a header: those of hunks begin with a space, "+", "-" or "\", those
// of binary patches hold no space.
func splitDiff(text []byte) [][]byte {
	var parts [][]byte
	header := []byte("diff --git ")
	for len(text) > 0 {
		next := bytes.Index(text[1:], append([]byte("\n"), header...))
		if next < 0 {
			return append(parts, text)
		}
		parts = append(parts, text[:next+2])
		text = text[next+2:]
	}
	return parts
}

// rawFile shows a part that can't be read as a diff line by line as it is.
func rawFile(part []byte, limit int) (file diffFile, used int) {
	file = diffFile{Name: firstLine(part), Note: "not understood"}
	hunk := diffHunk{Header: "as it is"}
	for line := range strings.Lines(string(part)) {
		if used >= limit {
			file.Cut = true
			break
		}
		op := "ctx"
		switch line[0] {
		case '+':
			op = "add"
		case '-':
			op = "del"
		}
		hunk.Lines = append(hunk.Lines, diffLine{Op: op, Text: cutLine(strings.TrimSuffix(line, "\n"))})
		used++
	}
	file.Hunks = []diffHunk{hunk}
	return file, used
}

func firstLine(text []byte) string {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	return cutLine(strings.TrimPrefix(string(line), "diff --git "))
}

// viewFile shows at most limit lines of a file and says how many it took.
func viewFile(f *gitdiff.File, limit int) (file diffFile, used int) {
	file = diffFile{Name: f.NewName, Note: fileNote(f)}
	if file.Name == "" {
		file.Name = f.OldName
	}
	if f.IsRename || f.IsCopy {
		file.OldName = f.OldName
	}
	for _, fragment := range f.TextFragments {
		file.Added += fragment.LinesAdded
		file.Deleted += fragment.LinesDeleted
		if used >= limit {
			file.Cut = true
			continue
		}
		hunk := viewHunk(fragment, limit-used)
		used += len(hunk.Lines)
		file.Cut = file.Cut || len(hunk.Lines) < len(fragment.Lines)
		file.Hunks = append(file.Hunks, hunk)
	}
	return file, used
}

func viewHunk(fragment *gitdiff.TextFragment, limit int) diffHunk {
	hunk := diffHunk{Header: fmt.Sprintf("@@ -%d,%d +%d,%d @@ %s", fragment.OldPosition, fragment.OldLines,
		fragment.NewPosition, fragment.NewLines, cutLine(fragment.Comment))}
	oldLine, newLine := fragment.OldPosition, fragment.NewPosition
	for _, l := range fragment.Lines[:min(limit, len(fragment.Lines))] {
		line := diffLine{Text: cutLine(strings.TrimSuffix(l.Line, "\n")), NoEOL: l.NoEOL()}
		switch l.Op {
		case gitdiff.OpAdd:
			line.Op, line.New = "add", newLine
			newLine++
		case gitdiff.OpDelete:
			line.Op, line.Old = "del", oldLine
			oldLine++
		default:
			line.Op, line.Old, line.New = "ctx", oldLine, newLine
			oldLine++
			newLine++
		}
		hunk.Lines = append(hunk.Lines, line)
	}
	return hunk
}

// fileNote says what happened to a file besides its lines.
func fileNote(f *gitdiff.File) string {
	var notes []string
	switch {
	case f.IsNew:
		notes = append(notes, "new file")
	case f.IsDelete:
		notes = append(notes, "deleted")
	case f.IsRename:
		notes = append(notes, "renamed")
	case f.IsCopy:
		notes = append(notes, "copied")
	}
	if f.IsBinary {
		notes = append(notes, "binary")
	}
	if !f.IsNew && !f.IsDelete && f.OldMode != 0 && f.NewMode != 0 && f.OldMode != f.NewMode {
		notes = append(notes, fmt.Sprintf("mode %o → %o", f.OldMode, f.NewMode))
	}
	return strings.Join(notes, ", ")
}

// cutLine bounds a line that is shown.
func cutLine(s string) string {
	if len(s) <= maxDiffLine {
		return s
	}
	return strings.ToValidUTF8(s[:maxDiffLine], "") + " …"
}
