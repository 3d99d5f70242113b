// Package blob keeps large bytes (logs, diffs, outputs) under slash-separated
// keys, and says which key a job's artifact has. It owns where bytes lie; it must not
// know what they mean.
package blob

import (
	"context"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Store keeps blobs. Its methods may be called concurrently, for different keys and
// for one. A key that is missing is glovebox.ErrNotFound; a key that CheckKey refuses is an error.
type Store interface {
	// Put stores what r yields under key, whole or not at all, replacing what was
	// there, and returns its size. Readers of the old bytes go on reading them.
	Put(ctx context.Context, key string, r io.Reader) (int64, error)
	// Open reads the blob from a byte offset and returns its whole size. An offset at
	// or beyond the end reads nothing.
	Open(ctx context.Context, key string, offset int64) (io.ReadCloser, int64, error)
	// Append writes data at offset and returns the blob's end. Bytes before the
	// end are skipped, so that resending is idempotent. An offset beyond the end is
	// glovebox.ErrOffset, with the end. A missing key is an empty blob.
	Append(ctx context.Context, key string, offset int64, data []byte) (int64, error)
	// Size returns the blob's size.
	Size(ctx context.Context, key string) (int64, error)
	// Delete removes one blob; a missing one is no error.
	Delete(ctx context.Context, key string) error
	// DeletePrefix removes the key prefix and all keys below it ("a" removes "a" and "a/b", not "ab").
	DeletePrefix(ctx context.Context, prefix string) error
	// List returns the blobs below prefix (as DeletePrefix understands it) in order of key.
	List(ctx context.Context, prefix string) ([]Info, error)
}

// Info describes one blob.
type Info struct {
	Key  string
	Size int64
}

const (
	maxKey  = 1024
	maxPart = 255 - len(fileSuffix)
)

// CheckKey refuses keys that are empty, too long, not UTF-8, or have parts that are empty,
// "." or "..", begin or end with "~", or hold a backslash or a control character.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey || !utf8.ValidString(key) {
		return fmt.Errorf("blob key %.80q: empty, too long or not UTF-8", key)
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || len(part) > maxPart {
			return fmt.Errorf("blob key %.80q: part %.80q is not allowed", key, part)
		}
		if strings.HasPrefix(part, fileSuffix) || strings.HasSuffix(part, fileSuffix) {
			return fmt.Errorf("blob key %.80q: part %.80q begins or ends with %q", key, part, fileSuffix)
		}
		if i := strings.IndexFunc(part, func(r rune) bool { return r < 0x20 || r == 0x7f || r == '\\' }); i >= 0 {
			return fmt.Errorf("blob key %.80q: part %.80q holds a control character or a backslash", key, part)
		}
	}
	return nil
}
