package changeset

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

// publish brings branch and request to what is wanted.
func (s *step) publish(ctx context.Context, at place) error {
	if s.c.ExternalID != "" {
		request, err := s.ask(ctx, at)
		if err != nil {
			return err
		}
		closed := request.State == codehost.StateClosed && !s.c.ClosedByUs
		if request.State == codehost.StateMerged || closed || s.c.Publish == glovebox.PublishedNo || s.asWanted(request) {
			return s.seen(ctx, request, nil)
		}
		if request.State == codehost.StateClosed { // before the push: some hosts reopen none whose branch has moved
			if _, err := at.host.Client.Reopen(ctx, at.name, s.c.ExternalID); err != nil {
				return err
			}
			if err := s.save(ctx, func(c *Changeset) { c.ClosedByUs = false }); err != nil {
				return err
			}
		}
	}
	if err := s.finishPush(ctx, at); err != nil {
		return err
	}
	if s.c.Publish == glovebox.PublishedNo { // what was pushed is not taken back
		if at.host == nil {
			return s.rest(ctx, glovebox.ChangesetOpen)
		}
		return s.rest(ctx, glovebox.ChangesetUnpublished)
	}
	if admitted, err := s.admit(ctx); err != nil || !admitted {
		return err
	}
	if s.c.Pushed != pushSum(*s.c.Wanted) {
		if err := s.begin(ctx, effectPush); err != nil {
			return err
		}
		if err := s.finishPush(ctx, at); err != nil {
			return err
		}
	}
	if at.host == nil {
		return s.rest(ctx, glovebox.ChangesetOpen)
	}
	return s.request(ctx, at)
}

// asWanted reports whether nothing is to be done about an open request.
func (s *step) asWanted(r codehost.Request) bool {
	return s.c.Effect == nil && s.c.Pushed == pushSum(*s.c.Wanted) && s.c.Sent == sentSum(*s.c.Wanted, s.c.Publish) &&
		(r.State == codehost.StateOpen || r.State == codehost.StateDraft)
}

// admit waits for the rollout window before the first publication: it takes a place in it, or puts the
// changeset off and reports false.
func (s *step) admit(ctx context.Context) (bool, error) {
	if s.c.PublishedAt != nil {
		return true, nil
	}
	s.publishing.Lock()
	defer s.publishing.Unlock()
	now := s.now()
	next := s.Rollout.Next(now)
	if !next.After(now) && s.Rollout.Rate > 0 {
		n, first, err := s.Store.PublishedSince(ctx, now.Add(-s.Rollout.Per))
		if err != nil {
			return false, &transientError{err}
		}
		if n >= s.Rollout.Rate {
			next = first.Add(s.Rollout.Per)
		}
	}
	if next.After(now) {
		return false, s.settle(ctx, func(c *Changeset) { c.State = glovebox.ChangesetScheduled }, func(Changeset) *time.Time { return &next })
	}
	return true, s.save(ctx, func(c *Changeset) { c.PublishedAt, c.State = &now, glovebox.ChangesetPublishing })
}

// begin writes down what is about to be done.
func (s *step) begin(ctx context.Context, kind string) error {
	now := s.now()
	wanted, diff := *s.c.Wanted, s.c.DiffKey
	return s.save(ctx, func(c *Changeset) {
		c.Effect, c.State = &Effect{Kind: kind, At: now, Wanted: wanted, DiffKey: diff}, glovebox.ChangesetPublishing
	})
}

// finishPush does the push that was begun, if one was: the very same commit as the try before it, so that a push that
// got through is recognised.
func (s *step) finishPush(ctx context.Context, at place) error {
	if s.c.Effect == nil || s.c.Effect.Kind != effectPush {
		return nil
	}
	effect := *s.c.Effect
	commit, err := s.push(ctx, at, effect)
	if err != nil {
		if isPermanent(err) { // nothing of it is at the remote
			if saved := s.save(ctx, func(c *Changeset) { c.Effect = nil }); saved != nil && !errors.Is(saved, errNewer) {
				return saved
			}
		}
		return err
	}
	return s.save(ctx, func(c *Changeset) {
		c.Effect, c.Head, c.Pushed = nil, commit, pushSum(effect.Wanted)
	})
}

// target is where a branch is pushed to.
type target struct {
	remote          string
	username, token string
	transports      []string
	// headRepo is the fork, if it is one.
	headRepo string
}

// target finds where to push to. A code host's token goes where its own client says the repository is.
func (s *step) target(ctx context.Context, at place, wanted glovebox.ChangesetSpec) (target, error) {
	if at.host == nil {
		if wanted.Fork {
			return target{}, permanent("a plain git remote has no forks")
		}
		return target{remote: at.remote.Remote, username: at.remote.Username, token: at.remote.Password, transports: []string{at.remote.Scheme}}, nil
	}
	find := at.host.Client.Repository
	if wanted.Fork {
		find = at.host.Client.Fork
	}
	repo, err := find(ctx, at.name)
	switch {
	case err != nil:
		return target{}, err
	case repo.Archived:
		return target{}, permanent("the repository is archived: unarchive it or leave it out")
	case !repo.Push:
		return target{}, permanent("the code host's token may not push to the repository")
	}
	to := target{remote: repo.CloneURL, username: at.host.Username, token: at.host.Token}
	if wanted.Fork {
		to.headRepo = repo.Name
	}
	return to, nil
}

// push makes the commit and pushes it.
func (s *step) push(ctx context.Context, at place, e Effect) (string, error) {
	diff, err := s.readBlob(ctx, e.DiffKey, MaxDiff)
	if errors.Is(err, glovebox.ErrNotFound) {
		return "", permanent("the diff is gone: run the batch spec again")
	}
	if err != nil {
		return "", &transientError{fmt.Errorf("read diff: %w", err)}
	}
	to, err := s.target(ctx, at, e.Wanted)
	if err != nil {
		return "", err
	}
	dir, err := s.Mirrors.GitDir(ctx, at.repo, e.Wanted.BaseCommit)
	if errors.Is(err, glovebox.ErrNotFound) {
		return "", permanent("the commit %.12s that the diff is against is gone: run the batch spec again", e.Wanted.BaseCommit)
	}
	if err != nil {
		return "", err
	}
	return s.Push(ctx, codehost.PushOptions{
		GitDir: dir, Remote: to.remote, Username: to.username, Token: to.token, Transports: to.transports,
		Branch: e.Wanted.Branch, BaseRef: e.Wanted.BaseRef, Base: e.Wanted.BaseCommit, Patch: diff,
		Message: e.Wanted.Message, AuthorName: e.Wanted.AuthorName, AuthorEmail: e.Wanted.AuthorEmail, Date: e.At, Expect: s.c.Head,
	})
}

// change is what the request is to say.
func change(wanted glovebox.ChangesetSpec, publish glovebox.Published, headRepo string) codehost.Change {
	return codehost.Change{
		Title: wanted.Title, Body: wanted.Body, Branch: wanted.Branch, Base: strings.TrimPrefix(wanted.BaseRef, "refs/heads/"),
		HeadRepo: headRepo, Draft: publish == glovebox.PublishedDraft,
	}
}

// open opens the request of a branch that was pushed, or finds it open, and writes it down.
func (s *step) open(ctx context.Context, at place, wanted glovebox.ChangesetSpec) (codehost.Request, error) {
	headRepo := ""
	if wanted.Fork {
		to, err := s.target(ctx, at, wanted)
		if err != nil {
			return codehost.Request{}, err
		}
		headRepo = to.headRepo
	}
	publish := s.c.Publish
	request, err := at.host.Client.Open(ctx, at.name, change(wanted, publish, headRepo))
	if err != nil {
		return request, err
	}
	sent := sentSum(wanted, publish)
	if request.Title != wanted.Title || (request.State == codehost.StateDraft) != (publish == glovebox.PublishedDraft) {
		sent = "" // it was there before
	}
	return request, s.save(ctx, func(c *Changeset) {
		c.Effect, c.ExternalID, c.ExternalURL, c.Sent = nil, request.ID, request.URL, sent
	})
}

// request opens the request, or updates it.
func (s *step) request(ctx context.Context, at place) error {
	wanted, publish := *s.c.Wanted, s.c.Publish
	var request codehost.Request
	var err error
	if s.c.ExternalID == "" {
		if s.c.Effect == nil {
			if err := s.begin(ctx, effectOpen); err != nil {
				return err
			}
		}
		if request, err = s.open(ctx, at, wanted); err != nil {
			return err
		}
	}
	if s.c.Sent != sentSum(wanted, publish) {
		if request, err = at.host.Client.Update(ctx, at.name, s.c.ExternalID, change(wanted, publish, "")); err != nil {
			return err
		}
	}
	if request.ID == "" { // only the branch has changed
		if request, err = s.ask(ctx, at); err != nil {
			return err
		}
	}
	return s.seen(ctx, request, func(c *Changeset) { c.Sent = sentSum(wanted, publish) })
}
