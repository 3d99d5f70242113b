package logs

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

// FlushDelay is how long an unfinished line waits for its newline before it is shown.
const FlushDelay = 30 * time.Millisecond

// Lines turns the two byte streams of one step into records: one a line, longer
// lines split, unfinished ones shown after a short wait (a prompt, a progress bar),
// with what is not UTF-8 replaced by U+FFFD. Records stand in the order in which the
// bytes were written, over both streams. An error of the sink does not stop the
// step: it is kept and returned by Close.
type Lines struct {
	sink  Sink
	step  string
	now   func() time.Time
	delay time.Duration

	mu      sync.Mutex
	streams [2]*lineStream
	timer   *time.Timer
	// armed is set while the timer runs.
	armed  bool
	closed bool
	err    error
}

type lineStream struct {
	lines *Lines
	name  string
	// pending is what was not yet written as a record; open is set when the last record was Partial.
	pending []byte
	open    bool
}

// NewLines makes the writers of one step. A delay of zero is FlushDelay.
func NewLines(sink Sink, step string, now func() time.Time, delay time.Duration) *Lines {
	if delay == 0 {
		delay = FlushDelay
	}
	l := &Lines{sink: sink, step: step, now: now, delay: delay}
	for i, name := range []string{glovebox.StreamStdout, glovebox.StreamStderr} {
		l.streams[i] = &lineStream{lines: l, name: name}
	}
	return l
}

// Stdout and Stderr are the step's two streams.
func (l *Lines) Stdout() io.Writer { return l.streams[0] }

// Stderr is the step's second stream.
func (l *Lines) Stderr() io.Writer { return l.streams[1] }

// Close writes what is left and returns the sink's first error. Writes after it are dropped.
func (l *Lines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return l.err
	}
	l.closed = true
	if l.timer != nil {
		l.timer.Stop()
	}
	for _, s := range l.streams {
		if len(s.pending) > 0 || s.open {
			s.emit(s.pending, false)
			s.pending = nil
		}
	}
	return l.err
}

func (s *lineStream) Write(p []byte) (int, error) {
	l := s.lines
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(p) == 0 {
		return len(p), nil
	}
	for _, other := range l.streams {
		if other != s {
			other.flush()
		}
	}
	if l.cut(s, p) {
		return len(p), nil
	}
	rest := p
	for {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			break
		}
		line := rest[:i]
		if len(s.pending) > 0 {
			line = append(s.pending, line...)
			s.pending = nil
		}
		s.emit(line, false)
		rest = rest[i+1:]
	}
	s.pending = append(s.pending, rest...)
	if len(s.pending) >= glovebox.MaxLogText {
		s.flush()
	}
	l.schedule()
	return len(p), nil
}

// cut reports whether the sink has dropped p unseen: it would drop every record of it.
func (l *Lines) cut(s *lineStream, p []byte) bool {
	limit, ok := l.sink.(*Limit)
	if !ok || !limit.Cut(l.step, nil) {
		return false
	}
	s.flush()
	return len(s.pending) == 0 && limit.Cut(l.step, p)
}

// schedule has the timer run while something is unfinished. A timer that runs is left alone: a progress
// bar that writes faster than the delay is shown all the same.
func (l *Lines) schedule() {
	if l.armed || len(l.streams[0].pending) == 0 && len(l.streams[1].pending) == 0 {
		return
	}
	l.armed = true
	if l.timer == nil {
		l.timer = time.AfterFunc(l.delay, l.tick)
		return
	}
	l.timer.Reset(l.delay)
}

func (l *Lines) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	if l.closed {
		return
	}
	for _, s := range l.streams {
		s.flush()
	}
}

// flush shows an unfinished line, but for a character of which only a part has come.
func (s *lineStream) flush() {
	n := len(s.pending) - unfinished(s.pending)
	if n == 0 {
		return
	}
	s.emit(s.pending[:n], true)
	s.pending = append([]byte(nil), s.pending[n:]...)
}

// emit writes one line, or a part of it, as as many records as it needs.
func (s *lineStream) emit(line []byte, partial bool) {
	text := strings.ToValidUTF8(string(line), "\uFFFD")
	for {
		part, more := text, false
		if len(text) > glovebox.MaxLogText {
			n := glovebox.MaxLogText
			for !utf8.RuneStart(text[n]) {
				n--
			}
			part, text, more = text[:n], text[n:], true
		}
		s.open = partial || more
		record := glovebox.LogRecord{Time: s.lines.now().UTC(), Step: s.lines.step, Stream: s.name, Text: part, Partial: s.open}
		if err := s.lines.sink.Write(record); err != nil && s.lines.err == nil {
			s.lines.err = err
		}
		if !more {
			return
		}
	}
}

// unfinished returns how many bytes at the end of p may be the beginning of a character.
func unfinished(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		tail := p[len(p)-n:]
		if utf8.RuneStart(tail[0]) {
			if tail[0] >= utf8.RuneSelf && !utf8.FullRune(tail) {
				return n
			}
			return 0
		}
	}
	return 0
}
