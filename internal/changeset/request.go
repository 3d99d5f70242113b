package changeset

import (
	"context"
	"errors"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

// ask asks the code host for the changeset's request.
func (s *step) ask(ctx context.Context, at place) (codehost.Request, error) {
	if at.host == nil {
		return codehost.Request{}, permanent("its repository is at no code host that the server knows")
	}
	request, err := at.host.Client.Get(ctx, at.name, s.c.ExternalID)
	if errors.Is(err, glovebox.ErrNotFound) {
		return request, permanent("the code host has no request %s, or does not show it to us", s.c.ExternalID)
	}
	return request, err
}

// look asks for the request's state, and changes nothing there.
func (s *step) look(ctx context.Context, at place) error {
	request, err := s.ask(ctx, at)
	if err != nil {
		return err
	}
	return s.seen(ctx, request, nil)
}

// seen writes down what a request is, besides other facts, and ends the step.
func (s *step) seen(ctx context.Context, r codehost.Request, facts func(*Changeset)) error {
	now := s.now()
	return s.settle(ctx, func(c *Changeset) {
		if facts != nil {
			facts(c)
		}
		s.note(c, r)
		c.Error, c.Tries, c.SyncedAt = "", 0, &now
	}, func(c Changeset) *time.Time {
		if c.State == glovebox.ChangesetMerged || c.State == glovebox.ChangesetClosed && (c.ClosedByUs || c.Unchanged > maxClosedLooks) {
			return nil
		}
		next := now.Add(s.pollAfter(c))
		return &next
	})
}

// maxClosedLooks is how often a request that somebody closed is looked at, in case it is reopened.
const maxClosedLooks = 48

// note copies what a code host says of a request.
func (s *step) note(c *Changeset, r codehost.Request) {
	was := c.Changeset
	switch r.State {
	case codehost.StateOpen:
		c.State = glovebox.ChangesetOpen
	case codehost.StateDraft:
		c.State = glovebox.ChangesetDraft
	case codehost.StateMerged:
		c.State = glovebox.ChangesetMerged
	case codehost.StateClosed:
		c.State = glovebox.ChangesetClosed
	}
	if r.State != codehost.StateClosed {
		c.ClosedByUs = false
	}
	if r.URL != "" {
		c.ExternalURL = r.URL
	}
	c.Checks, c.Review = "", ""
	if r.Checks != codehost.ChecksNone {
		c.Checks = string(r.Checks)
	}
	if r.Review != codehost.ReviewNone {
		c.Review = string(r.Review)
	}
	if c.Imported {
		c.Title, c.Branch = oneLine(r.Title), r.HeadRef
	}
	if was.State == c.State && was.Checks == c.Checks && was.Review == c.Review {
		c.Unchanged++
	} else {
		c.Unchanged = 0
	}
}

// watchFailed sees whether a changeset that failed was merged or closed all the same.
func (s *step) watchFailed(ctx context.Context, at place) error {
	later := func(Changeset) *time.Time { next := s.now().Add(2 * s.PollMax); return &next }
	if s.c.ExternalID == "" {
		return s.settle(ctx, func(*Changeset) {}, never)
	}
	request, err := s.ask(ctx, at)
	if err == nil && (request.State == codehost.StateMerged || request.State == codehost.StateClosed) {
		return s.seen(ctx, request, nil)
	}
	if limited, ok := errors.AsType[*codehost.RateLimitError](err); ok {
		s.pauses.set(s.c.Lane, limited.Until)
	}
	return s.settle(ctx, func(*Changeset) {}, later) // why it failed is what the user is to read
}

// shut closes the changeset's request, if it has one that can be closed.
func (s *step) shut(ctx context.Context, at place) error {
	if s.c.ExternalID == "" && s.c.Effect != nil && s.c.Effect.Kind == effectOpen && at.host != nil {
		// Whether it was opened is not known: opening it again finds it.
		if _, err := s.open(ctx, at, s.c.Effect.Wanted); err != nil {
			return err
		}
	}
	if s.c.ExternalID == "" || at.host == nil { // what was pushed stays: somebody may build on it
		return s.settle(ctx, func(c *Changeset) {
			c.State, c.ClosedByUs, c.Error, c.Tries = glovebox.ChangesetClosed, true, "", 0
		}, never)
	}
	request, err := s.ask(ctx, at)
	if err != nil {
		return err
	}
	if request.State != codehost.StateOpen && request.State != codehost.StateDraft {
		return s.seen(ctx, request, nil)
	}
	// Written before, so that it is known to be our doing whatever happens.
	if err := s.save(ctx, func(c *Changeset) { c.ClosedByUs = true }); err != nil {
		return err
	}
	if request, err = at.host.Client.Close(ctx, at.name, s.c.ExternalID); err != nil {
		return err
	}
	return s.seen(ctx, request, nil)
}
