package logs

import (
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

func at() time.Time { return time.Unix(1, 0) }

// joined puts the records of a stream together again.
func joined(records []glovebox.LogRecord, stream string) string {
	var b strings.Builder
	for _, r := range records {
		if r.Stream == stream {
			b.WriteString(r.Text)
			if !r.Partial {
				b.WriteByte('\n')
			}
		}
	}
	return b.String()
}

func TestLinesKeepsOrderOverBothStreams(t *testing.T) {
	var m Memory
	l := NewLines(&m, "s", at, time.Hour)
	for _, w := range []struct{ stream, text string }{{"out", "a\nb"}, {"err", "c\n"}, {"out", "d\n"}, {"err", "e"}} {
		to := l.Stdout()
		if w.stream == "err" {
			to = l.Stderr()
		}
		if _, err := to.Write([]byte(w.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range m.Records() {
		got = append(got, r.Stream[3:]+":"+r.Text)
		if r.Step != "s" {
			t.Errorf("step %q", r.Step)
		}
	}
	if s := strings.Join(got, " "); s != "out:a out:b err:c out:d err:e" {
		t.Error(s)
	}
}

func TestLinesShowsPromptsSoon(t *testing.T) {
	sink := make(chanSink, 10)
	l := NewLines(sink, "s", at, time.Millisecond)
	if _, err := l.Stdout().Write([]byte("Password: \xc3")); err != nil {
		t.Fatal(err)
	}
	if r := <-sink; r.Text != "Password: " || !r.Partial {
		t.Errorf("%+v", r)
	}
	if _, err := l.Stdout().Write([]byte("\xa4\n")); err != nil {
		t.Fatal(err)
	}
	if r := <-sink; r.Text != "ä" || r.Partial {
		t.Errorf("%+v", r)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

type chanSink chan glovebox.LogRecord

func (c chanSink) Write(r glovebox.LogRecord) error { c <- r; return nil }

type brokenSink struct{}

func (brokenSink) Write(glovebox.LogRecord) error { return errors.New("broken") }

func TestLinesReportsTheSinksErrorAtTheEnd(t *testing.T) {
	l := NewLines(brokenSink{}, "s", at, time.Hour)
	if _, err := l.Stdout().Write([]byte("a\n")); err != nil {
		t.Fatal("the step must not notice")
	}
	if l.Close() == nil {
		t.Fatal("no error")
	}
}

// TestBusyProgressIsShown: an unfinished line appears although more of it comes faster than the delay.
func TestBusyProgressIsShown(t *testing.T) {
	var m Memory
	l := NewLines(&m, "s", time.Now, 20*time.Millisecond)
	defer l.Close()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for written := 0; len(m.Records()) == 0; written++ {
		if written > glovebox.MaxLogText/4 {
			t.Fatal("nothing is shown before the record is full")
		}
		if _, err := l.Stdout().Write([]byte(".")); err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("hello\nworld"), byte(3))
	f.Add([]byte("\xff\xc3\xa4\r\n\x00"), byte(1))
	f.Add([]byte(strings.Repeat("ä", glovebox.MaxLogText)), byte(200))
	f.Fuzz(func(t *testing.T, data []byte, step byte) {
		var m Memory
		l := NewLines(&m, "s", at, time.Hour)
		for rest := data; len(rest) > 0; {
			n := min(len(rest), int(step)+1)
			if _, err := l.Stdout().Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		for _, r := range m.Records() {
			if len(r.Text) > glovebox.MaxLogText || !utf8.ValidString(r.Text) || strings.Contains(r.Text, "\n") {
				t.Fatalf("bad record of %d bytes", len(r.Text))
			}
		}
		if utf8.Valid(data) {
			want := string(data)
			if want != "" && !strings.HasSuffix(want, "\n") {
				want += "\n"
			}
			if got := joined(m.Records(), glovebox.StreamStdout); got != want {
				t.Fatalf("%q became %q", want, got)
			}
		}
	})
}

// TestFloodBeyondTheLimitMakesNoRecords: what is cut is counted as it came, to the byte and the line.
func TestFloodBeyondTheLimitMakesNoRecords(t *testing.T) {
	var m Memory
	limit := NewLimit(&m, 160, at)
	l := NewLines(limit, "s", at, time.Hour)
	for _, text := range []string{"first\nsec", "ond\n" + strings.Repeat("\n", 8), "part", "ly\n\xc3", "\xa4\n", strings.Repeat("\n", 100_000), "no end"} {
		if _, err := l.Stdout().Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	allocated := testing.AllocsPerRun(10, func() { _, _ = l.Stderr().Write([]byte("\n\n\n\n")) })
	if err := errors.Join(l.Close(), limit.EndStep("s")); err != nil {
		t.Fatal(err)
	}
	if got, want := joined(m.Records(), glovebox.StreamStdout), "first\nsecond\n"+strings.Repeat("\n", 8); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	// "partly", "ä", the flood, and 11 times 4 lines of stderr; "no end" has none.
	last := m.Records()[len(m.Records())-1].Text
	if want := "100046 further lines"; !strings.Contains(last, want) || allocated > 0 {
		t.Errorf("%q, want %q; %v allocations a write", last, want, allocated)
	}
}
