package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/logs"
)

// Forms in which a log is sent.
const (
	formatText   = "text"
	formatJSONL  = "jsonl"
	formatEvents = "events"
)

// logRequest is which part of a log is asked for, and how.
type logRequest struct {
	attempt int  // 0 is the latest, and while following each that comes
	onwards bool // follow the attempts after attempt, too
	step    string
	offset  int64
	format  string
	follow  bool
}

func readLogRequest(r *request) (logRequest, error) {
	var q logRequest
	attempt, err := r.number("attempt", 1<<30)
	if err != nil {
		return q, err
	}
	if q.offset, err = r.number("offset", 1<<60); err != nil {
		return q, err
	}
	q.attempt, q.step, q.format = int(attempt), r.URL.Query().Get("step"), r.URL.Query().Get("format")
	q.onwards = attempt == 0
	events := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	q.follow = r.flag("follow") || events
	switch {
	case q.format == "" && q.follow:
		q.format = formatEvents
	case q.format == "":
		q.format = formatText
	case q.format != formatText && q.format != formatJSONL:
		return q, invalid("parameter format: want text or jsonl")
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" && q.format == formatEvents {
		a, o, ok := api.ParseLogPosition(last)
		if !ok {
			return q, invalid("Last-Event-ID: want the id of an event of this log")
		}
		if q.attempt == 0 || q.attempt == a {
			q.attempt, q.offset = a, o
		}
	}
	return q, nil
}

func (s *Server) getLog(r *request) error {
	q, err := readLogRequest(r)
	if err != nil {
		return err
	}
	job, err := s.job(r)
	if err != nil {
		return err
	}
	if q.attempt > job.Attempt {
		return fmt.Errorf("job %s has no attempt %d: %w", job.ID, q.attempt, glovebox.ErrNotFound)
	}
	job.Files, job.Steps, job.Timeline = nil, nil, nil // a follower lives for hours
	h := r.w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Content-Type", map[string]string{
		formatText: "text/plain; charset=utf-8", formatJSONL: "application/x-ndjson", formatEvents: "text/event-stream",
	}[q.format])
	if q.follow {
		h.Set("X-Accel-Buffering", "no")
		return s.follow(r, job, q)
	}
	if q.attempt == 0 {
		q.attempt = job.Attempt
	}
	return s.copyLog(r.Context(), newLogWriter(r.w, q), job.ID, q.attempt, q.offset)
}

// copyLog sends the log as it is now.
func (s *Server) copyLog(ctx context.Context, w *logWriter, jobID string, attempt int, offset int64) error {
	in, err := s.Logs.Open(ctx, jobID, attempt, offset)
	if err != nil {
		return err
	}
	defer in.Close()
	w.at(attempt, offset)
	out := bufio.NewWriterSize(w.out, 32<<10)
	w.out = out
	lines := bufio.NewReaderSize(in, 64<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return out.Flush() // a line without its end is still being written
		}
		if err != nil {
			return err
		}
		if err := w.line(line); err != nil {
			return err
		}
		if len(line) > logs.MaxLine+1 {
			return fmt.Errorf("read log: a line of %d bytes", len(line))
		}
	}
}

// logWriter writes a log's lines in the form asked for. Only whole, valid records of the step get through.
type logWriter struct {
	out     io.Writer
	format  string
	step    string
	console *logs.Console
	attempt int
	offset  int64 // after the last line
}

func newLogWriter(out io.Writer, q logRequest) *logWriter {
	w := &logWriter{out: out, format: q.format, step: q.step}
	if q.format == formatText {
		through := writerFunc(func(p []byte) (int, error) { return w.out.Write(p) })
		// Control sequences of a hostile step must not reach the terminal of who reads with curl.
		w.console = logs.NewConsole(logs.ConsoleOptions{Stdout: through, Stderr: through})
	}
	return w
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// at says which attempt's lines come next, and from which offset.
func (w *logWriter) at(attempt int, offset int64) { w.attempt, w.offset = attempt, offset }

func (w *logWriter) line(line []byte) error {
	w.offset += int64(len(line))
	record, err := logs.Decode(line)
	if err != nil || (w.step != "" && record.Step != w.step) {
		return nil
	}
	switch w.format {
	case formatText:
		return w.console.Write(record)
	case formatJSONL:
		_, err = w.out.Write(line)
	default:
		_, err = fmt.Fprintf(w.out, "event: %s\nid: %s\ndata: %s\n\n", api.LogEventRecord, api.FormatLogPosition(w.attempt, w.offset), strings.TrimSuffix(string(line), "\n"))
	}
	return err
}
