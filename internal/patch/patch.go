// Package patch reads diffs as git writes them: which files they hold, where each begins
// and ends, and how many lines it adds and takes away. It is strict, for diffs come from outside: what
// git apply would read in another way, or not at all, is an error. It must not know jobs, repositories or
// changesets, and never runs git.
package patch

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// File is one file's section of a diff. Names are as foreign as the repository they come
// from: any bytes but NUL, no ".." and no ".git" among their parts; Shown is fit for a terminal.
type File struct {
	// Name is the path after the change, that of the deleted file for a deletion.
	Name string `json:"name"`
	// OldName is the path before a rename or a copy; empty for all else.
	OldName string `json:"old_name,omitempty"`
	New     bool   `json:"new,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
	Copied  bool   `json:"copied,omitempty"`
	Binary  bool   `json:"binary,omitempty"`
	// OldMode and NewMode are git's octal modes, empty if the diff does not tell.
	OldMode    string `json:"old_mode,omitempty"`
	NewMode    string `json:"new_mode,omitempty"`
	Insertions int    `json:"insertions"`
	Deletions  int    `json:"deletions"`
	// Offset and Size are where the section lies in the diff, in bytes.
	Offset int64 `json:"-"`
	Size   int64 `json:"-"`
}

// maxHeader bounds one line of a section's header: two quoted paths of 4096 bytes.
const maxHeader = 64 << 10

// Reader reads a diff section by section and keeps none of it.
type Reader struct {
	in *bufio.Reader
	// line is what peek has read ahead; of a line longer than maxHeader it is the beginning.
	line   []byte
	peeked bool
	err    error
	number int
	at     int64
}

// NewReader returns a reader of the diff that r holds.
func NewReader(r io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(r, maxHeader)} }

// peek returns the next line with its newline, io.EOF at the end.
func (r *Reader) peek() ([]byte, error) {
	if r.peeked || r.err != nil {
		return r.line, r.err
	}
	line, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) || (errors.Is(err, io.EOF) && len(line) > 0) {
		err = nil
	}
	if r.err = err; err != nil {
		r.line = nil
		return nil, err
	}
	r.line, r.peeked = line, true
	r.number++
	return line, nil
}

// skip goes past the line that peek has returned, to its very end.
func (r *Reader) skip() {
	r.at += int64(len(r.line))
	r.peeked = false
	for full := len(r.line) > 0 && r.line[len(r.line)-1] != '\n'; full; {
		more, err := r.in.ReadSlice('\n')
		r.at += int64(len(more))
		full = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !full && !errors.Is(err, io.EOF) {
			r.err = err
		}
	}
}

func (r *Reader) fault(format string, args ...any) error {
	return fmt.Errorf("read diff: line %d: %s", r.number, fmt.Sprintf(format, args...))
}

// Next returns the next section, io.EOF after the last one.
func (r *Reader) Next() (File, error) {
	line, err := r.peek()
	if err != nil {
		return File{}, r.end(err)
	}
	f := File{Offset: r.at}
	h := header{file: &f}
	if err := h.begin(line); err != nil {
		return File{}, r.fault("%s", err)
	}
	r.skip()
	if err := r.readHeader(&h); err != nil {
		return File{}, err
	}
	if err := h.finish(); err != nil {
		return File{}, r.fault("%s", err)
	}
	if f.Binary {
		err = r.readBinary()
	} else {
		err = r.readHunks(&f)
	}
	if err != nil {
		return File{}, err
	}
	f.Size = r.at - f.Offset
	return f, nil
}

func (r *Reader) end(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("read diff: %w", err)
}

var (
	prefixGit    = []byte("diff --git ")
	prefixHunk   = []byte("@@ -")
	prefixBinary = []byte("GIT binary patch\n")
)

// readHeader reads the lines between "diff --git" and the first hunk.
func (r *Reader) readHeader(h *header) error {
	for {
		line, err := r.peek()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return r.end(err)
		case bytes.HasPrefix(line, prefixGit), bytes.HasPrefix(line, prefixHunk):
			return nil
		}
		if bytes.Equal(line, prefixBinary) {
			h.file.Binary = true
			return nil
		}
		if err := h.add(line); err != nil {
			return r.fault("%s", err)
		}
		r.skip()
	}
}

// readHunks reads text by the numbers in its hunks' headers, so that no content is taken for a header.
func (r *Reader) readHunks(f *File) error {
	for {
		line, err := r.peek()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return r.end(err)
		case bytes.HasPrefix(line, prefixGit):
			return nil
		}
		before, after, ok := hunk(line)
		if !ok {
			return r.fault("want a hunk or the next file")
		}
		r.skip()
		if err := r.readHunk(f, before, after); err != nil {
			return err
		}
	}
}

func (r *Reader) readHunk(f *File, before, after int) error {
	for {
		line, err := r.peek()
		if err != nil && !errors.Is(err, io.EOF) {
			return r.end(err)
		}
		if len(line) > 0 && line[0] == '\\' {
			r.skip()
			continue
		}
		if before == 0 && after == 0 {
			return nil
		}
		if len(line) == 0 {
			return r.fault("the diff ends within a hunk")
		}
		switch line[0] {
		case ' ', '\n': // git may leave the space of an empty line out
			before--
			after--
		case '-':
			before--
			f.Deletions++
		case '+':
			after--
			f.Insertions++
		default:
			return r.fault("want a line of a hunk")
		}
		if before < 0 || after < 0 {
			return r.fault("the hunk is longer than its header says")
		}
		r.skip()
	}
}

// hunk reads "@@ -1,2 +3,4 @@ …".
func hunk(line []byte) (before, after int, ok bool) {
	rest, ok := bytes.CutPrefix(line, prefixHunk)
	if !ok {
		return 0, 0, false
	}
	old, rest, ok1 := bytes.Cut(rest, []byte(" +"))
	now, _, ok2 := bytes.Cut(rest, []byte(" @@"))
	before, ok3 := span(old)
	after, ok4 := span(now)
	return before, after, ok1 && ok2 && ok3 && ok4
}

// span reads the count of "START,COUNT" or "START".
func span(s []byte) (int, bool) {
	start, count, has := bytes.Cut(s, []byte(","))
	if _, err := strconv.ParseUint(string(start), 10, 31); err != nil {
		return 0, false
	}
	if !has {
		return 1, true
	}
	n, err := strconv.ParseUint(string(count), 10, 31)
	return int(n), err == nil
}

// readBinary reads "GIT binary patch" up to the next file.
func (r *Reader) readBinary() error {
	r.skip()
	for {
		line, err := r.peek()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return r.end(err)
		case bytes.HasPrefix(line, prefixGit):
			return nil
		}
		if !binaryLine(bytes.TrimSuffix(line, []byte("\n"))) {
			return r.fault("want a line of a binary patch")
		}
		r.skip()
	}
}

// binaryLine reports whether a line may stand in a binary patch: base85, a size, or nothing.
func binaryLine(line []byte) bool {
	if len(line) == 0 {
		return true
	}
	for _, kind := range []string{"literal ", "delta "} {
		if size, ok := bytes.CutPrefix(line, []byte(kind)); ok {
			_, err := strconv.ParseUint(string(size), 10, 63)
			return err == nil
		}
	}
	c := line[0]
	return (c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') && bytes.IndexFunc(line, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}
