package changeset_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

// fakeHost is a strict code host: it opens no request for a branch that was not pushed and none twice, changes none
// that is over, and counts what was done to it.
type fakeHost struct {
	t  testing.TB
	mu sync.Mutex
	// clones are its repositories: name to where they are pushed to.
	clones   map[string]string
	requests map[string]*fakeRequest // by NAME#ID
	next     int
	// calls counts by method; opened and closed the effects by repository and branch.
	calls, opened, closed map[string]int
	// trouble is asked before each call; its error is the answer.
	trouble func(ctx context.Context, method, repo string) error
	// branches says what stands on a branch; set by who pushes.
	branches func(repo, branch string) (commit string, ok bool)
}

type fakeRequest struct {
	codehost.Request
	repo string
}

func newFakeHost(t testing.TB) *fakeHost {
	return &fakeHost{t: t, clones: map[string]string{}, requests: map[string]*fakeRequest{}, next: 1,
		calls: map[string]int{}, opened: map[string]int{}, closed: map[string]int{}}
}

var _ codehost.Host = (*fakeHost)(nil)

func (h *fakeHost) begin(ctx context.Context, method, repo string) error {
	h.mu.Lock()
	h.calls[method]++
	trouble := h.trouble
	_, known := h.clones[repo]
	h.mu.Unlock()
	if trouble != nil {
		if err := trouble(ctx, method, repo); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if repo != "" && !known {
		return &codehost.Error{Op: method, Host: "fake", Status: 404, Err: glovebox.ErrNotFound}
	}
	return nil
}

func (h *fakeHost) Kind() string { return codehost.KindGitea }

func (h *fakeHost) repository(name string) codehost.Repository {
	return codehost.Repository{Name: name, DefaultBranch: "main", CloneURL: h.clones[name], Push: true}
}

func (h *fakeHost) Repository(ctx context.Context, name string) (codehost.Repository, error) {
	if err := h.begin(ctx, "repository", name); err != nil {
		return codehost.Repository{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.repository(name), nil
}

func (h *fakeHost) Search(ctx context.Context, query string) ([]codehost.Repository, error) {
	if err := h.begin(ctx, "search", ""); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	var found []codehost.Repository
	for name := range h.clones {
		if strings.Contains(name, query) {
			found = append(found, h.repository(name))
		}
	}
	return found, nil
}

func (h *fakeHost) Fork(context.Context, string) (codehost.Repository, error) {
	return codehost.Repository{}, glovebox.ErrUnsupported
}

func (h *fakeHost) Open(ctx context.Context, repo string, c codehost.Change) (codehost.Request, error) {
	if err := h.begin(ctx, "open", repo); err != nil {
		return codehost.Request{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	head, ok := h.branches(repo, c.Branch)
	if !ok {
		h.t.Errorf("a request was opened in %s for the branch %s, which is not there", repo, c.Branch)
		return codehost.Request{}, &codehost.Error{Op: "open", Host: "fake", Status: 422, Err: glovebox.ErrConflict}
	}
	for _, r := range h.requests {
		if r.repo == repo && r.HeadRef == c.Branch && (r.State == codehost.StateOpen || r.State == codehost.StateDraft) {
			return r.Request, nil
		}
	}
	h.opened[repo+" "+c.Branch]++
	id := strconv.Itoa(h.next)
	h.next++
	r := &fakeRequest{repo: repo, Request: codehost.Request{ID: id, URL: "https://code.test/" + repo + "/pulls/" + id, State: stateOf(c.Draft),
		Head: head, HeadRef: c.Branch, BaseRef: c.Base, Title: c.Title, Body: c.Body, Checks: codehost.ChecksNone, Review: codehost.ReviewNone}}
	h.requests[repo+"#"+id] = r
	return r.Request, nil
}

func stateOf(draft bool) codehost.State {
	if draft {
		return codehost.StateDraft
	}
	return codehost.StateOpen
}

// with runs do on a request.
func (h *fakeHost) with(ctx context.Context, method, repo, id string, do func(*fakeRequest) error) (codehost.Request, error) {
	if err := h.begin(ctx, method, repo); err != nil {
		return codehost.Request{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.requests[repo+"#"+id]
	if r == nil {
		return codehost.Request{}, &codehost.Error{Op: method, Host: "fake", Status: 404, Err: glovebox.ErrNotFound}
	}
	if err := do(r); err != nil {
		return codehost.Request{}, err
	}
	if head, ok := h.branches(repo, r.HeadRef); ok {
		r.Head = head
	}
	return r.Request, nil
}

func (h *fakeHost) Update(ctx context.Context, repo, id string, c codehost.Change) (codehost.Request, error) {
	return h.with(ctx, "update", repo, id, func(r *fakeRequest) error {
		if r.State != codehost.StateOpen && r.State != codehost.StateDraft {
			h.t.Errorf("request %s of %s, which is %s, was updated", id, repo, r.State)
		}
		r.Title, r.Body, r.State = c.Title, c.Body, stateOf(c.Draft)
		return nil
	})
}

func (h *fakeHost) Close(ctx context.Context, repo, id string) (codehost.Request, error) {
	return h.with(ctx, "close", repo, id, func(r *fakeRequest) error {
		if r.State == codehost.StateMerged {
			h.t.Errorf("request %s of %s, which is merged, was closed", id, repo)
		}
		h.closed[repo+" "+r.HeadRef]++
		r.State = codehost.StateClosed
		return nil
	})
}

func (h *fakeHost) Reopen(ctx context.Context, repo, id string) (codehost.Request, error) {
	return h.with(ctx, "reopen", repo, id, func(r *fakeRequest) error {
		if r.State == codehost.StateMerged {
			return &codehost.Error{Op: "reopen", Host: "fake", Status: 422, Err: glovebox.ErrConflict}
		}
		r.State = codehost.StateOpen
		return nil
	})
}

func (h *fakeHost) Get(ctx context.Context, repo, id string) (codehost.Request, error) {
	return h.with(ctx, "get", repo, id, func(*fakeRequest) error { return nil })
}

func (h *fakeHost) List(context.Context, string, []string) ([]codehost.Request, error) {
	return nil, glovebox.ErrUnsupported
}

// set is what somebody else does to a request.
func (h *fakeHost) set(repo, branch string, change func(*codehost.Request)) {
	h.t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.requests {
		if r.repo == repo && r.HeadRef == branch {
			change(&r.Request)
			return
		}
	}
	h.t.Errorf("no request for %s %s", repo, branch)
}

// request is the one of a branch.
func (h *fakeHost) request(repo, branch string) (codehost.Request, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.requests {
		if r.repo == repo && r.HeadRef == branch {
			return r.Request, true
		}
	}
	return codehost.Request{}, false
}

func (h *fakeHost) count(method string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.calls[method]
}

func (h *fakeHost) setTrouble(trouble func(ctx context.Context, method, repo string) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.trouble = trouble
}

// fakeRemotes are what branches stand on, with codehost.Push's promises: the same options make the same commit; a
// branch that has it is left alone; one that has neither it nor what is expected is never overwritten.
type fakeRemotes struct {
	t        testing.TB
	mu       sync.Mutex
	branches map[string]string // "REMOTE BRANCH" to commit
	moves    map[string]int
	trouble  func(codehost.PushOptions) error
}

func newFakeRemotes(t testing.TB) *fakeRemotes {
	return &fakeRemotes{t: t, branches: map[string]string{}, moves: map[string]int{}}
}

func (f *fakeRemotes) Push(ctx context.Context, o codehost.PushOptions) (string, error) {
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trouble != nil {
		if err := f.trouble(o); err != nil {
			return "", err
		}
	}
	if o.Date.IsZero() || len(o.Patch) == 0 || o.Base == "" || o.Message == "" || o.AuthorEmail == "" {
		f.t.Errorf("push with options left out: %+v", o)
	}
	hash := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%s\x00%s", o.Base, o.Patch, o.Date.Unix(), o.Message, o.AuthorEmail))
	commit := hex.EncodeToString(hash[:20])
	key := o.Remote + " " + o.Branch
	switch now := f.branches[key]; now {
	case commit:
		return commit, nil
	case o.Expect:
	default:
		return "", &codehost.ForeignCommitsError{Branch: o.Branch, Head: now}
	}
	f.branches[key] = commit
	f.moves[key]++
	return commit, nil
}

func (f *fakeRemotes) head(remote, branch string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	commit, ok := f.branches[remote+" "+branch]
	return commit, ok
}

var errLine = errors.New("the line is cut")
