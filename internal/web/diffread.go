package web

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"github.com/glovebox-dev/glovebox/internal/web/syntax"
)

// maxDiffHeader bounds what is read of a file's header.
const maxDiffHeader = 32 << 10

// colourFrom is how many lines before the first shown one are read for their colours'
// sake: a comment that began there goes on.
const colourFrom = 200

// diffReader reads a diff line by line. Hunks are counted here and not parsed whole, so
// that a file of a million lines costs no memory; what git says of a file in its header
// (quoted names, modes, renames) is go-gitdiff's to read.
type diffReader struct {
	in   *bufio.Reader
	size int64
	// line is the next line without its newline, if ok; its end is left out when it is very long.
	line []byte
	ok   bool
	err  error
}

func newDiffReader(r io.Reader) *diffReader {
	d := &diffReader{in: bufio.NewReaderSize(r, 64<<10)}
	d.next()
	return d
}

// more reports whether there is another file.
func (d *diffReader) more() bool { return d.ok && d.err == nil }

// next goes to the next line.
func (d *diffReader) next() {
	line, err := d.in.ReadSlice('\n')
	d.size += int64(len(line))
	d.line, d.ok = bytes.TrimSuffix(line, []byte("\n")), len(line) > 0
	if errors.Is(err, bufio.ErrBufferFull) {
		d.line = bytes.Clone(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			line, err = d.in.ReadSlice('\n')
			d.size += int64(len(line))
		}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		d.ok, d.err = false, err
	}
}

// atFile reports whether the next line begins a file. No other line of a diff begins so:
// those of hunks begin with a space, "+", "-" or "\", those of binary patches hold no space.
func (d *diffReader) atFile() bool { return bytes.HasPrefix(d.line, []byte("diff --git ")) }

// file reads one file and keeps up to limit of its lines, from the one of number from.
func (d *diffReader) file(from, limit int) diffFile {
	f := &fileReader{file: diffFile{From: from}, limit: limit}
	f.begin(d.header())
	for d.ok && !d.atFile() {
		if !f.binary {
			f.line(d.line)
		}
		d.next()
	}
	return f.end()
}

// header reads up to the first hunk, binary patch or next file.
func (d *diffReader) header() []byte {
	var header []byte
	for first := true; d.ok && (first || !d.atFile()); first = false {
		if bytes.HasPrefix(d.line, []byte("@@ ")) || bytes.HasPrefix(d.line, []byte("Binary files ")) || bytes.HasPrefix(d.line, []byte("GIT binary patch")) {
			break
		}
		if len(header)+len(d.line) < maxDiffHeader {
			header = append(append(header, d.line...), '\n')
		}
		d.next()
	}
	return header
}

// skip passes over one file.
func (d *diffReader) skip() {
	for first := true; d.ok && (first || !d.atFile()); first = false {
		d.next()
	}
}

// fileReader makes one file's view of its lines.
type fileReader struct {
	file   diffFile
	limit  int
	binary bool
	broken bool
	begun  bool // a hunk has begun
	// oldLeft and newLeft are how many lines the hunk still has.
	oldLeft, newLeft, oldLine, newLine int64
	header                             string
	language                           *syntax.Language
	oldState, newState                 syntax.State
}

func (f *fileReader) begin(header []byte) {
	files, _, err := gitdiff.Parse(bytes.NewReader(header))
	if err != nil || len(files) != 1 {
		f.broken = true
		first, _, _ := bytes.Cut(header, []byte("\n"))
		f.file.Name = cutLine(strings.TrimPrefix(string(first), "diff --git "))
		return
	}
	g := files[0]
	f.file.Name, f.file.Note = g.NewName, fileNote(g)
	if f.file.Name == "" {
		f.file.Name = g.OldName
	}
	if g.IsRename || g.IsCopy {
		f.file.OldName = g.OldName
	}
	f.language = syntax.ByName(f.file.Name)
}

// line takes a line after the header.
func (f *fileReader) line(text []byte) {
	switch {
	case !f.begun && (bytes.HasPrefix(text, []byte("Binary files ")) || bytes.HasPrefix(text, []byte("GIT binary patch"))):
		f.binary = true
		return
	case bytes.HasPrefix(text, []byte("@@ ")):
		// No line of a hunk begins so: one that has lines left lied about their number.
		left := f.oldLeft > 0 || f.newLeft > 0
		if f.hunk(string(text)) {
			f.broken = f.broken || left
			return
		}
	}
	op := byte(' ')
	if len(text) > 0 {
		op, text = text[0], text[1:]
	}
	line := diffLine{Op: "ctx"}
	switch {
	case op == '\\':
		f.noEOL()
		return
	case op == '+' && f.newLeft > 0:
		line.Op, line.New = "add", f.newLine
	case op == '-' && f.oldLeft > 0:
		line.Op, line.Old = "del", f.oldLine
	case op == ' ' && f.oldLeft > 0 && f.newLeft > 0:
		line.Old, line.New = f.oldLine, f.newLine
	default:
		f.broken = true
		text = append([]byte{op}, text...)
	}
	f.count(line)
	f.keep(line, text)
	f.file.Lines++
}

// count moves the numbers on.
func (f *fileReader) count(line diffLine) {
	if line.Old > 0 {
		f.oldLine++
		f.oldLeft--
	}
	if line.New > 0 {
		f.newLine++
		f.newLeft--
	}
	switch line.Op {
	case "add":
		f.file.Added++
	case "del":
		f.file.Deleted++
	}
}

// keep puts a line into the view if it is one of those to be shown.
func (f *fileReader) keep(line diffLine, text []byte) {
	n := f.file.Lines
	if n >= f.file.From+f.limit || n < f.file.From-colourFrom {
		return
	}
	line.Text = cutLine(string(text[:min(len(text), maxDiffLine+4)]))
	if f.language != nil {
		f.colour(&line)
	}
	if n < f.file.From {
		return
	}
	if f.header != "" || len(f.file.Hunks) == 0 {
		f.file.Hunks = append(f.file.Hunks, diffHunk{Header: f.header})
		f.header = ""
	}
	hunk := &f.file.Hunks[len(f.file.Hunks)-1]
	hunk.Lines = append(hunk.Lines, line)
	f.file.Shown++
}

// colour reads a line for its colours. The old and the new text each go their own way.
func (f *fileReader) colour(line *diffLine) {
	if line.Op != "add" {
		line.Tokens, f.oldState = f.language.Line(line.Text, f.oldState)
	}
	if line.Op != "del" {
		line.Tokens, f.newState = f.language.Line(line.Text, f.newState)
	}
}

// noEOL marks the last line as one without a newline.
func (f *fileReader) noEOL() {
	if n := len(f.file.Hunks); n > 0 && f.file.Lines == f.file.From+f.file.Shown {
		lines := f.file.Hunks[n-1].Lines
		lines[len(lines)-1].NoEOL = true
	}
}

// hunk begins a hunk: "@@ -1,2 +3,4 @@ words".
func (f *fileReader) hunk(text string) bool {
	ranges, comment, found := strings.Cut(strings.TrimPrefix(text, "@@ "), " @@")
	before, after, two := strings.Cut(ranges, " ")
	if !found || !two {
		return false
	}
	var ok1, ok2 bool
	oldLine, oldLeft, ok1 := lineRange(before, '-')
	newLine, newLeft, ok2 := lineRange(after, '+')
	if !ok1 || !ok2 {
		return false
	}
	// A number of zero says "none" on the page: an empty side begins at 0 and has no lines.
	f.oldLine, f.oldLeft, f.newLine, f.newLeft = max(oldLine, 1), oldLeft, max(newLine, 1), newLeft
	f.header = fmt.Sprintf("@@ -%d,%d +%d,%d @@%s", oldLine, oldLeft, newLine, newLeft, cutLine(comment))
	f.oldState, f.newState, f.begun = syntax.State{}, syntax.State{}, true
	return true
}

// lineRange reads "-1,2" or "-1".
func lineRange(text string, sign byte) (at, n int64, ok bool) {
	if text == "" || text[0] != sign {
		return 0, 0, false
	}
	first, length, two := strings.Cut(text[1:], ",")
	at, err1 := strconv.ParseInt(first, 10, 32)
	n = 1
	var err2 error
	if two {
		n, err2 = strconv.ParseInt(length, 10, 32)
	}
	return at, n, err1 == nil && err2 == nil && at >= 0 && n >= 0
}

// end completes the view.
func (f *fileReader) end() diffFile {
	if f.broken || f.oldLeft > 0 || f.newLeft > 0 {
		f.addNote("not understood")
	}
	if f.binary {
		f.addNote("binary")
	}
	return f.file
}

func (f *fileReader) addNote(note string) {
	if f.file.Note != "" {
		note = f.file.Note + ", " + note
	}
	f.file.Note = note
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
	if !f.IsNew && !f.IsDelete && f.OldMode != 0 && f.NewMode != 0 && f.OldMode != f.NewMode {
		notes = append(notes, fmt.Sprintf("mode %o → %o", f.OldMode, f.NewMode))
	}
	return strings.Join(notes, ", ")
}
