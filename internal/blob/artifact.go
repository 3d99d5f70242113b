package blob

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
