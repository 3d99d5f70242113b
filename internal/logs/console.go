package logs

import (
	"io"
	"strings"
	"sync"

	"github.com/glovebox-dev/glovebox"
)

// ConsoleOptions say where a job's log is shown and what that place can show.
type ConsoleOptions struct {
	Stdout, Stderr io.Writer
	// Color keeps the colours of steps and dims remarks; set it for a terminal without NO_COLOR.
	Color bool
	// Quiet hides the executor's remarks.
	Quiet bool
}

// Console shows records on the user's own streams: what a step wrote to stdout on
// stdout, the rest on stderr. Of the control sequences of a hostile step only colours get
// through, and those only where Color is set: nothing may move the cursor, set a
// title, write the clipboard or answer for the user.
type Console struct {
	opts ConsoleOptions

	mu      sync.Mutex
	filters map[string]*ansiFilter
	// open is the stream whose line is unfinished.
	open string
}

// NewConsole makes the sink.
func NewConsole(opts ConsoleOptions) *Console {
	return &Console{opts: opts, filters: map[string]*ansiFilter{}}
}

// Write shows the record.
func (c *Console) Write(record glovebox.LogRecord) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if record.Stream == glovebox.StreamSystem {
		return c.remark(record)
	}
	f := c.filters[record.Stream]
	if f == nil {
		f = &ansiFilter{color: c.opts.Color}
		c.filters[record.Stream] = f
	}
	var buf strings.Builder
	f.write(&buf, record.Text)
	if !record.Partial {
		f.end(&buf)
		buf.WriteByte('\n')
	}
	if err := c.separate(record.Stream); err != nil {
		return err
	}
	if record.Partial {
		c.open = record.Stream
	} else if c.open == record.Stream {
		c.open = ""
	}
	_, err := io.WriteString(c.writer(record.Stream), buf.String())
	return err
}

func (c *Console) remark(record glovebox.LogRecord) error {
	if c.opts.Quiet {
		return nil
	}
	if err := c.separate(record.Stream); err != nil {
		return err
	}
	var buf strings.Builder
	(&ansiFilter{}).write(&buf, record.Text)
	text := "glovebox: " + buf.String()
	if record.Step != "" {
		text = "glovebox: " + record.Step + ": " + buf.String()
	}
	if c.opts.Color {
		text = "\x1b[2m" + text + "\x1b[0m"
	}
	_, err := io.WriteString(c.opts.Stderr, text+"\n")
	return err
}

// separate ends the line that another stream left open, where both meet on one terminal.
func (c *Console) separate(stream string) error {
	if !c.opts.Color || c.open == "" || c.open == stream {
		return nil
	}
	w := c.writer(c.open)
	c.open = ""
	_, err := io.WriteString(w, "\n")
	return err
}

func (c *Console) writer(stream string) io.Writer {
	if stream == glovebox.StreamStdout {
		return c.opts.Stdout
	}
	return c.opts.Stderr
}

// ansiFilter removes control characters and sequences from a stream, across records.
type ansiFilter struct {
	color bool
	state ansiState
	// sequence is the control sequence read so far; styled is set while a colour may be on.
	sequence strings.Builder
	styled   bool
}

type ansiState int

const (
	ansiText   ansiState = iota
	ansiEscape           // after ESC
	ansiCSI              // after ESC [
	ansiString           // in an OSC, DCS, APC, PM or SOS string, until BEL or ST
	ansiStringEscape
	ansiIgnoreOne // ESC ( and its like take one more character
)

// maxSequence bounds a control sequence; a longer one is over.
const maxSequence = 64

func (f *ansiFilter) write(out *strings.Builder, text string) {
	for _, r := range text {
		switch f.state {
		case ansiText:
			f.text(out, r)
		case ansiEscape:
			f.escape(r)
		case ansiCSI:
			f.csi(out, r)
		case ansiString:
			if r == 0x07 || r == 0x9c {
				f.state = ansiText
			} else if r == 0x1b {
				f.state = ansiStringEscape
			}
		case ansiStringEscape:
			if r == '\\' {
				f.state = ansiText
			} else {
				f.escape(r)
			}
		case ansiIgnoreOne:
			f.state = ansiText
		}
	}
}

func (f *ansiFilter) text(out *strings.Builder, r rune) {
	switch {
	case r == 0x1b:
		f.state = ansiEscape
	case r == 0x9b:
		f.state = ansiCSI
		f.sequence.Reset()
	case r == 0x90 || r == 0x98 || r == 0x9d || r == 0x9e || r == 0x9f:
		f.state = ansiString
	case r == '\t' || r == '\r':
		out.WriteRune(r)
	case r < 0x20 || (r >= 0x7f && r < 0xa0):
	default:
		out.WriteRune(r)
	}
}

func (f *ansiFilter) escape(r rune) {
	switch r {
	case '[':
		f.state = ansiCSI
		f.sequence.Reset()
	case ']', 'P', 'X', '^', '_':
		f.state = ansiString
	case '(', ')', '*', '+', '-', '.', '/', '#', '%', ' ':
		f.state = ansiIgnoreOne
	case 0x1b:
		f.state = ansiEscape
	default:
		f.state = ansiText
	}
}

func (f *ansiFilter) csi(out *strings.Builder, r rune) {
	if r == 0x1b {
		f.state = ansiEscape
		return
	}
	if r < 0x40 && f.sequence.Len() < maxSequence {
		f.sequence.WriteRune(r)
		return
	}
	f.state = ansiText
	params := f.sequence.String()
	if r != 'm' || !f.color || strings.Trim(params, "0123456789;:") != "" {
		return
	}
	f.styled = params != "" && strings.Trim(params, "0;") != ""
	out.WriteString("\x1b[" + params + "m")
}

// end closes what a line left open: a string without its end does not swallow the next line,
// and a colour does not run into it.
func (f *ansiFilter) end(out *strings.Builder) {
	f.state = ansiText
	if f.styled {
		out.WriteString("\x1b[0m")
		f.styled = false
	}
}
