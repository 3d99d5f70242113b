package changeset

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

// step is one try at bringing a changeset to what it is to be. What is about to be done outside is written before, and
// what came of it after, so that whoever takes over after a crash does nothing twice.
type step struct {
	*Batches
	// c is the changeset as its row has it now.
	c Changeset
	// revision is the wish that this step is about.
	revision int
}

// Kinds of Effect.
const (
	effectPush = "push"
	effectOpen = "open"
)

// errNewer ends a step whose wish was replaced meanwhile: the changeset is due still.
var errNewer = errors.New("what is wanted has changed")

// run does the step and writes down its outcome. An error is one of the store.
func (s *step) run(ctx context.Context) error {
	bounded, cancel := context.WithTimeoutCause(ctx, s.StepTime, fmt.Errorf("no answer within %v", s.StepTime))
	defer cancel()
	err := s.do(bounded)
	switch {
	case err == nil, errors.Is(err, errNewer):
		return nil
	case ctx.Err() != nil: // a shutdown: it goes on after the next start
		return nil
	}
	if broken, ok := errors.AsType[*transientError](err); ok {
		return broken.error
	}
	return s.failed(ctx, err)
}

// do is the step.
func (s *step) do(ctx context.Context) error {
	at, err := s.find(ctx)
	if err != nil {
		return err
	}
	c := &s.c
	if c.Host != at.hostName() || c.Lane != at.lane() { // the operator's hosts have changed
		return s.save(ctx, func(c *Changeset) { c.Host, c.Lane = at.hostName(), at.lane() })
	}
	switch {
	case c.Imported:
		return s.look(ctx, at)
	case c.Closing:
		return s.shut(ctx, at)
	case c.State == glovebox.ChangesetMerged, c.Wanted == nil:
		return s.rest(ctx, c.State)
	case c.State == glovebox.ChangesetFailed && c.FailedRevision == c.Revision:
		return s.watchFailed(ctx, at)
	case !c.published() && c.Publish != glovebox.PublishedYes && c.Publish != glovebox.PublishedDraft:
		return s.rest(ctx, glovebox.ChangesetUnpublished)
	}
	return s.publish(ctx, at)
}

// find finds where the changeset's repository is.
func (s *step) find(ctx context.Context) (place, error) {
	repo, err := s.repository(ctx, s.c.Tenant, s.c.Repo)
	if errors.Is(err, glovebox.ErrNotFound) {
		return place{}, permanent("the repository is not at the git gateway any more")
	}
	if err != nil {
		return place{}, &transientError{err}
	}
	return s.placeOf(repo)
}

// save writes facts down, whatever was wished for meanwhile; errNewer when something was.
func (s *step) save(ctx context.Context, facts func(*Changeset)) error {
	// A fact that was made outside must not be lost because time is up.
	c, err := s.Store.UpdateChangeset(context.WithoutCancel(ctx), s.c.ID, func(c *Changeset) error {
		facts(c)
		c.UpdatedAt = s.now()
		return nil
	})
	if err != nil {
		return &transientError{err}
	}
	s.c = c
	if c.Revision != s.revision {
		return errNewer
	}
	return nil
}

// settle writes facts and when to look again. When something else was wished for meanwhile, that is at once.
func (s *step) settle(ctx context.Context, facts func(*Changeset), next func(Changeset) *time.Time) error {
	err := s.save(ctx, func(c *Changeset) {
		facts(c)
		if c.Revision == s.revision {
			c.NextAt = next(*c)
		}
	})
	if errors.Is(err, errNewer) {
		return nil
	}
	return err
}

func never(Changeset) *time.Time { return nil }

// rest leaves the changeset alone until somebody wants something of it.
func (s *step) rest(ctx context.Context, state glovebox.ChangesetState) error {
	return s.settle(ctx, func(c *Changeset) {
		c.State, c.Error, c.Tries = state, "", 0
		if state == glovebox.ChangesetOpen {
			c.ClosedByUs = false
		}
	}, never)
}

// permanentError is one that trying again won't mend.
type permanentError struct{ message string }

func (e *permanentError) Error() string { return e.message }

func permanent(format string, args ...any) error {
	return &permanentError{fmt.Sprintf(format, args...)}
}

// isPermanent reports whether trying again is no use before a user has done something.
func isPermanent(err error) bool {
	if _, ok := errors.AsType[*permanentError](err); ok {
		return true
	}
	for _, e := range []error{codehost.ErrForeignCommits, codehost.ErrBranchGone, codehost.ErrEmptyPatch, codehost.ErrPatch,
		glovebox.ErrUnsupported, glovebox.ErrTooLarge, glovebox.ErrConflict} {
		if errors.Is(err, e) {
			return true
		}
	}
	answer, ok := errors.AsType[*codehost.Error](err)
	return ok && !answer.Ambiguous && (answer.Status == http.StatusBadRequest || answer.Status == http.StatusUnprocessableEntity)
}

// failed writes down that a try went wrong, and when the next one is.
func (s *step) failed(ctx context.Context, err error) error {
	limited, isLimited := errors.AsType[*codehost.RateLimitError](err)
	now := s.now()
	text := oneLine(err.Error())
	if errors.Is(err, codehost.ErrForeignCommits) {
		text += ": merge or remove those commits, then apply again"
	}
	s.Logger.Warn("changeset", "changeset", s.c.ID, "repo", s.c.Repo, "branch", s.c.Branch, "error", text)
	if isLimited {
		until := limited.Until
		if !until.After(now) {
			until = now.Add(time.Second)
		}
		s.pauses.set(s.c.Lane, until)
		return s.settled(ctx, func(c *Changeset) { c.Error = text }, func(Changeset) *time.Time { return &until })
	}
	over := isPermanent(err)
	return s.settled(ctx, func(c *Changeset) {
		c.Error = text
		c.Tries++
		watching := c.Effect == nil && !c.Closing && (c.State == glovebox.ChangesetOpen || c.State == glovebox.ChangesetDraft || c.Imported)
		if c.Revision == s.revision && (over || c.Tries >= s.MaxTries && !watching) {
			c.State, c.FailedRevision = glovebox.ChangesetFailed, c.Revision
		}
	}, func(c Changeset) *time.Time {
		next := now.Add(s.Backoff(c.Tries))
		switch {
		case c.State != glovebox.ChangesetFailed:
		case c.ExternalID == "":
			return nil
		default: // its request may be merged or closed all the same
			next = now.Add(2 * s.PollMax)
		}
		return &next
	})
}

// settled is settle for failures: only the store's are left.
func (s *step) settled(ctx context.Context, facts func(*Changeset), next func(Changeset) *time.Time) error {
	err := s.settle(ctx, facts, next)
	if broken, ok := errors.AsType[*transientError](err); ok {
		return broken.error
	}
	return err
}
