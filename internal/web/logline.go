package web

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

// Line is one shown line of a step's log. Its number, from 1, never changes; its
// content may while it is the last of its stream.
type Line struct {
	N      int       `json:"n"`
	Time   time.Time `json:"at"`
	Stream string    `json:"s"`
	Spans  []Span    `json:"x"`
}

// maxOpenFor is how many lines of other streams may follow a line that has not
// ended before it is taken as ended: it bounds how far back a reader must begin.
const maxOpenFor = 1000

// stream is the line being written of one stream of a step.
type stream struct {
	screen screen
	open   bool
	n      int
	time   time.Time
}

// stepLog turns the records of one step into lines. emit is called with each
// line whenever it has changed, with a way to read it; last says it will not change any more.
type stepLog struct {
	lines   int
	streams [3]stream
	emit    func(n int, at time.Time, name string, content *screen, last bool)
}

var streamNames = [3]string{glovebox.StreamStdout, glovebox.StreamStderr, glovebox.StreamSystem}

func streamIndex(name string) int {
	for i, n := range streamNames {
		if n == name {
			return i
		}
	}
	return 2
}

// add takes the next record.
func (l *stepLog) add(rec glovebox.LogRecord) {
	i := streamIndex(rec.Stream)
	s := &l.streams[i]
	l.begin(s, rec.Time)
	if l.emit == nil && !rec.Partial && len(s.screen.cells) == 0 && s.screen.state == ground && isPlain(rec.Text) {
		s.open = false // nobody looks, and the text leaves nothing behind
		return
	}
	s.screen.write(rec.Text, func() {
		l.show(i, true)
		s.open = false
		l.begin(s, rec.Time)
	})
	l.show(i, !rec.Partial)
	if !rec.Partial {
		s.open = false
		s.screen.end()
	}
}

// isPlain reports whether a text is one line of printable ASCII.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < 0x20 || text[i] > 0x7e {
			return false
		}
	}
	return len(text) <= maxCells
}

// begin opens a new line unless the stream has one open.
func (l *stepLog) begin(s *stream, at time.Time) {
	if s.open && l.lines-s.n < maxOpenFor {
		return
	}
	if s.open {
		s.screen.end()
	}
	l.lines++
	s.open, s.n, s.time = true, l.lines, at
}

func (l *stepLog) show(i int, last bool) {
	if l.emit != nil {
		s := &l.streams[i]
		l.emit(s.n, s.time, streamNames[i], &s.screen, last)
	}
}

// settled reports whether no line is open, so that a reader may begin here.
func (l *stepLog) settled() bool {
	for i := range l.streams {
		if s := &l.streams[i]; s.open && l.lines-s.n < maxOpenFor {
			return false
		}
	}
	return true
}

// styles returns the streams' styles, to go on from later.
func (l *stepLog) styles() (out [3]style) {
	for i := range l.streams {
		out[i] = l.streams[i].screen.style
	}
	return out
}

// resume sets the state of a log that has this many lines, none of them open.
func (l *stepLog) resume(lines int, styles [3]style) {
	l.lines = lines
	for i := range l.streams {
		l.streams[i] = stream{screen: screen{style: styles[i]}}
	}
}

// maxRecord bounds one encoded record: its text may be escaped sixfold.
const maxRecord = 8*glovebox.MaxLogText + 4096

// recordReader decodes a log from a byte offset on.
type recordReader struct {
	r      *bufio.Reader
	offset int64 // of the next record
}

func newRecordReader(r io.Reader, offset int64) *recordReader {
	return &recordReader{r: bufio.NewReaderSize(r, maxRecord), offset: offset}
}

// next returns a record. A last record without its newline is not there yet:
// io.EOF. What can't be decoded becomes a remark in the log.
func (d *recordReader) next() (glovebox.LogRecord, error) {
	line, err := d.r.ReadSlice('\n')
	tooLong := errors.Is(err, bufio.ErrBufferFull)
	for errors.Is(err, bufio.ErrBufferFull) {
		d.offset += int64(len(line))
		line, err = d.r.ReadSlice('\n')
	}
	if err != nil {
		return glovebox.LogRecord{}, err
	}
	at := d.offset
	d.offset += int64(len(line))
	if rec, ok := quickRecord(line); ok && !tooLong {
		return rec, nil
	}
	var rec glovebox.LogRecord
	if tooLong || json.Unmarshal(line, &rec) != nil {
		rec = glovebox.LogRecord{Stream: glovebox.StreamSystem, Text: fmt.Sprintf("unreadable log record before byte %d", at+int64(len(line)))}
	}
	return rec, nil
}

// quickRecord decodes a record in the form that encoding/json writes, as long as no
// string in it has an escape; it is many times quicker than encoding/json.
func quickRecord(line []byte) (rec glovebox.LogRecord, ok bool) {
	rest, escaped := line, false
	field := func(prefix string) ([]byte, bool) {
		if !bytes.HasPrefix(rest, []byte(prefix)) {
			return nil, false
		}
		end := bytes.IndexByte(rest[len(prefix):], '"')
		if end < 0 {
			return nil, false
		}
		value := rest[len(prefix) : len(prefix)+end]
		rest = rest[len(prefix)+end+1:]
		escaped = escaped || bytes.IndexByte(value, '\\') >= 0
		return value, true
	}
	at, ok := field(`{"time":"`)
	if !ok || rec.Time.UnmarshalText(at) != nil {
		return rec, false
	}
	if step, found := field(`,"step":"`); found {
		rec.Step = string(step)
	}
	stream, ok1 := field(`,"stream":"`)
	text, ok2 := field(`,"text":"`)
	if !ok1 || !ok2 || !utf8.Valid(text) {
		return rec, false
	}
	rec.Stream, rec.Text = string(stream), string(text)
	rest, rec.Partial = bytes.CutPrefix(rest, []byte(`,"partial":true`))
	return rec, !escaped && string(rest) == "}\n"
}
