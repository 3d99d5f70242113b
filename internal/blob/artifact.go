package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"path"
)

// AttemptPrefix is what all keys of one attempt of a job lie below.
func AttemptPrefix(jobID string, attempt int) string {
	return path.Join("jobs", jobID, fmt.Sprint(attempt))
}

// LogKey is the key of an attempt's log.
func LogKey(jobID string, attempt int) string { return AttemptPrefix(jobID, attempt) + "/log" }

// ArtifactPrefix is what the keys of an attempt's artifacts lie below.
func ArtifactPrefix(jobID string, attempt int) string {
	return AttemptPrefix(jobID, attempt) + "/artifacts"
}

// ArtifactKey is the key of an artifact. The name comes from a job and can be any text,
// so the key holds its hash.
func ArtifactKey(jobID string, attempt int, name string) string {
	sum := sha256.Sum256([]byte(name))
	return ArtifactPrefix(jobID, attempt) + "/" + hex.EncodeToString(sum[:])
}

// Artifacts reads the artifacts in a Store.
type Artifacts struct{ Store Store }

// Open opens an attempt's artifact; glovebox.ErrNotFound when it has none of the name.
func (a Artifacts) Open(ctx context.Context, jobID string, attempt int, name string) (io.ReadCloser, error) {
	r, _, err := a.Store.Open(ctx, ArtifactKey(jobID, attempt, name), 0)
	return r, err
}
