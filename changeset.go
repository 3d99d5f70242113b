package glovebox

// Published says whether a changeset is to be published.
type Published string

// Values of Published; the empty one leaves the decision to the page or the command line.
const (
	PublishedUndecided Published = ""
	PublishedNo        Published = "false"
	PublishedYes       Published = "true"
	PublishedDraft     Published = "draft"
)

// ChangesetSpec is a changeset as a batch change wants it: one branch of one repository
// with one commit, or one that exists already (ExternalID is set; then only Repo is besides).
type ChangesetSpec struct {
	Repo       string `json:"repo"`
	ExternalID string `json:"external_id,omitempty"`
	// Workspace is the folder of the repository that the diff comes from, "" for its root.
	Workspace string `json:"workspace,omitempty"`
	// BaseRef is a full ref ("refs/heads/main"), BaseCommit what it was when the job ran.
	BaseRef    string `json:"base_ref,omitempty"`
	BaseCommit string `json:"base_commit,omitempty"`
	// Branch is the branch to push, without refs/heads/.
	Branch      string    `json:"branch,omitempty"`
	Title       string    `json:"title,omitempty"`
	Body        string    `json:"body,omitempty"`
	Message     string    `json:"message,omitempty"`
	AuthorName  string    `json:"author_name,omitempty"`
	AuthorEmail string    `json:"author_email,omitempty"`
	Published   Published `json:"published,omitempty"`
	Fork        bool      `json:"fork,omitempty"`
	// DiffStat describes Diff. Diff is the patch, for git apply --index; it travels apart.
	DiffStat *Diff  `json:"diff,omitempty"`
	Diff     []byte `json:"-"`
}
