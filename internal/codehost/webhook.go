package codehost

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// MaxWebhook bounds a delivery's body: GitHub sends no larger ones.
const MaxWebhook = 25 << 20

// EventKind says what a delivery is about.
type EventKind string

// Values of EventKind.
const (
	// EventRequest: a request was opened, edited, merged, closed or reviewed.
	EventRequest EventKind = "request"
	// EventPush: a branch moved. EventChecks: tests of a commit began or ended.
	EventPush   EventKind = "push"
	EventChecks EventKind = "checks"
	// EventOther is to be answered with success and forgotten (pings too).
	EventOther EventKind = "other"
)

// Event is what a delivery tells: that something is to be looked at again. It is no source
// of states: a delivery may come late, twice or out of order.
type Event struct {
	Kind EventKind
	Repo string
	// ID is the request's, "" if the delivery names none; Branch and Commit those it is about, "" if unknown.
	ID, Branch, Commit string
}

// ParseWebhook checks a delivery's signature and reads it. A wrong signature is
// glovebox.ErrUnauthorized; an empty secret accepts nothing.
func ParseWebhook(kind string, header http.Header, body []byte, secret string) (Event, error) {
	if len(body) > MaxWebhook {
		return Event{}, fmt.Errorf("read webhook: more than %d bytes: %w", MaxWebhook, glovebox.ErrTooLarge)
	}
	if secret == "" || !signed(kind, header, body, secret) {
		return Event{}, fmt.Errorf("read webhook: the signature is missing or wrong: is the secret the same on both sides?: %w", glovebox.ErrUnauthorized)
	}
	var p payload
	if err := json.Unmarshal(body, &p); err != nil {
		return Event{}, fmt.Errorf("read webhook: not the JSON that a %s sends: set its content type to application/json: %s", kind, printable(err.Error(), 200))
	}
	var e Event
	switch kind {
	case KindGitLab:
		e = p.gitlab(header.Get("X-Gitlab-Event"))
	case KindGitHub:
		e = p.github(header.Get("X-GitHub-Event"))
	default:
		e = p.github(first(header, "X-Gitea-Event", "X-Forgejo-Event"))
	}
	if checkName(e.Repo, 2, 20) != nil {
		e = Event{Kind: EventOther}
	}
	e.Branch = checkedRev(e.Branch)
	if !git.IsObjectName(e.Commit) {
		e.Commit = ""
	}
	return e, nil
}

func first(h http.Header, names ...string) string {
	for _, name := range names {
		if v := h.Get(name); v != "" {
			return v
		}
	}
	return ""
}

func signed(kind string, header http.Header, body []byte, secret string) bool {
	var signature string
	switch kind {
	case KindGitLab:
		// Hashed first, so that the comparison does not tell the secret's length.
		want, got := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(header.Get("X-Gitlab-Token")))
		return subtle.ConstantTimeCompare(want[:], got[:]) == 1
	case KindGitHub:
		var ok bool
		if signature, ok = strings.CutPrefix(header.Get("X-Hub-Signature-256"), "sha256="); !ok {
			return false
		}
	case KindGitea:
		signature = first(header, "X-Gitea-Signature", "X-Forgejo-Signature")
	default:
		return false
	}
	got, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hmac.Equal(got, mac.Sum(nil))
}

// payload holds the few fields we read, of all hosts.
type payload struct {
	Ref        string `json:"ref"`
	SHA        string `json:"sha"`
	Number     int64  `json:"number"`
	Repository struct {
		FullName string `json:"full_name"`
	} `json:"repository"`
	PullRequest *payloadPull `json:"pull_request"`
	// Gitea says of a comment or review on a request that it is of an issue.
	Issue *struct {
		Number      int64           `json:"number"`
		PullRequest json.RawMessage `json:"pull_request"`
	} `json:"issue"`
	CheckSuite *payloadSuite `json:"check_suite"`
	CheckRun   *struct {
		CheckSuite payloadSuite `json:"check_suite"`
	} `json:"check_run"`
	Branches []struct {
		Name string `json:"name"`
	} `json:"branches"`
	// GitLab's.
	Project struct {
		Path string `json:"path_with_namespace"`
	} `json:"project"`
	Attributes struct {
		IID          int64  `json:"iid"`
		SourceBranch string `json:"source_branch"`
		Ref          string `json:"ref"`
	} `json:"object_attributes"`
	MergeRequest *struct {
		IID          int64  `json:"iid"`
		SourceBranch string `json:"source_branch"`
	} `json:"merge_request"`
}

type payloadPull struct {
	Number int64 `json:"number"`
	Head   struct {
		Ref string `json:"ref"`
	} `json:"head"`
}

type payloadSuite struct {
	HeadBranch   string        `json:"head_branch"`
	PullRequests []payloadPull `json:"pull_requests"`
}

func number(n int64) string {
	if n <= 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// github reads GitHub's deliveries and those of Gitea and Forgejo, which have its shape.
func (p *payload) github(event string) Event {
	e := Event{Kind: EventOther, Repo: p.Repository.FullName}
	switch {
	case p.PullRequest != nil && strings.HasPrefix(event, "pull_request"):
		e.Kind, e.ID, e.Branch = EventRequest, number(p.PullRequest.Number), p.PullRequest.Head.Ref
	case event == "issue_comment" && p.Issue != nil && len(p.Issue.PullRequest) > 4:
		e.Kind, e.ID = EventRequest, number(p.Issue.Number)
	case event == "push" || event == "create" || event == "delete":
		e.Kind, e.Branch = EventPush, strings.TrimPrefix(p.Ref, "refs/heads/")
	case event == "status":
		// Gitea's has no branches.
		e.Kind, e.Commit = EventChecks, p.SHA
		if len(p.Branches) == 1 {
			e.Branch = p.Branches[0].Name
		}
	case event == "check_suite" && p.CheckSuite != nil:
		p.CheckSuite.event(&e)
	case event == "check_run" && p.CheckRun != nil:
		p.CheckRun.CheckSuite.event(&e)
	}
	return e
}

func (s *payloadSuite) event(e *Event) {
	e.Kind, e.Branch = EventChecks, s.HeadBranch
	if len(s.PullRequests) == 1 {
		e.ID = number(s.PullRequests[0].Number)
	}
}

func (p *payload) gitlab(event string) Event {
	e := Event{Kind: EventOther, Repo: p.Project.Path}
	switch event {
	case "Merge Request Hook":
		e.Kind, e.ID, e.Branch = EventRequest, number(p.Attributes.IID), p.Attributes.SourceBranch
	case "Note Hook":
		if p.MergeRequest != nil {
			e.Kind, e.ID, e.Branch = EventRequest, number(p.MergeRequest.IID), p.MergeRequest.SourceBranch
		}
	case "Push Hook":
		e.Kind, e.Branch = EventPush, strings.TrimPrefix(p.Ref, "refs/heads/")
	case "Pipeline Hook":
		e.Kind, e.Branch = EventChecks, p.Attributes.Ref
		if p.MergeRequest != nil {
			e.ID, e.Branch = number(p.MergeRequest.IID), p.MergeRequest.SourceBranch
		}
	}
	return e
}
