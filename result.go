package glovebox

import "time"

// Result is what one attempt of a job came to. State is StateCompleted,
// StateFailed, StateErrored or StateCanceled.
type Result struct {
	State  State        `json:"state"`
	Reason string       `json:"reason,omitempty"`
	Steps  []StepResult `json:"steps,omitempty"`
	Usage  Usage        `json:"usage"`
	// Commit is the commit that was checked out.
	Commit string `json:"commit,omitempty"`
	// Runtime is the name of the runtime that ran the steps.
	Runtime string `json:"runtime,omitempty"`
	// Diff describes the artifact DiffArtifact; nil when nothing was changed.
	Diff *Diff `json:"diff,omitempty"`
	// Values are the step outputs as the last step left them, nil without any.
	Values map[string]any `json:"values,omitempty"`
	// Changes are the paths that differ from the commit; filled for templated jobs.
	Changes *Changes `json:"changes,omitempty"`
	// Outputs are the collected files, each an artifact of the name "outputs/" + Name.
	Outputs []Output `json:"outputs,omitempty"`
}

// StepResult is what one step came to. An exit code is data, not an error.
type StepResult struct {
	Key string `json:"key"`
	// State is StateCompleted, StateFailed, StateErrored, StateCanceled or StateSkipped.
	State    State `json:"state"`
	ExitCode int   `json:"exit_code"`
	// Reason is empty for a plain exit code; else one of the Reason… constants or a sentence.
	Reason string `json:"reason,omitempty"`
	// Image is the image's digest ("sha256:…"), or "host".
	Image      string     `json:"image,omitempty"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Usage      Usage      `json:"usage"`
	// Cached is set when the result was taken from the step cache and nothing was run.
	Cached bool `json:"cached,omitempty"`
	// CacheKey is the key of the step's result in the step cache.
	CacheKey string `json:"cache_key,omitempty"`
	// CacheMiss says why the result was not in the step cache: "script changed".
	CacheMiss string `json:"cache_miss,omitempty"`
	// Outputs are the values that this step set.
	Outputs map[string]any `json:"outputs,omitempty"`
}

// Reasons of a step or job that was stopped by a limit or a user.
const (
	ReasonOutOfMemory = "out of memory"
	ReasonTimedOut    = "timed out"
	ReasonDiskFull    = "disk full"
	ReasonPids        = "process limit reached"
	ReasonCanceled    = "canceled"
)

// Usage is what a step or job used.
type Usage struct {
	// CPUSeconds is CPU time, user and system, of all processes.
	CPUSeconds float64 `json:"cpu_seconds"`
	// PeakMemory is the largest memory use seen, in bytes; 0 when unknown.
	PeakMemory int64 `json:"peak_memory_bytes"`
	// WallSeconds is elapsed time.
	WallSeconds float64 `json:"wall_seconds"`
}

// DiffArtifact is the artifact name of a job's diff, in the form that "git apply --index" takes.
const DiffArtifact = "diff"

// OutputPrefix begins the artifact name of each output.
const OutputPrefix = "outputs/"

// Diff describes what the steps changed.
type Diff struct {
	Files      int    `json:"files"`
	Insertions int    `json:"insertions"`
	Deletions  int    `json:"deletions"`
	Size       int64  `json:"size_bytes"`
	SHA256     string `json:"sha256"`
}

// Output is one collected file.
type Output struct {
	// Name is the path relative to the workspace, slash-separated, valid UTF-8.
	Name   string `json:"name"`
	Size   int64  `json:"size_bytes"`
	SHA256 string `json:"sha256"`
}
