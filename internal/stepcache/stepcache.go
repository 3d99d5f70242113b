// Package stepcache keeps what steps came to under keys of all that went into them, so
// that a step whose script, image, environment, files and input tree are unchanged need
// not run again. It owns the words Inputs, Key and Entry, and a store in a folder; it must
// not know how steps are run, nor servers. An entry holds what a hostile step made: who
// reads one treats it as such.
package stepcache

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// Version is part of every key: results of another version are not found.
const Version = 1

const (
	// MaxHead bounds the described part of an entry, MaxDiff its diff.
	MaxHead = 16 << 20
	MaxDiff = 64 << 20
)

// Store keeps entries. Its methods may be called concurrently.
type Store interface {
	// Get returns the entry and its diff, which the caller closes, or glovebox.ErrNotFound.
	Get(ctx context.Context, key string) (Entry, io.ReadCloser, error)
	// Put keeps an entry with its diff, which may be nil. It replaces an entry of the same key.
	Put(ctx context.Context, key string, e Entry, diff io.Reader) error
}

// History is a store that remembers what went into the latest result of a place, so that a miss can be explained.
type History interface {
	// Last returns the inputs that were noted for a place, or glovebox.ErrNotFound.
	Last(place string) (Inputs, error)
	Note(place string, in Inputs) error
}

// Entry is what a step left, when it ended well.
type Entry struct {
	// Stdout and Stderr are the output as templates see it: bounded, secrets removed. Truncated is set when there was more.
	Stdout    string `json:"stdout,omitempty"`
	Stderr    string `json:"stderr,omitempty"`
	Truncated bool   `json:"truncated,omitempty"`
	// Outputs are all values so far, those of earlier steps too.
	Outputs map[string]any `json:"outputs,omitempty"`
	// Set are the values that this step itself set.
	Set map[string]any `json:"set,omitempty"`
	// Changes and Diff describe the tree against the commit. Diff is nil when nothing differs.
	Changes glovebox.Changes `json:"changes,omitzero"`
	Diff    *glovebox.Diff   `json:"diff,omitempty"`
	// Hidden is set when the step left something in the workspace that the diff does not hold, such as ignored
	// files: later steps may need it, so that none can start from this entry.
	Hidden bool `json:"hidden,omitempty"`
	// Seconds is how long the step ran.
	Seconds float64 `json:"seconds"`
	// ImageDigest is what the step ran in.
	ImageDigest string `json:"image_digest,omitempty"`
}

// IsKey reports whether s has the shape of a key.
func IsKey(s string) bool {
	if len(s) != 2*sha256.Size {
		return false
	}
	return strings.Trim(s, "0123456789abcdef") == ""
}

// Encode writes an entry in the one form that is stored and travels: a line of JSON, then the diff's bytes.
func Encode(w io.Writer, e Entry, diff io.Reader) error {
	head, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encode step result: %w", err)
	}
	if len(head) >= MaxHead {
		return fmt.Errorf("encode step result: %w: %d bytes without its diff", glovebox.ErrTooLarge, len(head))
	}
	if _, err := w.Write(append(head, '\n')); err != nil {
		return fmt.Errorf("write step result: %w", err)
	}
	if e.Diff == nil || diff == nil {
		return nil
	}
	n, err := io.Copy(w, io.LimitReader(diff, MaxDiff+1))
	if err != nil {
		return fmt.Errorf("write step result: %w", err)
	}
	if n > MaxDiff {
		return fmt.Errorf("write step result: its diff is larger than %d bytes: %w", MaxDiff, glovebox.ErrTooLarge)
	}
	if n != e.Diff.Size {
		return fmt.Errorf("write step result: its diff has %d bytes, not %d", n, e.Diff.Size)
	}
	return nil
}

// errDamaged is an entry that was cut short or changed.
var errDamaged = errors.New("damaged step result")

// Decode reads what Encode wrote. The diff is a reader of the rest of r, which fails at its
// end when the bytes are not those that the entry describes.
func Decode(r io.Reader) (Entry, io.Reader, error) {
	in := bufio.NewReaderSize(r, 8<<10)
	var head []byte
	for {
		part, err := in.ReadSlice('\n')
		head = append(head, part...)
		if len(head) > MaxHead {
			return Entry{}, nil, fmt.Errorf("%w: its head is too large", errDamaged)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return Entry{}, nil, fmt.Errorf("%w: its head is cut short", errDamaged)
		}
		break
	}
	var e Entry
	dec := json.NewDecoder(bytes.NewReader(head))
	dec.UseNumber()
	if err := dec.Decode(&e); err != nil {
		return Entry{}, nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	for _, values := range []map[string]any{e.Outputs, e.Set} {
		for name, v := range values {
			values[name] = plainNumbers(v)
		}
	}
	if e.Diff == nil {
		return e, bytes.NewReader(nil), nil
	}
	if e.Diff.Size < 0 || e.Diff.Size > MaxDiff {
		return Entry{}, nil, fmt.Errorf("%w: a diff of %d bytes", errDamaged, e.Diff.Size)
	}
	return e, &checked{r: in, left: e.Diff.Size, want: e.Diff.SHA256, sum: sha256.New()}, nil
}

// plainNumbers keeps whole numbers whole: JSON's own way makes every number a float.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n)
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}

// checked reads exactly the bytes of a diff, and says at the end whether they are the right ones.
type checked struct {
	r    io.Reader
	left int64
	want string
	sum  interface {
		io.Writer
		Sum([]byte) []byte
	}
}

func (c *checked) Read(p []byte) (int, error) {
	if c.left == 0 {
		if hex.EncodeToString(c.sum.Sum(nil)) != c.want {
			return 0, fmt.Errorf("%w: its diff was changed", errDamaged)
		}
		return 0, io.EOF
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.sum.Write(p[:n])
	if errors.Is(err, io.EOF) && c.left > 0 {
		return n, fmt.Errorf("%w: its diff is cut short", errDamaged)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}
