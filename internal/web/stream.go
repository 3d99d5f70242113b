package web

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

const (
	// listEvery is the least time between two "change" events of the jobs list.
	listEvery = 500 * time.Millisecond
	// floodEvery is the least time between two batches of lines once a batch was larger than flood.
	floodEvery = 100 * time.Millisecond
	flood      = 200
)

// streamJobs tells the jobs list when to look again.
func (s *site) streamJobs(w http.ResponseWriter, r *http.Request, v *visitor) error {
	return s.streamChanges(w, r, v, func(ctx context.Context) <-chan struct{} { return s.Jobs.Watch(ctx, "") })
}

// streamChanges sends an event "change" for what watch delivers, not too often.
func (s *site) streamChanges(w http.ResponseWriter, r *http.Request, v *visitor, watch func(context.Context) <-chan struct{}) error {
	stream, done, err := s.openStream(w, r, v)
	if err != nil {
		return err
	}
	defer done()
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	changes := watch(ctx)
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-stream.stopping:
			return nil
		case _, open := <-changes:
			if !open {
				return nil
			}
			if err = stream.send("change", "", struct{}{}); err == nil {
				pause(ctx, listEvery)
			}
		case <-ticker.C:
			if err = s.stillWelcome(r); err == nil {
				err = stream.ping()
			}
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// jobStream is one client that watches one job.
type jobStream struct {
	site   *site
	r      *http.Request
	out    *eventStream
	job    glovebox.Job
	live   *liveLog
	lines  chan located
	done   chan struct{} // closed when the log gets no more
	ended  bool          // done is closed
	stop   context.CancelFunc
	closed chan struct{} // the follower is gone
}

// streamJob sends events of a job: "attempt" when a log begins, "lines" as it
// grows, "change" when anything else of the job changed, "end" when all is over.
func (s *site) streamJob(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.job(r, v)
	if err != nil {
		return err
	}
	attempt, offset := resumePoint(r)
	if attempt != job.Attempt {
		offset = 0
	}
	out, done, err := s.openStream(w, r, v)
	if err != nil {
		return err
	}
	defer done()
	js := &jobStream{site: s, r: r, out: out, job: job}
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	changes := s.Jobs.Watch(ctx, job.ID)
	// The job is read again now that no change can be missed.
	if err := js.follow(ctx, offset); err != nil {
		s.Logger.Warn("stream a job", "job", job.ID, "error", err)
		return nil
	}
	defer func() { js.unfollow() }()
	if err := js.changed(ctx); err == nil {
		err = js.run(ctx, changes)
		if err != nil && ctx.Err() == nil {
			s.Logger.Debug("end a job's stream", "job", job.ID, "error", err)
		}
	}
	return nil
}

// resumePoint reads where a client stopped: "ATTEMPT-OFFSET".
func resumePoint(r *http.Request) (attempt int, offset int64) {
	id := r.Header.Get("Last-Event-ID")
	if id == "" {
		id = r.URL.Query().Get("after")
	}
	a, o, _ := strings.Cut(id, "-")
	attempt, err1 := strconv.Atoi(a)
	offset, err2 := strconv.ParseInt(o, 10, 64)
	if err1 != nil || err2 != nil || attempt < 0 || offset < 0 {
		return -1, 0
	}
	return attempt, offset
}

// follow begins to read the log of the job's present attempt.
func (js *jobStream) follow(ctx context.Context, offset int64) error {
	x, err := js.site.index(ctx, js.job.ID, js.job.Attempt)
	if err != nil {
		return err
	}
	offset = min(offset, x.size())
	marks, least := x.starts(offset)
	js.live = newLiveLog(marks, offset)
	js.done, js.ended, js.closed = make(chan struct{}), false, make(chan struct{})
	js.lines = make(chan located, 256)
	ctx, js.stop = context.WithCancel(ctx)
	log, err := js.site.Logs.Follow(ctx, js.job.ID, js.job.Attempt, least, js.done)
	if err != nil {
		js.stop()
		close(js.closed)
		return err
	}
	lines, closed, id := js.lines, js.closed, js.job.ID
	go func() {
		defer close(closed)
		defer log.Close()
		follow(ctx, log, least, lines, func(err error) { js.site.Logger.Warn("follow a log", "job", id, "error", err) })
	}()
	return nil
}

// unfollow ends the reading and waits for it.
func (js *jobStream) unfollow() {
	if js.stop != nil {
		js.stop()
		<-js.closed
	}
}

// changed reads the job again and tells the client.
func (js *jobStream) changed(ctx context.Context) error {
	job, err := js.site.Jobs.Get(ctx, js.job.ID)
	if err != nil {
		return err
	}
	again := job.Attempt != js.job.Attempt
	js.job = job
	if again {
		js.unfollow()
		if err := js.follow(ctx, 0); err != nil {
			return err
		}
	}
	if err := js.out.send("attempt", "", job.Attempt); err != nil {
		return err
	}
	if job.State.Final() && !js.ended {
		js.ended = true
		close(js.done)
	}
	return js.out.send("change", "", job.State)
}

// run passes everything on until the job is over or the client is gone.
func (js *jobStream) run(ctx context.Context, changes <-chan struct{}) error {
	ticker := time.NewTicker(keepAlive)
	defer ticker.Stop()
	flush := time.NewTimer(0)
	defer flush.Stop()
	var notBefore time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-js.out.stopping:
			return nil
		case _, open := <-changes:
			if !open {
				return nil
			}
			if err := js.changed(ctx); err != nil {
				return err
			}
		case line, open := <-js.lines:
			if !open {
				return js.finish()
			}
			js.live.add(line)
			js.drain()
			flush.Reset(max(0, time.Until(notBefore)))
		case <-flush.C:
			n, err := js.flush()
			if err != nil {
				return err
			}
			if n > flood {
				notBefore = time.Now().Add(floodEvery)
			}
		case <-ticker.C:
			if err := js.site.stillWelcome(js.r); err != nil {
				return err
			}
			if err := js.out.ping(); err != nil {
				return err
			}
		}
	}
}

// drain takes what is there already, so that one event carries many lines.
func (js *jobStream) drain() {
	for range maxWindow {
		select {
		case line, open := <-js.lines:
			if !open {
				// A closed channel is found closed again by the caller.
				return
			}
			js.live.add(line)
		default:
			return
		}
	}
}

// flush sends the changed lines. The last event's id is where to go on.
func (js *jobStream) flush() (lines int, err error) {
	events, lines := js.live.take()
	for i, event := range events {
		id := ""
		if i == len(events)-1 {
			id = fmt.Sprintf("%d-%d", js.job.Attempt, js.live.end)
		}
		if err := js.out.send("lines", id, event); err != nil {
			return lines, err
		}
	}
	return lines, nil
}

// finish sends what is left, and the end if the job is over. A log that ended
// for another reason ends the stream only: the client comes back.
func (js *jobStream) finish() error {
	if _, err := js.flush(); err != nil || !js.ended {
		return err
	}
	return js.out.send("end", "", js.job.State)
}
