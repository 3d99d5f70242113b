package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

const (
	// tailLines is how many lines of each step a page shows at first, pageLines
	// how many a step gets when the whole page would grow beyond maxPageLines.
	tailLines    = 500
	pageLines    = 20
	maxPageLines = 4000
	// maxWindow bounds the lines of one answer to a script.
	maxWindow = 2000
	maxHits   = 1000
	// maxQuery bounds a search text.
	maxQuery = 200
)

// eachLine calls show for lines from to to of a step, each once, when it is
// complete as far as the log goes, in no particular order between streams.
func (s *site) eachLine(ctx context.Context, job glovebox.Job, x *logIndex, step string, from, to int, show func(n int, at time.Time, stream string, content *screen)) error {
	m := x.markOf(step, from)
	_, end := x.lines(step)
	r, err := s.Logs.Open(ctx, job.ID, job.Attempt, m.offset)
	if errors.Is(err, glovebox.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	log := stepLog{emit: func(n int, at time.Time, stream string, content *screen, last bool) {
		if last && n >= from && n <= to {
			show(n, at, stream, content)
		}
	}}
	log.resume(m.lines, m.styles)
	records := newRecordReader(r, m.offset)
	for records.offset < end && ctx.Err() == nil && (log.lines <= to || !log.settled()) {
		rec, err := records.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if rec.Step == step {
			log.add(rec)
		}
	}
	for i := range log.streams {
		if st := &log.streams[i]; st.open && st.n >= from && st.n <= to {
			show(st.n, st.time, streamNames[i], &st.screen)
		}
	}
	return ctx.Err()
}

// window returns lines from to to of a step, in order.
func (s *site) window(ctx context.Context, job glovebox.Job, x *logIndex, step string, from, to int) ([]Line, error) {
	total, _ := x.lines(step)
	from, to = max(from, 1), min(to, total)
	if from > to {
		return nil, nil
	}
	lines := make([]Line, to-from+1)
	err := s.eachLine(ctx, job, x, step, from, to, func(n int, at time.Time, stream string, content *screen) {
		lines[n-from] = Line{N: n, Time: at, Stream: stream, Spans: content.spans()}
	})
	for i := range lines {
		lines[i].N = from + i
	}
	return lines, err
}

// readLines answers a script's wish for a window of a step's log: lines "from"
// to "to", both inclusive.
func (s *site) readLines(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.jobAttempt(r, v)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	from, err1 := strconv.Atoi(q.Get("from"))
	to, err2 := strconv.Atoi(q.Get("to"))
	if err1 != nil || err2 != nil || from < 1 || to < from {
		return invalid("from and to must be line numbers")
	}
	x, err := s.index(r.Context(), job.ID, job.Attempt)
	if err != nil {
		return err
	}
	lines, err := s.window(r.Context(), job, x, q.Get("step"), from, min(to, from+maxWindow-1))
	if err != nil {
		return err
	}
	total, _ := x.lines(q.Get("step"))
	return writeJSON(w, struct {
		Lines []Line `json:"lines"`
		Total int    `json:"total"`
	}{lines, total})
}

// hit is a line that a search found.
type hit struct {
	Step string `json:"step"`
	N    int    `json:"n"`
}

// searchLog finds the lines of all steps that hold a text, letters of either case.
func (s *site) searchLog(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.jobAttempt(r, v)
	if err != nil {
		return err
	}
	query := strings.ToLower(r.URL.Query().Get("q"))
	if query == "" || len(query) > maxQuery {
		return invalid(fmt.Sprintf("q must have 1 to %d bytes", maxQuery))
	}
	x, err := s.index(r.Context(), job.ID, job.Attempt)
	if err != nil {
		return err
	}
	answer := struct {
		Hits []hit `json:"hits"`
		More bool  `json:"more"`
	}{Hits: []hit{}}
	for _, step := range logKeys(job) {
		total, _ := x.lines(step)
		ctx, stop := context.WithCancel(r.Context())
		err := s.eachLine(ctx, job, x, step, 1, total, func(n int, _ time.Time, _ string, content *screen) {
			if !strings.Contains(strings.ToLower(content.plainText()), query) {
				return
			}
			if len(answer.Hits) >= maxHits {
				answer.More = true
				stop()
				return
			}
			answer.Hits = append(answer.Hits, hit{step, n})
		})
		stop()
		if answer.More {
			break
		}
		if err != nil {
			return err
		}
	}
	return writeJSON(w, answer)
}

// downloadLog writes the log as plain text, or one step of it: what a terminal would have shown.
func (s *site) downloadLog(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.jobAttempt(r, v)
	if err != nil {
		return err
	}
	x, err := s.index(r.Context(), job.ID, job.Attempt)
	if err != nil {
		return err
	}
	keys := logKeys(job)
	if r.URL.Query().Has("step") {
		keys = []string{r.URL.Query().Get("step")}
	}
	attachment(w, job.ID+".log", "text/plain; charset=utf-8")
	for _, key := range keys {
		total, _ := x.lines(key)
		if total == 0 {
			continue
		}
		if len(keys) > 1 {
			if _, err := fmt.Fprintf(w, "== %s\n", stepTitle(key)); err != nil {
				return nil
			}
		}
		if err := s.writeText(w, r, job, x, key, total); err != nil {
			return cutOff(s, r, err)
		}
	}
	return nil
}

func (s *site) writeText(w io.Writer, r *http.Request, job glovebox.Job, x *logIndex, key string, total int) error {
	var writeErr error
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	err := s.eachLine(ctx, job, x, key, 1, total, func(_ int, at time.Time, _ string, content *screen) {
		if _, writeErr = fmt.Fprintf(w, "%s %s\n", at.UTC().Format("2006-01-02T15:04:05.000Z"), content.plainText()); writeErr != nil {
			stop()
		}
	})
	return errors.Join(writeErr, err)
}

// cutOff ends an answer whose body has begun: the visitor must see that it is not whole.
func cutOff(s *site, r *http.Request, err error) error {
	if r.Context().Err() == nil {
		s.Logger.Warn("cut off an answer", "path", r.URL.Path, "error", err)
	}
	panic(http.ErrAbortHandler)
}

// logKeys lists the parts of a job's log: the executor's own remarks and each step.
func logKeys(job glovebox.Job) []string {
	keys := []string{""}
	for i, step := range job.Steps {
		keys = append(keys, stepKey(step, i))
	}
	return keys
}

// stepKey is a step's key, or the one it gets when it has none.
func stepKey(step glovebox.Step, i int) string {
	if step.Key == "" {
		return "step-" + strconv.Itoa(i+1)
	}
	return step.Key
}

// stepTitle is what people read for a part of the log.
func stepTitle(key string) string {
	if key == "" {
		return "Glovebox"
	}
	return key
}

// attachment makes the answer a download which no browser will try to show.
func attachment(w http.ResponseWriter, name, contentType string) {
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": name})
	if disposition == "" {
		disposition = "attachment"
	}
	w.Header().Set("Content-Disposition", disposition)
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

func invalid(message string) error {
	return &glovebox.ValidationError{Problems: []glovebox.Problem{{Message: message}}}
}
