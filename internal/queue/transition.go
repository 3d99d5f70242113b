package queue

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

// become moves the record to a state, if the state machine has that transition.
func (r *Record) become(next glovebox.State) error {
	if !r.Job.State.CanBecome(next) {
		return fmt.Errorf("job %s can't go from %s to %s: %w", r.Job.ID, r.Job.State, next, glovebox.ErrConflict)
	}
	r.Job.State = next
	r.Job.CancelRequested = false
	r.LeaseExpires = time.Time{}
	return nil
}

// finish ends the job in a final state.
func (r *Record) finish(state glovebox.State, reason string, now time.Time) error {
	if err := r.become(state); err != nil {
		return err
	}
	r.Job.Reason = reason
	r.Job.FinishedAt = &now
	r.Job.NotBefore = nil
	return nil
}

// requeue returns the job to the queue, to be handed out from notBefore on; at once when it is zero.
func (r *Record) requeue(reason string, notBefore time.Time) error {
	if err := r.become(glovebox.StateQueued); err != nil {
		return err
	}
	r.Job.Reason = reason
	r.Job.NotBefore = nil
	if !notBefore.IsZero() {
		r.Job.NotBefore = &notBefore
	}
	r.Job.StartedAt, r.Job.FinishedAt, r.Job.Result = nil, nil, nil
	return nil
}

// errored ends an attempt that failed through no fault of the job: a job whose cancel was
// asked for is canceled, one with attempts left is queued with back-off, another is errored.
func (q *Queue) errored(r *Record, actor, reason string, now time.Time) ([]glovebox.Event, error) {
	event := glovebox.Event{Time: now, Actor: actor, Attempt: r.Job.Attempt, Message: reason}
	switch {
	case r.Job.CancelRequested:
		event.Kind, event.Message = glovebox.EventFinished, r.Job.Reason
		return []glovebox.Event{event}, r.finish(glovebox.StateCanceled, r.Job.Reason, now)
	case r.Job.Attempt < r.LastAttempt:
		made := max(r.Job.Attempts, 1) - (r.LastAttempt - r.Job.Attempt)
		wait := q.opt.Backoff(made)
		event.Kind = glovebox.EventRequeued
		event.Message = fmt.Sprintf("%s; attempt %d of %d, the next one in %s", reason, made, r.Job.Attempts, wait.Round(time.Millisecond))
		return []glovebox.Event{event}, r.requeue(reason, now.Add(wait))
	default:
		event.Kind = glovebox.EventFinished
		return []glovebox.Event{event}, r.finish(glovebox.StateErrored, reason, now)
	}
}

// maxMessage bounds texts that came from outside and are kept on a job or its timeline.
const maxMessage = 1000

// oneLine makes a text from outside fit for a reason or a timeline: valid UTF-8
// without control characters, at most maxMessage bytes.
func oneLine(s string) string {
	if len(s) > maxMessage {
		cut := maxMessage
		for cut > maxMessage-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	s = strings.ToValidUTF8(s, "\ufffd")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}
