package codehost

import (
	"context"
	"errors"
	"fmt"

	glapi "gitlab.com/gitlab-org/api/client-go"

	"github.com/glovebox-dev/glovebox"
)

// gitlabDraft is the prefix that makes a merge request a draft.
const gitlabDraft = "Draft: "

func gitlabTitle(c Change) *string {
	title := c.Title
	if c.Draft {
		title = gitlabDraft + title
	}
	return &title
}

func gitlabRequest(m *glapi.BasicMergeRequest) (Request, error) {
	if m == nil || m.IID <= 0 {
		return Request{}, errRequest
	}
	title, draft := cutDraft(m.Title, "Draft:", "[Draft]", "(Draft)", "WIP:")
	r := Request{ID: number(m.IID), URL: m.WebURL, Head: m.SHA, HeadRef: m.SourceBranch, BaseRef: m.TargetBranch, Title: title, Body: m.Description}
	if m.UpdatedAt != nil {
		r.UpdatedAt = *m.UpdatedAt
	}
	switch m.State {
	case "merged":
		r.State = StateMerged
	case "closed":
		r.State = StateClosed
	case "opened", "locked":
		// Locked is how it looks while it is being merged.
		r.State = StateOpen
		if m.Draft || draft {
			r.State = StateDraft
		}
	default:
		return Request{}, fmt.Errorf("a request in state %q", printable(m.State, 50))
	}
	r.sanitize()
	return r, nil
}

func (g *gitlab) Open(ctx context.Context, repo string, c Change) (Request, error) {
	if err := checkName(repo, 2, gitlabParts); err != nil {
		return Request{}, err
	}
	if err := c.check(true); err != nil {
		return Request{}, err
	}
	r, err := g.open(ctx, repo, c)
	return r, g.failed(ctx, err, "open request for %s in %s", c.Branch, repo)
}

// open posts to the project that the branch is in and names the one that it is for.
func (g *gitlab) open(ctx context.Context, repo string, c Change) (Request, error) {
	source := repo
	opts := &glapi.CreateMergeRequestOptions{Title: gitlabTitle(c), Description: &c.Body, SourceBranch: &c.Branch, TargetBranch: &c.Base}
	var sourceID int64
	if c.HeadRepo != "" {
		if err := checkName(c.HeadRepo, 2, gitlabParts); err != nil {
			return Request{}, err
		}
		source = c.HeadRepo
		target, err := g.project(ctx, repo)
		if err != nil {
			return Request{}, err
		}
		head, err := g.project(ctx, source)
		if err != nil {
			return Request{}, err
		}
		opts.TargetProjectID, sourceID = &target.ID, head.ID
	}
	find := func() (*Request, error) { return g.find(ctx, repo, c, sourceID) }
	return openOnce(find, func() (Request, error) {
		m, _, err := g.client.MergeRequests.CreateMergeRequest(source, opts, glapi.WithContext(ctx))
		if err != nil {
			return Request{}, err
		}
		if m == nil {
			return Request{}, errRequest
		}
		r, err := gitlabRequest(&m.BasicMergeRequest)
		if err != nil {
			return Request{}, err
		}
		return g.get(ctx, repo, r.ID)
	})
}

// find returns the open request of a pair; source is the fork's number, 0 for a branch of the project itself.
func (g *gitlab) find(ctx context.Context, repo string, c Change, source int64) (*Request, error) {
	opts := &glapi.ListProjectMergeRequestsOptions{State: glapi.Ptr("opened"), SourceBranch: &c.Branch, TargetBranch: &c.Base, ListOptions: glapi.ListOptions{PerPage: 100}}
	list, _, err := g.client.MergeRequests.ListProjectMergeRequests(repo, opts, glapi.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	for _, m := range list {
		if m == nil || m.SourceBranch != c.Branch || m.TargetBranch != c.Base || source == 0 && m.SourceProjectID != m.TargetProjectID || source != 0 && m.SourceProjectID != source {
			continue
		}
		r, err := g.get(ctx, repo, number(m.IID))
		return &r, err
	}
	return nil, nil
}

func (g *gitlab) Update(ctx context.Context, repo, id string, c Change) (Request, error) {
	if err := c.check(false); err != nil {
		return Request{}, err
	}
	opts := &glapi.UpdateMergeRequestOptions{Title: gitlabTitle(c), Description: &c.Body}
	if c.Base != "" {
		opts.TargetBranch = &c.Base
	}
	return g.edit(ctx, "update", repo, id, opts)
}

func (g *gitlab) Close(ctx context.Context, repo, id string) (Request, error) {
	r, err := g.Get(ctx, repo, id)
	if err != nil || !r.open() {
		return r, err
	}
	return g.edit(ctx, "close", repo, id, &glapi.UpdateMergeRequestOptions{StateEvent: glapi.Ptr("close")})
}

func (g *gitlab) Reopen(ctx context.Context, repo, id string) (Request, error) {
	r, err := g.Get(ctx, repo, id)
	if err != nil || r.open() {
		return r, err
	}
	if r.State == StateMerged {
		return r, fmt.Errorf("reopen request %s in %s: it is merged: %w", id, repo, glovebox.ErrConflict)
	}
	return g.edit(ctx, "reopen", repo, id, &glapi.UpdateMergeRequestOptions{StateEvent: glapi.Ptr("reopen")})
}

func (g *gitlab) edit(ctx context.Context, verb, repo, id string, opts *glapi.UpdateMergeRequestOptions) (Request, error) {
	if err := checkName(repo, 2, gitlabParts); err != nil {
		return Request{}, err
	}
	n, err := parseID(id)
	if err != nil {
		return Request{}, err
	}
	if _, _, err := g.client.MergeRequests.UpdateMergeRequest(repo, n, opts, glapi.WithContext(ctx)); err != nil {
		return Request{}, g.failed(ctx, err, "%s request %s in %s", verb, id, repo)
	}
	return g.Get(ctx, repo, id)
}

func (g *gitlab) Get(ctx context.Context, repo, id string) (Request, error) {
	if err := checkName(repo, 2, gitlabParts); err != nil {
		return Request{}, err
	}
	if _, err := parseID(id); err != nil {
		return Request{}, err
	}
	r, err := g.get(ctx, repo, id)
	return r, g.failed(ctx, err, "read request %s in %s", id, repo)
}

func (g *gitlab) get(ctx context.Context, repo, id string) (Request, error) {
	n, err := parseID(id)
	if err != nil {
		return Request{}, err
	}
	m, _, err := g.client.MergeRequests.GetMergeRequest(repo, n, nil, glapi.WithContext(ctx))
	if err == nil && m == nil {
		err = errRequest
	}
	if err != nil {
		return Request{}, err
	}
	r, err := gitlabRequest(&m.BasicMergeRequest)
	if err != nil || !r.open() {
		return r, err
	}
	if m.HeadPipeline != nil {
		r.Checks = gitlabChecks(m.HeadPipeline.Status)
	}
	r.Review, err = g.review(ctx, repo, n, len(m.Reviewers))
	return r, err
}

func gitlabChecks(status string) Checks {
	switch status {
	case "success":
		return ChecksPassed
	case "failed", "canceled", "canceling":
		return ChecksFailed
	case "skipped":
		return ChecksNone
	}
	return ChecksPending
}

// review reads approvals. GitLab's blocking "requested changes" is a state of the merge.
func (g *gitlab) review(ctx context.Context, repo string, id int64, reviewers int) (Review, error) {
	a, _, err := g.client.MergeRequestApprovals.GetConfiguration(repo, id, glapi.WithContext(ctx))
	if errors.Is(err, glovebox.ErrNotFound) || errors.Is(err, glovebox.ErrForbidden) {
		// An old or small GitLab has no approvals.
		return ReviewNone, nil
	}
	if err == nil && a == nil {
		err = errors.New("no approvals in it")
	}
	if err != nil {
		return "", err
	}
	switch {
	case a.Approved && (a.ApprovalsRequired > 0 || len(a.ApprovedBy) > 0):
		return ReviewApproved, nil
	case a.ApprovalsLeft > 0 || reviewers > 0:
		return ReviewPending, nil
	}
	return ReviewNone, nil
}

// List asks for a hundred at once, and for details of those that are still open.
func (g *gitlab) List(ctx context.Context, repo string, ids []string) ([]Request, error) {
	if err := checkName(repo, 2, gitlabParts); err != nil {
		return nil, err
	}
	var all []Request
	for len(ids) > 0 {
		n := min(len(ids), 100)
		part, err := g.listPart(ctx, repo, ids[:n])
		all = append(all, part...)
		if err != nil {
			return all, g.failed(ctx, err, "list requests in %s", repo)
		}
		ids = ids[n:]
	}
	return all, nil
}

func (g *gitlab) listPart(ctx context.Context, repo string, ids []string) ([]Request, error) {
	var numbers []int64
	for _, id := range ids {
		n, err := parseID(id)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	opts := &glapi.ListProjectMergeRequestsOptions{IIDs: &numbers, State: glapi.Ptr("all"), Scope: glapi.Ptr("all"), ListOptions: glapi.ListOptions{PerPage: 100}}
	list, _, err := g.client.MergeRequests.ListProjectMergeRequests(repo, opts, glapi.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	byID := map[string]Request{}
	for _, m := range list {
		r, err := gitlabRequest(m)
		if err != nil {
			return nil, err
		}
		byID[r.ID] = r
	}
	return listEach(ids, func(id string) (Request, error) {
		r, ok := byID[id]
		switch {
		case !ok:
			return r, glovebox.ErrNotFound
		case !r.open():
			return r, nil
		}
		return g.get(ctx, repo, id)
	})
}
