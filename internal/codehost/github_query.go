package codehost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// githubPull is a request as our query asks for it.
type githubPull struct {
	ID       string    `json:"id"`
	Number   int64     `json:"number"`
	URL      string    `json:"url"`
	State    string    `json:"state"`
	IsDraft  bool      `json:"isDraft"`
	Title    string    `json:"title"`
	Body     string    `json:"body"`
	HeadRef  string    `json:"headRefName"`
	Head     string    `json:"headRefOid"`
	BaseRef  string    `json:"baseRefName"`
	Updated  time.Time `json:"updatedAt"`
	Decision string    `json:"reviewDecision"`
	Reviews  struct {
		Nodes []struct {
			State  string `json:"state"`
			Author *struct {
				Login string `json:"login"`
			} `json:"author"`
		} `json:"nodes"`
	} `json:"latestOpinionatedReviews"`
	Asked struct {
		Total int `json:"totalCount"`
	} `json:"reviewRequests"`
	Commits struct {
		Nodes []struct {
			Commit struct {
				Rollup *struct {
					State string `json:"state"`
				} `json:"statusCheckRollup"`
			} `json:"commit"`
		} `json:"nodes"`
	} `json:"commits"`
}

const githubFields = "fragment pull on PullRequest { id number url state isDraft title body headRefName headRefOid baseRefName updatedAt reviewDecision " +
	"latestOpinionatedReviews(first: 50) { nodes { state author { login } } } reviewRequests { totalCount } " +
	"commits(last: 1) { nodes { commit { statusCheckRollup { state } } } } }"

// pulls asks for several requests at once; those that do not exist are left out.
func (g *github) pulls(ctx context.Context, owner, repo string, ids []string) ([]githubPull, error) {
	var b strings.Builder
	b.WriteString("query($owner: String!, $repo: String!) { repository(owner: $owner, name: $repo) {")
	for _, id := range ids {
		// An id is a number here: parseID has seen it.
		fmt.Fprintf(&b, " p%s: pullRequest(number: %s) { ...pull }", id, id)
	}
	b.WriteString(" } } " + githubFields)
	var data struct {
		Repository map[string]*githubPull `json:"repository"`
	}
	if err := g.query(reading(ctx), b.String(), map[string]any{"owner": owner, "repo": repo}, &data); err != nil {
		return nil, err
	}
	var found []githubPull
	for _, id := range ids {
		if p := data.Repository["p"+id]; p != nil {
			if number(p.Number) != id {
				return nil, errors.New("another request than was asked for")
			}
			found = append(found, *p)
		}
	}
	return found, nil
}

// query posts one GraphQL operation.
func (g *github) query(ctx context.Context, text string, variables map[string]any, data any) error {
	req, err := g.client.NewRequest(ctx, http.MethodPost, g.graphql, map[string]any{"query": text, "variables": variables})
	if err != nil {
		return err
	}
	var answer struct {
		Data   json.RawMessage `json:"data"`
		Errors []struct {
			Type    string `json:"type"`
			Message string `json:"message"`
			Path    []any  `json:"path"`
		} `json:"errors"`
	}
	if _, err := g.client.Do(req, &answer); err != nil {
		return err
	}
	for _, e := range answer.Errors {
		// A request that is not there makes its field null; a repository that is not there is an error.
		if e.Type == "NOT_FOUND" && len(e.Path) == 2 {
			continue
		}
		return g.graphqlError(e.Type, e.Message)
	}
	if data == nil {
		return nil
	}
	return unmarshal(answer.Data, data)
}

func (g *github) graphqlError(kind, text string) error {
	e := &Error{Host: g.web.Host, Message: printable(text, 300)}
	switch kind {
	case "NOT_FOUND":
		e.Status, e.Err = http.StatusNotFound, glovebox.ErrNotFound
	case "FORBIDDEN", "INSUFFICIENT_SCOPES":
		e.Status, e.Err = http.StatusForbidden, glovebox.ErrForbidden
	default:
		e.Err = errors.New("graphql: " + printable(kind, 100))
	}
	return e
}

func unmarshal(raw []byte, v any) error {
	if len(raw) == 0 || string(raw) == "null" {
		return errors.New("no data in it")
	}
	return json.Unmarshal(raw, v)
}

func (p *githubPull) request() (Request, error) {
	if p.Number <= 0 {
		return Request{}, errRequest
	}
	r := Request{ID: number(p.Number), URL: p.URL, State: StateClosed, Head: p.Head, HeadRef: p.HeadRef, BaseRef: p.BaseRef, Title: p.Title, Body: p.Body, UpdatedAt: p.Updated}
	switch {
	case p.State == "MERGED":
		r.State = StateMerged
	case p.State == "OPEN" && p.IsDraft:
		r.State = StateDraft
	case p.State == "OPEN":
		r.State = StateOpen
	case p.State != "CLOSED":
		return Request{}, fmt.Errorf("a request in state %q", printable(p.State, 50))
	}
	if r.open() {
		r.Checks, r.Review = p.checks(), p.review()
	}
	r.sanitize()
	return r, nil
}

func (p *githubPull) checks() Checks {
	if len(p.Commits.Nodes) == 0 || p.Commits.Nodes[0].Commit.Rollup == nil {
		return ChecksNone
	}
	switch p.Commits.Nodes[0].Commit.Rollup.State {
	case "SUCCESS":
		return ChecksPassed
	case "PENDING", "EXPECTED":
		return ChecksPending
	}
	return ChecksFailed
}

// review is GitHub's decision where a rule asks for reviews, else what the reviewers say.
func (p *githubPull) review() Review {
	switch p.Decision {
	case "APPROVED":
		return ReviewApproved
	case "CHANGES_REQUESTED":
		return ReviewChangesRequested
	case "REVIEW_REQUIRED":
		return ReviewPending
	}
	v := votes{}
	for _, n := range p.Reviews.Nodes {
		who := ""
		if n.Author != nil {
			who = n.Author.Login
		}
		v.add(who, n.State, n.State == "DISMISSED")
	}
	if p.Asked.Total > 0 {
		v.add("asked", "REQUEST_REVIEW", false)
	}
	return v.review()
}
