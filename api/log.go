package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const submitWait = 10 * time.Minute

// Names of the events of a followed log. The id of a record's event is "ATTEMPT-OFFSET", the place after it.
const (
	LogEventRecord = "record"
	LogEventEnd    = "end"
)

// maxLogEvent bounds one line of an event stream.
const maxLogEvent = 1 << 20

func (q LogQuery) values() url.Values {
	values := url.Values{}
	if q.Attempt > 0 {
		values.Set("attempt", strconv.Itoa(q.Attempt))
	}
	if q.Offset > 0 {
		values.Set("offset", strconv.FormatInt(q.Offset, 10))
	}
	set(values, "step", q.Step)
	return values
}

// JobLog returns the log as it is now: JSON lines of glovebox.LogRecord, or text.
func (c *Client) JobLog(ctx context.Context, id string, q LogQuery) (io.ReadCloser, error) {
	values := q.values()
	values.Set("format", "jsonl")
	if q.Text {
		values.Set("format", "text")
	}
	return c.stream(ctx, expand(PathJobLog, id), values, "")
}

// FollowLog calls fn for each record, as they are written, until the job is over and returns
// how it ended. It waits for a queued job, and goes on with the next attempt after a failed
// one unless q names an attempt. After an error that is not fn's own the caller may go on
// from the last event's Attempt and Next; io.ErrUnexpectedEOF is a connection cut short.
func (c *Client) FollowLog(ctx context.Context, id string, q LogQuery, fn func(LogEvent) error) (LogEnd, error) {
	values := q.values()
	values.Set("follow", "1")
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A server that is there is heard of at least every 15 s.
	silence := time.AfterFunc(c.timeout, func() { cancel(errSilent) })
	defer silence.Stop()
	body, err := c.stream(ctx, expand(PathJobLog, id), values, "text/event-stream")
	if err != nil {
		return LogEnd{}, err
	}
	defer body.Close()
	var ev sseEvent
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxLogEvent)
	for lines.Scan() {
		silence.Reset(c.timeout)
		if !ev.line(lines.Text()) {
			continue
		}
		switch ev.name {
		case LogEventRecord:
			e, err := ev.record()
			if err != nil {
				return LogEnd{}, err
			}
			if err := fn(e); err != nil {
				return LogEnd{}, err
			}
		case LogEventEnd:
			var end LogEnd
			if err := json.Unmarshal([]byte(ev.data), &end); err != nil {
				return LogEnd{}, fmt.Errorf("read end of log: %w", err)
			}
			return end, nil
		}
		ev = sseEvent{}
	}
	if err := lines.Err(); err != nil {
		if errors.Is(context.Cause(ctx), errSilent) {
			err = errSilent
		}
		return LogEnd{}, fmt.Errorf("follow log: %w", err)
	}
	return LogEnd{}, fmt.Errorf("follow log: %w", io.ErrUnexpectedEOF)
}

var errSilent = errors.New("the server has gone silent")

// sseEvent gathers the fields of one server-sent event.
type sseEvent struct{ name, id, data string }

// line takes one line and reports whether the event is complete.
func (e *sseEvent) line(s string) bool {
	if s == "" {
		return e.name != ""
	}
	field, value, _ := strings.Cut(s, ":")
	value = strings.TrimPrefix(value, " ")
	switch field {
	case "event":
		e.name = value
	case "id":
		e.id = value
	case "data":
		e.data = value
	}
	return false
}

func (e *sseEvent) record() (LogEvent, error) {
	attempt, offset, ok := ParseLogPosition(e.id)
	if !ok {
		return LogEvent{}, errors.New("follow log: an event without its position")
	}
	out := LogEvent{Attempt: attempt, Next: offset}
	if err := json.Unmarshal([]byte(e.data), &out.Record); err != nil {
		return LogEvent{}, fmt.Errorf("read log record: %w", err)
	}
	return out, nil
}

// FormatLogPosition writes the id of a followed log's event.
func FormatLogPosition(attempt int, offset int64) string {
	return fmt.Sprintf("%d-%d", attempt, offset)
}

// ParseLogPosition reads what FormatLogPosition wrote.
func ParseLogPosition(s string) (attempt int, offset int64, ok bool) {
	a, o, found := strings.Cut(s, "-")
	attempt, errA := strconv.Atoi(a)
	offset, errO := strconv.ParseInt(o, 10, 64)
	return attempt, offset, found && errA == nil && errO == nil && attempt > 0 && offset >= 0
}
