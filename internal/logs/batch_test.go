package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/glovebox-dev/glovebox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// farSide keeps what is appended, and fails as a test says.
type farSide struct {
	mu    sync.Mutex
	data  []byte
	calls int
	// fail is asked before each call; keep says that the bytes are kept although the call fails.
	fail func(call int) (err error, keep bool)
}

func (f *farSide) append(_ context.Context, offset int64, records []byte) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	var err error
	keep := true
	if f.fail != nil {
		if err, keep = f.fail(f.calls); err == nil {
			keep = true
		}
	}
	end := int64(len(f.data))
	if offset > end {
		return end, glovebox.ErrOffset
	}
	if skip := end - offset; keep && skip < int64(len(records)) {
		f.data = append(f.data, records[skip:]...)
	}
	return int64(len(f.data)), err
}

func newBatch(t *testing.T, far *farSide) (*Batch, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spool")
	b, err := NewBatch(t.Context(), BatchOptions{Path: path, Append: far.append, Logger: slog.New(slog.DiscardHandler), Wait: func(context.Context, int) {}})
	if err != nil {
		t.Fatal(err)
	}
	return b, path
}

func TestBatchSurvivesOutages(t *testing.T) {
	away := errors.New("away")
	far := &farSide{fail: func(n int) (error, bool) {
		switch n % 4 {
		case 0:
			return nil, true
		case 1:
			return away, true // kept, but the answer was lost
		default:
			return away, false
		}
	}}
	b, path := newBatch(t, far)
	var want bytes.Buffer
	for i := range 3000 {
		r := glovebox.LogRecord{Time: at(), Stream: glovebox.StreamStdout, Text: fmt.Sprint(i, strings.Repeat("x", i))}
		line, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		want.Write(line)
		if err := b.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(far.data, want.Bytes()) {
		t.Errorf("%d bytes arrived of %d", len(far.data), want.Len())
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the spool is left")
	}
	if b.Write(glovebox.LogRecord{}) == nil {
		t.Error("a write after Close")
	}
}

func TestBatchResumesFromTheFarSidesEnd(t *testing.T) {
	far := &farSide{}
	b, _ := newBatch(t, far)
	send := func(text string) {
		if err := b.Write(glovebox.LogRecord{Time: at(), Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	send("one")
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		far.mu.Lock()
		n := len(far.data)
		far.data = far.data[:n/2] // a server restored from a copy
		far.mu.Unlock()
		if n > 0 || time.Now().After(deadline) {
			break
		}
	}
	send("two")
	if err := b.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(far.data, []byte("\n")); n != 2 || !bytes.Contains(far.data, []byte("one")) {
		t.Errorf("%s", far.data)
	}
}

func TestBatchStopsWhenTheLeaseIsLost(t *testing.T) {
	far := &farSide{fail: func(int) (error, bool) { return glovebox.ErrLeaseLost, false }}
	b, _ := newBatch(t, far)
	if err := b.Write(glovebox.LogRecord{Text: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); !errors.Is(err, glovebox.ErrLeaseLost) {
		t.Fatal(err)
	}
}

func TestBatchStopsWhenSomebodyElseWrites(t *testing.T) {
	far := &farSide{data: make([]byte, 1000)}
	b, _ := newBatch(t, far)
	if err := b.Write(glovebox.LogRecord{Text: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(t.Context()); err == nil {
		t.Fatal("no error")
	}
}

func TestBatchCloseGivesUpInTime(t *testing.T) {
	far := &farSide{fail: func(int) (error, bool) { return errors.New("away"), false }}
	b, _ := newBatch(t, far)
	if err := b.Write(glovebox.LogRecord{Text: "x"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "bytes left") {
		t.Fatal(err)
	}
}

func TestLimit(t *testing.T) {
	var m Memory
	l := NewLimit(&m, 100, at)
	for range 10 {
		if err := l.Write(glovebox.LogRecord{Step: "a", Stream: glovebox.StreamStdout, Text: strings.Repeat("x", 19)}); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []string{"a", "a", "b"} {
		if err := l.EndStep(step); err != nil {
			t.Fatal(err)
		}
	}
	records := m.Records()
	if len(records) != 6 || records[5].Stream != glovebox.StreamSystem || !strings.Contains(records[5].Text, "5 further lines (100 bytes)") {
		t.Errorf("%+v", records)
	}
	for range 1000 {
		if err := l.Write(glovebox.LogRecord{Step: "c", Stream: glovebox.StreamStdout}); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.Records()); n > 20 {
		t.Errorf("%d records of a flood of empty lines", n)
	}
}

func TestConsole(t *testing.T) {
	hostile := "\x1b[31mred\x1b[0m \x1b]0;title\x07\x1b[2J\x1b]52;c;ZXZpbA==\x1b\\x\x9b5n\x1bP1\x1b\\y\x08\x07\x1b[?1049hz"
	for color, want := range map[bool]string{false: "red xyz\n", true: "\x1b[31mred\x1b[0m xyz\n"} {
		var out, err bytes.Buffer
		c := NewConsole(ConsoleOptions{Stdout: &out, Stderr: &err, Color: color})
		// In two records, cut inside a sequence.
		for cut := range len(hostile) {
			out.Reset()
			first, second := strings.ToValidUTF8(hostile[:cut], ""), strings.ToValidUTF8(hostile[cut:], "")
			if len(first)+len(second) != len(strings.ToValidUTF8(hostile, "")) {
				continue
			}
			for i, text := range []string{first, second} {
				if e := c.Write(glovebox.LogRecord{Stream: glovebox.StreamStdout, Text: text, Partial: i == 0}); e != nil {
					t.Fatal(e)
				}
			}
			if got := strings.ReplaceAll(out.String(), "5n", ""); got != want {
				t.Errorf("color %v cut at %d: %q, want %q", color, cut, got, want)
			}
		}
		if e := c.Write(glovebox.LogRecord{Stream: glovebox.StreamSystem, Step: "s", Text: "note\x1b]0;x\x07"}); e != nil {
			t.Fatal(e)
		}
		if !strings.Contains(err.String(), "glovebox: s: note") || strings.Contains(err.String(), "]0") {
			t.Errorf("%q", err.String())
		}
	}
}
