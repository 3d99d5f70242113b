package web

import (
	"fmt"
	"io"
	"strings"

	"github.com/glovebox-dev/glovebox/internal/web/syntax"
)

// Bounds of a diff on a page; the download has all of it.
const (
	// maxDiffBytes is how far a diff is read at all, for its list of files.
	maxDiffBytes     = 64 << 20
	maxDiffFiles     = 300
	maxDiffLines     = 6000
	maxDiffFileLines = 1500
	maxDiffLine      = 1000
	// openDiffLines is how many lines of a diff are shown without being asked.
	openDiffLines = 1200
	// moreDiffLines is how many lines of a file one "show more" brings.
	moreDiffLines = 2000
)

// diffView is a diff as the page shows it.
type diffView struct {
	Files []diffFile
	// Cut is set when the page does not list all of it.
	Cut     bool
	Missing bool
}

// diffFile is one file of a diff.
type diffFile struct {
	// Index is its place in the diff, from 0.
	Index          int
	Name, OldName  string
	Note           string // "new file", "deleted", "renamed", "binary", a change of mode
	Added, Deleted int64
	Hunks          []diffHunk
	Open           bool
	// From is the first line that is shown, counted from 0, Shown how many are, Lines how many there are.
	From, Shown, Lines int
	// More is the address of what follows, empty when nothing does.
	More string
}

// Left is how many lines follow those shown.
func (f diffFile) Left() int { return f.Lines - f.From - f.Shown }

// Continued reports whether the shown lines begin within the file.
func (f diffFile) Continued() bool { return f.From > 0 }

// diffHunk is one fragment of a file; the header is empty where the shown lines begin within it.
type diffHunk struct {
	Header string
	Lines  []diffLine
}

// diffLine is one line; a number of zero is not shown.
type diffLine struct {
	Op       string // "ctx", "add" or "del"
	Old, New int64
	Text     string
	Tokens   []syntax.Token
	NoEOL    bool
}

// readDiff reads a diff's files and the lines of the first of them. The job whose diff it
// is owns the bytes: no file spoils another, and memory is bounded whatever they hold.
func readDiff(r io.Reader, address string) (*diffView, error) {
	view := &diffView{}
	d := newDiffReader(io.LimitReader(r, maxDiffBytes))
	budget, open := maxDiffLines, openDiffLines
	for d.more() {
		if len(view.Files) >= maxDiffFiles {
			view.Cut = true
			break
		}
		file := d.file(0, min(budget, maxDiffFileLines))
		file.Index = len(view.Files)
		budget -= file.Shown
		file.Open = file.Shown > 0 && file.Shown <= open
		open -= file.Shown
		file.addMore(address)
		view.Files = append(view.Files, file)
	}
	view.Cut = view.Cut || d.size >= maxDiffBytes
	if d.err != nil {
		return nil, fmt.Errorf("read diff: %w", d.err)
	}
	return view, nil
}

// addMore sets the address of the lines that follow; address is that of the diff.
func (f *diffFile) addMore(address string) {
	if f.Left() > 0 {
		f.More = fmt.Sprintf("%s/files/%d?from=%d", address, f.Index, f.From+f.Shown)
	}
}

// cutLine bounds a line that is shown.
func cutLine(s string) string {
	if len(s) <= maxDiffLine {
		return s
	}
	return strings.ToValidUTF8(s[:maxDiffLine], "") + " …"
}
