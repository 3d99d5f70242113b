package glovebox

import "time"

// BatchChangeState is where a batch change stands.
type BatchChangeState string

// States of a batch change.
const (
	// BatchChangeDraft has runs, but none was applied.
	BatchChangeDraft BatchChangeState = "draft"
	// BatchChangeOpen has an applied run, whose changesets the server keeps as wanted.
	BatchChangeOpen BatchChangeState = "open"
	// BatchChangeClosed is over; applying a run opens it again.
	BatchChangeClosed BatchChangeState = "closed"
)

// BatchChange is one change to many repositories, by its name among its tenant's.
type BatchChange struct {
	ID          string           `json:"id"`
	Tenant      string           `json:"tenant"`
	Name        string           `json:"name"`
	Description string           `json:"description,omitempty"`
	State       BatchChangeState `json:"state"`
	// LatestRun is the newest run's id, AppliedRun that of the run applied last.
	LatestRun  string     `json:"latest_run,omitempty"`
	AppliedRun string     `json:"applied_run,omitempty"`
	CreatedBy  string     `json:"created_by,omitempty"`
	CreatedAt  time.Time  `json:"created_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	ClosedAt   *time.Time `json:"closed_at,omitempty"`
	// Changesets counts its changesets by state.
	Changesets map[ChangesetState]int `json:"changesets,omitempty"`
}

// BatchRunState is where a run stands.
type BatchRunState string

// States of a run.
const (
	// BatchRunResolving finds the repositories, their commits and workspaces.
	BatchRunResolving BatchRunState = "resolving"
	// BatchRunProcessing has workspaces that are not over.
	BatchRunProcessing BatchRunState = "processing"
	// BatchRunCompleted went well in every workspace.
	BatchRunCompleted BatchRunState = "completed"
	// BatchRunFailed did not go well in some workspaces; what the others came to is there.
	BatchRunFailed BatchRunState = "failed"
	// BatchRunErrored could not be resolved; Reason and Problems say why.
	BatchRunErrored BatchRunState = "errored"
	// BatchRunCanceled was stopped by a user.
	BatchRunCanceled BatchRunState = "canceled"
)

// Final reports whether a run in s is over.
func (s BatchRunState) Final() bool { return s != BatchRunResolving && s != BatchRunProcessing }

// BatchRun is one execution of a batch spec.
type BatchRun struct {
	ID string `json:"id"`
	// BatchChange is its batch change's id, Name that one's name.
	BatchChange string `json:"batch_change"`
	Name        string `json:"name"`
	Tenant      string `json:"tenant"`
	// BatchRunInput is filled where a single run is shown, not in lists.
	BatchRunInput
	State  BatchRunState `json:"state"`
	Reason string        `json:"reason,omitempty"`
	// Problems say what of the spec can't be done here, at most a hundred.
	Problems []Problem `json:"problems,omitempty"`
	// Notes are remarks of the resolution, such as repositories that were left out.
	Notes []string `json:"notes,omitempty"`
	// CancelRequested is set from a cancel until the run's workspaces have stopped.
	CancelRequested bool       `json:"cancel_requested,omitempty"`
	CreatedBy       string     `json:"created_by,omitempty"`
	CreatedAt       time.Time  `json:"created_at"`
	FinishedAt      *time.Time `json:"finished_at,omitempty"`
	// Workspaces counts its workspaces by state.
	Workspaces map[State]int `json:"workspaces,omitempty"`
	// Changesets is how many changesets the run wants so far.
	Changesets int `json:"changesets"`
}

// BatchRunInput is what a run is made from.
type BatchRunInput struct {
	// Spec is the batch spec's text, in YAML.
	Spec string `json:"spec,omitempty"`
	// Files are those that the spec mounts or lists, by their paths relative to the spec.
	Files []File `json:"files,omitempty"`
	// Env holds the values of the variables that steps take from outside.
	Env map[string]string `json:"env,omitempty"`
	// StepCache is StepCacheUse (the default) or StepCacheRefresh.
	StepCache string `json:"step_cache,omitempty"`
	// FailFast cancels what has not ended when the first workspace fails.
	FailFast bool `json:"fail_fast,omitempty"`
}

// BatchWorkspace is one job to be of a run: a repository at a commit, and a folder of it.
type BatchWorkspace struct {
	ID   string `json:"id"`
	Run  string `json:"run"`
	Repo string `json:"repo"`
	// Path is the folder of the repository, "" for its root.
	Path string `json:"path,omitempty"`
	// Branch is the full ref that Commit was found at.
	Branch string `json:"branch,omitempty"`
	Commit string `json:"commit,omitempty"`
	// State is a job's state; StateSkipped when no step of the spec is for this workspace.
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"`
	// JobID is the job's id, also before the job was submitted; empty for a skipped workspace.
	JobID string `json:"job_id,omitempty"`
	// Cached is set when every step's result was taken from the step cache.
	Cached bool `json:"cached,omitempty"`
	// Diff, Changes and Values are the job's.
	Diff    *Diff          `json:"diff,omitempty"`
	Changes *Changes       `json:"changes,omitempty"`
	Values  map[string]any `json:"values,omitempty"`
	// Branches are the branches of the changesets that it led to.
	Branches   []string   `json:"branches,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
}

// ChangesetState is where a changeset stands.
type ChangesetState string

// States of a changeset.
const (
	// ChangesetUnpublished is kept here alone: publishing it was not asked for, or not decided.
	ChangesetUnpublished ChangesetState = "unpublished"
	// ChangesetScheduled waits for the rollout window.
	ChangesetScheduled ChangesetState = "scheduled"
	// ChangesetPublishing is being pushed and opened, or updated.
	ChangesetPublishing ChangesetState = "publishing"
	// ChangesetOpen, draft, merged and closed are the code host's words. On a plain git remote a pushed branch is open.
	ChangesetOpen   ChangesetState = "open"
	ChangesetDraft  ChangesetState = "draft"
	ChangesetMerged ChangesetState = "merged"
	ChangesetClosed ChangesetState = "closed"
	// ChangesetFailed can't go on without a user; Error says why.
	ChangesetFailed ChangesetState = "failed"
)

// ChangesetStates lists the states of a changeset in the order of its life.
func ChangesetStates() []ChangesetState {
	return []ChangesetState{ChangesetUnpublished, ChangesetScheduled, ChangesetPublishing, ChangesetDraft, ChangesetOpen,
		ChangesetMerged, ChangesetClosed, ChangesetFailed}
}

// Changeset is one branch of one repository with its pull or merge request, as a batch
// change that was applied keeps it.
type Changeset struct {
	ID          string `json:"id"`
	BatchChange string `json:"batch_change"`
	Tenant      string `json:"tenant"`
	Repo        string `json:"repo"`
	// Host is the name of the code host; empty for a plain git remote.
	Host string `json:"host,omitempty"`
	// Branch is the branch pushed, without refs/heads/; empty for an imported changeset until it was seen.
	Branch string `json:"branch,omitempty"`
	// Imported is set when the request existed before: it is looked at, never changed.
	Imported bool `json:"imported,omitempty"`
	// Wanted is the spec that the run applied last has for it; nil when that run has none.
	Wanted *ChangesetSpec `json:"wanted,omitempty"`
	// Publish is whether it is to be published: the spec's word, or what a user decided.
	Publish Published `json:"publish,omitempty"`
	// Closing is set when it is to be closed: the run applied last does not want it, or the batch change is closed.
	Closing bool           `json:"closing,omitempty"`
	State   ChangesetState `json:"state"`
	// ExternalID is the request's number at the code host, ExternalURL its page.
	ExternalID  string `json:"external_id,omitempty"`
	ExternalURL string `json:"external_url,omitempty"`
	// Head is the commit that was pushed last.
	Head string `json:"head,omitempty"`
	// Checks is "pending", "passed", "failed" or empty; Review "pending", "approved", "changes_requested" or empty.
	Checks string `json:"checks,omitempty"`
	Review string `json:"review,omitempty"`
	Title  string `json:"title,omitempty"`
	// Error is the trouble of the latest try, in words; Tries counts the tries that failed in a row.
	Error string `json:"error,omitempty"`
	Tries int    `json:"tries,omitempty"`
	// NextAt is when the code host is asked or told next; nil when nothing is to be done.
	NextAt    *time.Time `json:"next_at,omitempty"`
	SyncedAt  *time.Time `json:"synced_at,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	UpdatedAt time.Time  `json:"updated_at"`
}

// ChangesetAction is what applying a run does with a changeset.
type ChangesetAction string

// Actions of a preview.
const (
	ActionNothing      ChangesetAction = "nothing"       // it is as wanted
	ActionKeep         ChangesetAction = "keep"          // it is left as it is, for the reason given
	ActionImport       ChangesetAction = "import"        // a request that exists is looked at from now on
	ActionPublish      ChangesetAction = "publish"       // the branch is pushed and a request opened
	ActionPublishDraft ChangesetAction = "publish_draft" // the same, as a draft
	ActionPush         ChangesetAction = "push"          // the published branch gets a new commit
	ActionUpdate       ChangesetAction = "update"        // title, text, base or draft of the request change
	ActionReopen       ChangesetAction = "reopen"
	ActionClose        ChangesetAction = "close"
)

// PreviewEntry says what applying a run does with one changeset.
type PreviewEntry struct {
	// Changeset is the id of one that exists already.
	Changeset string `json:"changeset,omitempty"`
	Repo      string `json:"repo"`
	Branch    string `json:"branch,omitempty"`
	// Wanted is the run's spec of it; nil when the run has none.
	Wanted *ChangesetSpec `json:"wanted,omitempty"`
	// State is that of the changeset that exists.
	State   ChangesetState    `json:"state,omitempty"`
	Actions []ChangesetAction `json:"actions"`
	// Reasons explain the actions.
	Reasons []string `json:"reasons,omitempty"`
	// Blocked says why applying would be refused: two changesets of one branch, for instance.
	Blocked string `json:"blocked,omitempty"`
}

// CodeHost is a code host that the server's operator set up. Its token is never shown.
type CodeHost struct {
	Name string `json:"name"`
	// Kind is "github", "gitlab" or "gitea".
	Kind string `json:"kind"`
	URL  string `json:"url"`
	// Webhook is the path that the code host may send its events to; empty when no secret for it was set.
	Webhook string `json:"webhook,omitempty"`
	// PausedUntil is set while the code host asked not to be called.
	PausedUntil *time.Time `json:"paused_until,omitempty"`
}
