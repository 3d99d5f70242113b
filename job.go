package glovebox

import "time"

// JobSpec is what a job file holds and what a producer submits. It never holds
// a secret value, so it can be shown, stored and logged.
type JobSpec struct {
	// Name is a free text for people; it need not be unique.
	Name string `json:"name,omitempty"`
	// Queue is the queue the job waits in; "default" when empty.
	Queue string `json:"queue,omitempty"`
	// Priority orders jobs of one tenant, higher first, -100 to 100.
	Priority int `json:"priority,omitempty"`
	// Labels are those an executor must have, with equal values, to claim the job.
	Labels map[string]string `json:"labels,omitempty"`
	// Runtime is a runtime's name ("gvisor", "docker"); empty is the executor's default.
	Runtime string `json:"runtime,omitempty"`
	// Repo is the repository that the workspace holds; nil for an empty workspace.
	Repo *Repo `json:"repo,omitempty"`
	// Files are written into the workspace before the first step.
	Files []File `json:"files,omitempty"`
	// Steps run one after another in one sandbox; at least one.
	Steps []Step `json:"steps"`
	// Limits bound the whole job; zero fields take the defaults of DefaultLimits.
	Limits Limits `json:"limits,omitzero"`
	// Network is the egress policy; NetworkPublic when empty.
	Network NetworkPolicy `json:"network,omitempty"`
	// Outputs are globs (doublestar "**" allowed), relative to the workspace, of files to keep.
	Outputs []string `json:"outputs,omitempty"`
	// Template, when it is set, makes the steps' texts templates.
	Template *Template `json:"template,omitempty"`
	// StepCache is StepCacheUse, StepCacheRefresh, or empty: no step's result is kept or reused.
	StepCache string `json:"step_cache,omitempty"`
	// Caches are folders that the tenant's jobs share.
	Caches []CacheFolder `json:"caches,omitempty"`
	// Attempts is how often the job may be tried when Glovebox itself fails; 3 when zero.
	Attempts int `json:"attempts,omitempty"`
	// Trace is the W3C traceparent that the job's spans join ("00-…-…-01"). A server fills it in
	// at submission, so that one trace follows the job to its result; a producer may bring its own.
	Trace string `json:"trace,omitempty"`
}

// Repo names a repository and a revision of it.
type Repo struct {
	// Name is the repository's name at the git gateway. For a local run it may
	// also be a path or a URL.
	Name string `json:"name"`
	// Rev is a branch, a tag or a commit; the default branch when empty.
	Rev string `json:"rev,omitempty"`
	// Commit is the full object name Rev was resolved to, at submission.
	Commit string `json:"commit,omitempty"`
	// Only is the one folder of the repository that the workspace holds, at its place; all of it when empty.
	Only string `json:"only,omitempty"`
}

// File is a file that the job brings along.
type File struct {
	// Path is relative to the workspace, slash-separated, without "..".
	Path string `json:"path"`
	// Content is the file's text. Exactly one of Content and Base64 is set for a
	// file that is not empty.
	Content string `json:"content,omitempty"`
	// Base64 is the file's bytes in standard base64.
	Base64 string `json:"base64,omitempty"`
	// Executable makes the file's mode 0755 rather than 0644.
	Executable bool `json:"executable,omitempty"`
}

// NetworkPolicy says what a job may reach.
type NetworkPolicy string

const (
	// NetworkPublic is the public internet and DNS; every private, loopback,
	// link-local, metadata, multicast and reserved address is refused.
	NetworkPublic NetworkPolicy = "public"
	// NetworkNone is no network but the sandbox's own loopback.
	NetworkNone NetworkPolicy = "none"
)

// Job is a submitted JobSpec with its identity and its progress. Its JSON is
// the one form in which a job travels and is shown.
type Job struct {
	ID     string `json:"id"`
	Tenant string `json:"tenant"`
	JobSpec
	State State `json:"state"`
	// Reason says in a few words why the job is in its state ("out of memory",
	// "canceled by ada", "lease expired"), empty when there is nothing to say.
	Reason string `json:"reason,omitempty"`
	// Attempt is the number of the latest claim, from 1; 0 before the first.
	Attempt int `json:"attempt"`
	// Executor is the name of the executor that holds or held the latest attempt.
	Executor string `json:"executor,omitempty"`
	// CancelRequested is set from a cancel of a processing job until its executor has stopped it.
	CancelRequested bool      `json:"cancel_requested,omitempty"`
	SubmittedBy     string    `json:"submitted_by,omitempty"`
	CreatedAt       time.Time `json:"created_at"`
	// NotBefore is the time before which a retried job is not handed out again.
	NotBefore  *time.Time `json:"not_before,omitempty"`
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	// Result is the accepted result, nil until the job is in a final state.
	Result *Result `json:"result,omitempty"`
	// Timeline is filled where a single job is shown, not in lists.
	Timeline []Event `json:"timeline,omitempty"`
}

// Event is one transition or remark on a job's timeline.
type Event struct {
	Time time.Time `json:"time"`
	// Kind is one of the Event… constants.
	Kind string `json:"kind"`
	// Actor is who did it: "user:NAME", "executor:NAME" or "server".
	Actor   string `json:"actor"`
	Attempt int    `json:"attempt,omitempty"`
	Message string `json:"message,omitempty"`
}

// Kinds of events.
const (
	EventSubmitted       = "submitted"
	EventClaimed         = "claimed"
	EventProgress        = "progress" // the executor's own remarks: workspace ready, sandbox created
	EventStepStarted     = "step_started"
	EventStepFinished    = "step_finished"
	EventCancelRequested = "cancel_requested"
	EventLeaseExpired    = "lease_expired"
	EventRetried         = "retried"  // by a user
	EventRequeued        = "requeued" // by the system, after an error, with back-off
	EventFinished        = "finished"
	EventRefused         = "refused" // a write with a stale lease or a foreign token
)
