package logs

import (
	"bytes"
	"fmt"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// minCharge is what a record counts at least, so that a flood of empty lines ends in the limit too.
const minCharge = 16

// Limit lets pass the first max bytes of each step and drops the rest. EndStep says
// in one line what was dropped. Remarks of the executor always pass.
type Limit struct {
	next Sink
	max  int64
	now  func() time.Time

	mu    sync.Mutex
	steps map[string]*limited
}

type limited struct {
	used, cutBytes, cutLines int64
	// open holds, for each stream, that a record passed which promised that its line goes on.
	open map[string]bool
}

// NewLimit makes the sink; max is in bytes of text, newlines counted, no limit when 0.
func NewLimit(next Sink, max int64, now func() time.Time) *Limit {
	return &Limit{next: next, max: max, now: now, steps: map[string]*limited{}}
}

// Write passes the record on or drops it.
func (l *Limit) Write(record glovebox.LogRecord) error {
	if l.max <= 0 || record.Stream == glovebox.StreamSystem {
		return l.next.Write(record)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.steps[record.Step]
	if s == nil {
		s = &limited{open: map[string]bool{}}
		l.steps[record.Step] = s
	}
	size := int64(len(record.Text))
	if !record.Partial {
		size++
	}
	if charge := max(size, minCharge); s.cutLines == 0 && s.cutBytes == 0 && s.used+charge <= l.max {
		s.used += charge
		s.open[record.Stream] = record.Partial
		return l.next.Write(record)
	}
	s.cutBytes += size
	if !record.Partial {
		s.cutLines++
	}
	return nil
}

// Cut drops p, output of a step as it came and maybe empty, if that step's limit is reached, and
// reports whether it is. A flood then costs a count and no records.
func (l *Limit) Cut(step string, p []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.steps[step]
	if s == nil || s.cutBytes == 0 {
		return false
	}
	s.cutBytes += int64(len(p))
	s.cutLines += int64(bytes.Count(p, []byte{'\n'}))
	return true
}

// EndStep writes the line about what was cut from the step, if anything was.
func (l *Limit) EndStep(step string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.steps[step]
	delete(l.steps, step)
	if s == nil || s.cutBytes == 0 {
		return nil
	}
	for _, stream := range []string{glovebox.StreamStdout, glovebox.StreamStderr} {
		if s.open[stream] {
			if err := l.next.Write(glovebox.LogRecord{Time: l.now().UTC(), Step: step, Stream: stream}); err != nil {
				return err
			}
		}
	}
	text := fmt.Sprintf("log limit of %s reached: %d further lines (%d bytes) of this step were cut", glovebox.Size(l.max), s.cutLines, s.cutBytes)
	return l.next.Write(glovebox.LogRecord{Time: l.now().UTC(), Step: step, Stream: glovebox.StreamSystem, Text: text})
}
