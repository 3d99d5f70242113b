package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

// follow sends a log as it is written, attempt after attempt, until the job is over.
func (s *Server) follow(r *request, job glovebox.Job, q logRequest) error {
	s.Metrics.followers.Inc()
	defer s.Metrics.followers.Dec()
	ctx, done := s.untilStop(r.Context())
	defer done()
	w := newLogWriter(r.w, q)
	live := &liveReply{reply: r.w}
	w.out = live
	if err := live.Flush(); err != nil { // the headers, at once
		return err
	}
	stopBeat := live.beat(ctx, q.format, s.cfg.Heartbeat)
	defer stopBeat()
	attempt, offset := q.attempt, q.offset
	if attempt == 0 {
		attempt = max(job.Attempt, 1)
		if job.State == glovebox.StateQueued { // the log of what failed before is not what is waited for
			attempt = job.Attempt + 1
		}
	}
	for {
		w.at(attempt, offset)
		now, err := s.followAttempt(ctx, live, w, job.ID, attempt, offset)
		if err != nil {
			return err
		}
		if now.State.Final() && now.Attempt <= attempt || !q.onwards {
			return live.end(w, now)
		}
		attempt, offset = max(now.Attempt, attempt+1), 0
	}
}

// followAttempt sends one attempt's log to its end and returns the job as it was when the attempt
// was known to be over. An attempt that has not begun is waited for.
func (s *Server) followAttempt(ctx context.Context, live *liveReply, w *logWriter, jobID string, attempt int, offset int64) (glovebox.Job, error) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	var now glovebox.Job
	var watchErr error
	var watcher sync.WaitGroup
	watcher.Go(func() {
		defer close(over)
		now, watchErr = s.untilOver(ctx, jobID, attempt)
	})
	defer watcher.Wait()
	defer cancel()
	for chunk, err := range s.Logs.Chunks(ctx, jobID, attempt, offset, over) {
		if err != nil {
			return glovebox.Job{}, err
		}
		for line := range bytes.Lines(chunk) {
			if err := w.line(line); err != nil {
				return glovebox.Job{}, err
			}
		}
		if err := live.Flush(); err != nil {
			return glovebox.Job{}, err
		}
	}
	cancel()
	watcher.Wait()
	return now, watchErr
}

// untilOver waits for the end of an attempt: the job is final, queued again, or in a later attempt.
func (s *Server) untilOver(ctx context.Context, jobID string, attempt int) (glovebox.Job, error) {
	changes := s.Queue.Watch(ctx, jobID)
	// Another server on the same database may end the job unheard.
	poll := time.NewTicker(5 * time.Second)
	defer poll.Stop()
	for {
		job, err := s.Queue.Get(ctx, jobID)
		if err != nil {
			return job, err
		}
		job.Files, job.Timeline = nil, nil
		if job.Attempt > attempt || job.State.Final() || (job.Attempt == attempt && job.State == glovebox.StateQueued) {
			return job, nil
		}
		select {
		case <-changes:
		case <-poll.C:
		case <-ctx.Done():
			return job, context.Cause(ctx)
		}
	}
}

// liveReply is a reply that two write to: who follows, and who says that it is still alive.
type liveReply struct {
	mu    sync.Mutex
	reply *reply
	buf   bytes.Buffer
	last  time.Time
}

// maxLive is how much is gathered before it is sent.
const maxLive = 64 << 10

func (l *liveReply) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	if l.buf.Len() >= maxLive {
		return len(p), l.send()
	}
	return len(p), nil
}

// send passes on what was gathered; the caller holds mu. A client that does not take it runs into
// the reply's deadline.
func (l *liveReply) send() error {
	l.last = time.Now()
	_, err := l.buf.WriteTo(l.reply)
	return err
}

// Flush sends everything written so far.
func (l *liveReply) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.send(); err != nil {
		return err
	}
	return l.reply.FlushError()
}

// beat writes a comment whenever there was no news for the interval, until it is stopped.
// Forms that have no comments get none.
func (l *liveReply) beat(ctx context.Context, format string, every time.Duration) (stop func()) {
	if format != formatEvents {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var beats sync.WaitGroup
	beats.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				l.alive(every)
			}
		}
	})
	return func() { cancel(); beats.Wait() }
}

// alive writes the comment between two events. That it can't be written shows at the next event, or when
// the connection is found closed.
func (l *liveReply) alive(every time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buf.Len() > 0 || time.Since(l.last) < every/2 {
		return
	}
	l.buf.WriteString(": alive\n\n")
	if l.send() == nil {
		_ = l.reply.FlushError()
	}
}

// end says how the job ended, where the form can.
func (l *liveReply) end(w *logWriter, job glovebox.Job) error {
	if w.format == formatEvents {
		raw, err := json.Marshal(api.LogEnd{State: job.State, Reason: job.Reason})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(l, "event: %s\ndata: %s\n\n", api.LogEventEnd, raw); err != nil {
			return err
		}
	}
	return l.Flush()
}
