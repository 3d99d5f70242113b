package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// Bounds of reading a commit's files.
const (
	// MaxTreeFiles is how many files of a commit are listed.
	MaxTreeFiles = 1_000_000
	// maxGrepFile is the largest file that is looked into.
	maxGrepFile = 4 << 20
	// binaryProbe is how far a NUL byte is looked for, which makes a file binary.
	binaryProbe = 8000
)

// errManyFiles ends the listing of a commit.
var errManyFiles = fmt.Errorf("more than %d files: %w", MaxTreeFiles, glovebox.ErrTooLarge)

// treeFile is a regular file of a commit.
type treeFile struct{ object, path string }

// treeFiles lists the files of a commit, links among them when asked for. Submodules are none.
func treeFiles(ctx context.Context, opts Options, commit string, links bool) ([]treeFile, error) {
	if !IsObjectName(commit) {
		return nil, fmt.Errorf("list files: %q is no full commit name", commit)
	}
	var files []treeFile
	err := pipe(ctx, opts, func(out *bufio.Reader) error {
		for {
			entry, err := out.ReadString(0)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
			meta, path, ok := strings.Cut(strings.TrimSuffix(entry, "\x00"), "\t")
			fields := strings.Fields(meta) // mode, type, object
			if !ok || len(fields) != 3 || fields[1] != "blob" || !links && fields[0] == "120000" {
				continue
			}
			if len(files) == MaxTreeFiles {
				return errManyFiles
			}
			files = append(files, treeFile{object: fields[2], path: path})
		}
	}, "ls-tree", "-r", "-z", "--full-tree", commit)
	return files, err
}

// Files lists the paths of all files of a commit. A name may be any bytes but NUL.
func Files(ctx context.Context, opts Options, commit string) ([]string, error) {
	files, err := treeFiles(ctx, opts, commit, true)
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.path
	}
	return paths, nil
}

// Grep lists the paths of the commit's text files whose content matches. Files of more than 4 MiB and those with a
// NUL byte near their beginning are passed over.
func Grep(ctx context.Context, opts Options, commit string, match func(content []byte) bool) ([]string, error) {
	files, err := treeFiles(ctx, opts, commit, false)
	if err != nil || len(files) == 0 {
		return nil, err
	}
	// The list is written while contents are read: git answers in order.
	names, feed := io.Pipe()
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		w := bufio.NewWriter(feed)
		for _, f := range files {
			if _, err := w.WriteString(f.object + "\n"); err != nil {
				return
			}
		}
		feed.CloseWithError(w.Flush())
	}()
	defer func() { names.CloseWithError(io.ErrClosedPipe); <-fed }()
	opts.Stdin = names
	var found []string
	err = pipe(ctx, opts, func(out *bufio.Reader) error {
		var buf bytes.Buffer
		for _, f := range files {
			content, err := nextObject(out, &buf)
			if err != nil {
				return err
			}
			if content != nil && bytes.IndexByte(content[:min(len(content), binaryProbe)], 0) < 0 && match(content) {
				found = append(found, f.path)
			}
		}
		return nil
	}, "cat-file", "--batch", "--buffer")
	return found, err
}

// nextObject reads one answer of cat-file --batch into buf; nil for what is too large or missing.
func nextObject(out *bufio.Reader, buf *bytes.Buffer) ([]byte, error) {
	head, err := out.ReadString('\n')
	if err != nil {
		return nil, unexpected(err)
	}
	fields := strings.Fields(head) // object, type, size
	if len(fields) != 3 {
		return nil, nil
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size < 0 {
		return nil, errors.New("git cat-file: no size in the answer")
	}
	buf.Reset()
	var to io.Writer = buf
	if size > maxGrepFile {
		to = io.Discard
	}
	if _, err := io.CopyN(to, out, size); err != nil {
		return nil, unexpected(err)
	}
	if _, err := out.Discard(1); err != nil {
		return nil, unexpected(err)
	}
	if size > maxGrepFile {
		return nil, nil
	}
	return buf.Bytes(), nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// pipe runs a command and lets read have its output. A read that fails ends the command.
func pipe(ctx context.Context, opts Options, read func(*bufio.Reader) error, args ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, w := io.Pipe()
	opts.Stdout = w
	done := make(chan error, 1)
	go func() {
		err := Run(ctx, opts, args...)
		w.CloseWithError(err) // EOF when nil
		done <- err
	}()
	err := read(bufio.NewReaderSize(r, 64<<10))
	if err != nil {
		cancel(err)
	}
	r.CloseWithError(io.ErrClosedPipe)
	if ran := <-done; err == nil && ran != nil {
		err = ran
	}
	return err
}
