package workspace

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/glovebox-dev/glovebox"
)

// OutputLimits bound what is collected.
type OutputLimits struct {
	// Files and Bytes bound all outputs together; 1000 files and 4 GiB when 0.
	Files int
	Bytes int64
}

// Outputs finds the regular files whose paths match one of the globs. Links are not
// followed. What can't be kept is left out and remarked; too many or too much is a Fault.
func (w *Workspace) Outputs(ctx context.Context, globs []string, limits OutputLimits) (files []glovebox.Output, notes []string, err error) {
	if len(globs) == 0 {
		return nil, nil, nil
	}
	if limits.Files == 0 {
		limits.Files = 1000
	}
	if limits.Bytes == 0 {
		limits.Bytes = 4 << 30
	}
	for _, g := range globs {
		if !doublestar.ValidatePattern(g) {
			return nil, nil, &Fault{fmt.Sprintf("the output %s is not a valid pattern", shown(g))}
		}
	}
	patterns, from, err := expandAll(globs)
	if err != nil {
		return nil, nil, err
	}
	if err := w.intact(); err != nil {
		return nil, nil, err
	}
	var r remarks
	hits := make([]int, len(globs))
	var total int64
	err = w.walk(ctx, &r, nil, func(f found) error {
		hit := false
		for i, p := range patterns {
			if doublestar.MatchUnvalidated(p, f.path) {
				hit = true
				hits[from[i]]++
			}
		}
		switch {
		case !hit:
			return nil
		case !f.regular():
			r.add("output %s left out: not a regular file", f.path)
			return nil
		case !utf8.ValidString(f.path):
			r.add("output %s left out: its name is not UTF-8", f.path)
			return nil
		}
		if total += int64(f.size); len(files) >= limits.Files || total > limits.Bytes {
			return &Fault{fmt.Sprintf("the outputs are more than %d files or %s", limits.Files, glovebox.Size(limits.Bytes))}
		}
		out, err := w.sum(ctx, f)
		if err != nil {
			return err
		}
		files = append(files, out)
		return nil
	})
	for i, n := range hits {
		if n == 0 && err == nil {
			r.add("no file matches the output %s", globs[i])
		}
	}
	if err != nil {
		return nil, r.list(), fmt.Errorf("collect outputs: %w", err)
	}
	return files, r.list(), nil
}

func (w *Workspace) sum(ctx context.Context, f found) (glovebox.Output, error) {
	file, err := w.OpenOutput(glovebox.Output{Name: f.path, Size: int64(f.size)})
	if err != nil {
		return glovebox.Output{}, err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return glovebox.Output{}, fmt.Errorf("read %s: %w", shown(f.path), err)
	}
	if ctx.Err() != nil {
		return glovebox.Output{}, context.Cause(ctx)
	}
	return glovebox.Output{Name: f.path, Size: int64(f.size), SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// OpenOutput opens a collected file. Reading yields exactly Size bytes or an error.
func (w *Workspace) OpenOutput(o glovebox.Output) (io.ReadCloser, error) {
	f, err := w.open(o.Name)
	if err != nil {
		return nil, err
	}
	return &exact{Closer: f, r: f, left: o.Size}, nil
}

// exact reads a fixed number of bytes, and fails when there are fewer.
type exact struct {
	io.Closer
	r    io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if errors.Is(err, io.EOF) && e.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
