package web

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// livePart is one step's part of a followed log.
type livePart struct {
	log stepLog
	// from is the offset of the first record that log has not seen.
	from  int64
	dirty map[int]Line
}

// liveLog turns the records of a followed log into changed lines. Lines that end
// at or before shown are not reported: the page has them.
type liveLog struct {
	shown  int64
	end    int64
	marks  map[string]logMark
	parts  map[string]*livePart
	order  []string
	silent bool
}

func newLiveLog(marks map[string]logMark, shown int64) *liveLog {
	return &liveLog{shown: shown, end: shown, marks: marks, parts: map[string]*livePart{}}
}

// located is a record with where it stands in the log.
type located struct {
	rec     glovebox.LogRecord
	at, end int64
}

func (l *liveLog) add(r located) {
	part := l.parts[r.rec.Step]
	if part == nil {
		part = l.begin(r.rec.Step)
	}
	if r.at < part.from {
		return
	}
	l.silent = r.end <= l.shown
	part.log.add(r.rec)
	l.end = max(l.end, r.end)
	if len(part.dirty) > 2*maxWindow {
		for n := range part.dirty {
			if n <= part.log.lines-maxWindow {
				delete(part.dirty, n)
			}
		}
	}
}

func (l *liveLog) begin(key string) *livePart {
	m := l.marks[key]
	part := &livePart{from: m.offset, dirty: map[int]Line{}}
	part.log.resume(m.lines, m.styles)
	part.log.emit = func(n int, at time.Time, stream string, content *screen, _ bool) {
		if !l.silent {
			part.dirty[n] = Line{N: n, Time: at, Stream: stream, Spans: content.spans()}
		}
	}
	l.parts[key] = part
	l.order = append(l.order, key)
	return part
}

// linesEvent is the data of an event "lines": a step's changed lines in order.
// Where they don't join those before, the ones between were left out.
type linesEvent struct {
	Step  string `json:"step"`
	Lines []Line `json:"lines"`
}

// take returns what has changed since the last take.
func (l *liveLog) take() (events []linesEvent, lines int) {
	for _, key := range l.order {
		part := l.parts[key]
		if len(part.dirty) == 0 {
			continue
		}
		changed := make([]Line, 0, len(part.dirty))
		for _, line := range part.dirty {
			changed = append(changed, line)
		}
		clear(part.dirty)
		slices.SortFunc(changed, func(a, b Line) int { return a.N - b.N })
		changed = changed[max(0, len(changed)-maxWindow):]
		lines += len(changed)
		for batch := range slices.Chunk(changed, 500) {
			events = append(events, linesEvent{Step: key, Lines: batch})
		}
	}
	return events, lines
}

// follow sends the records of a log from an offset on until it ends, and closes
// the channel; problem is called first if it ended for another reason than its end.
func follow(ctx context.Context, r io.Reader, offset int64, out chan<- located, problem func(error)) {
	defer close(out)
	records := newRecordReader(r, offset)
	for {
		at := records.offset
		rec, err := records.next()
		if err != nil {
			if !errors.Is(err, io.EOF) && ctx.Err() == nil {
				problem(err)
			}
			return
		}
		select {
		case out <- located{rec, at, records.offset}:
		case <-ctx.Done():
			return
		}
	}
}
