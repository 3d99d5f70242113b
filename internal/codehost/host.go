// Package codehost is what a batch change needs of a code host: look repositories up, push a
// branch, open a pull or merge request and follow it. It owns the clients of GitHub, GitLab,
// Gitea and Forgejo, and of plain git remotes, their limits and their webhooks. What a host
// answers is not believed: it is bounded, checked and made printable. It must not know batch
// specs, jobs, the store or who calls it.
package codehost

import (
	"context"
	"time"
)

// Kinds of code host.
const (
	KindGitHub = "github"
	KindGitLab = "gitlab"
	// KindGitea is Forgejo too.
	KindGitea = "gitea"
	// KindGit is a plain git remote: branches only.
	KindGit = "git"
)

// Host is one code host, seen with one token. All methods may be called concurrently.
// Errors wrap *Error or *RateLimitError; glovebox.ErrUnsupported where a host has no such thing.
type Host interface {
	Kind() string
	// Repository looks one up by its name ("OWNER/REPO", on GitLab with groups before).
	Repository(ctx context.Context, name string) (Repository, error)
	// Search returns the repositories that a query in the host's own words matches:
	// "org:acme", "user:ada", "topic:go", free text. More than the configured number of them is
	// an error that wraps glovebox.ErrTooLarge: a cut list would leave repositories out in silence.
	Search(ctx context.Context, query string) ([]Repository, error)
	// Fork returns our own fork of a repository, making it if there is none. A host may take
	// a while to fill it: pushing to it may have to be tried again.
	Fork(ctx context.Context, name string) (Repository, error)
	// Open opens a request from c.Branch to c.Base, or returns the open one that exists for that
	// pair: calling it twice publishes nothing twice, even after a time-out.
	Open(ctx context.Context, repo string, c Change) (Request, error)
	// Update sets title, body, draft state and, where it is not empty, the base.
	Update(ctx context.Context, repo, id string, c Change) (Request, error)
	// Close and Reopen do nothing to a request that is in that state already.
	Close(ctx context.Context, repo, id string) (Request, error)
	Reopen(ctx context.Context, repo, id string) (Request, error)
	Get(ctx context.Context, repo, id string) (Request, error)
	// List returns the requests with these ids, in their order; those that do not exist are left
	// out. With an error it returns what it had until then.
	List(ctx context.Context, repo string, ids []string) ([]Request, error)
}

// Repository is one as its host knows it.
type Repository struct {
	Name          string
	DefaultBranch string
	// CloneURL has no credentials in it, and the host that was configured.
	CloneURL string
	WebURL   string
	Archived bool
	Private  bool
	// Push: the token may push branches.
	Push bool
}

// Change is what a request is to say.
type Change struct {
	Title, Body string
	// Branch and Base are names without refs/heads/. HeadRepo is the fork that Branch is in, if it is in one.
	Branch, Base string
	HeadRepo     string
	Draft        bool
}

// State of a request.
type State string

// Values of State.
const (
	StateOpen   State = "open"
	StateDraft  State = "draft"
	StateMerged State = "merged"
	StateClosed State = "closed"
)

// Checks is what the host's tests say of a request's head.
type Checks string

// Values of Checks.
const (
	ChecksNone    Checks = "none"
	ChecksPending Checks = "pending"
	ChecksPassed  Checks = "passed"
	ChecksFailed  Checks = "failed"
)

// Review is what people say of a request.
type Review string

// Values of Review.
const (
	ReviewNone             Review = "none"
	ReviewPending          Review = "pending"
	ReviewApproved         Review = "approved"
	ReviewChangesRequested Review = "changes_requested"
)

// Request is a pull or merge request. Its texts are printable; Title has no draft prefix.
// Checks and Review of merged and closed requests are not asked for: they are "none".
type Request struct {
	ID    string
	URL   string
	State State
	// Head is the commit at the tip of its branch.
	Head             string
	HeadRef, BaseRef string
	Title, Body      string
	Checks           Checks
	Review           Review
	UpdatedAt        time.Time
}

// open reports whether the request can still be merged.
func (r Request) open() bool { return r.State == StateOpen || r.State == StateDraft }
