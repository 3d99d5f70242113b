package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/blob"
)

func newTestStore(t *testing.T) (*Store, *blob.Folder) {
	t.Helper()
	blobs, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	return NewStore(blobs), blobs
}

func storeLine(t *testing.T, text string) []byte {
	t.Helper()
	b, err := json.Marshal(glovebox.LogRecord{Time: time.Unix(1, 0).UTC(), Step: "s", Stream: glovebox.StreamStdout, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

func storeContent(t *testing.T, s *Store) string {
	t.Helper()
	r, err := s.Open(t.Context(), "j", 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStoreAppendIsIdempotent(t *testing.T) {
	s, _ := newTestStore(t)
	one, two := storeLine(t, "one"), storeLine(t, "two")
	both := append(bytes.Clone(one), two...)
	for _, c := range []struct {
		offset int64
		data   []byte
		end    int
		err    error
	}{
		{0, one, len(one), nil},
		{0, one, len(one), nil},
		{int64(len(both)), two, len(one), glovebox.ErrOffset},
		{0, both, len(both), nil},
		{int64(len(one)), two, len(both), nil},
	} {
		end, err := s.Append(t.Context(), "j", 1, c.offset, c.data)
		if end != int64(c.end) || !errors.Is(err, c.err) {
			t.Fatalf("append at %d: end %d, err %v", c.offset, end, err)
		}
	}
	if got := storeContent(t, s); got != string(both) {
		t.Errorf("log is %q", got)
	}
	if len(s.open) != 0 {
		t.Errorf("%d logs are kept open", len(s.open))
	}
}

func TestStoreRefusesWhatIsNoRecord(t *testing.T) {
	s, _ := newTestStore(t)
	good := string(storeLine(t, "x"))
	long, _ := json.Marshal(glovebox.LogRecord{Stream: "stdout", Text: strings.Repeat("x", glovebox.MaxLogText+1)})
	for name, data := range map[string]string{
		"no newline":      strings.TrimSuffix(good, "\n"),
		"half a line":     good[:20] + "\n",
		"second bad":      good + "{}\n",
		"unknown stream":  `{"time":"2026-01-01T00:00:00Z","stream":"stdin","text":"x"}` + "\n",
		"unknown field":   `{"time":"2026-01-01T00:00:00Z","stream":"stdout","text":"x","html":"<b>"}` + "\n",
		"two in one line": strings.TrimSuffix(good, "\n") + good,
		"array":           "[]\n",
		"empty line":      "\n",
		"newline in text": `{"time":"2026-01-01T00:00:00Z","stream":"stdout","text":"a\nb"}` + "\n",
		"not UTF-8":       `{"time":"2026-01-01T00:00:00Z","stream":"stdout","text":"` + "\xff" + `"}` + "\n",
		"long text":       string(long) + "\n",
		"long line":       `{"time":"2026-01-01T00:00:00Z","stream":"stdout","text":"x"` + strings.Repeat(" ", MaxLine) + "}\n",
	} {
		_, err := s.Append(t.Context(), "j", 1, 0, []byte(data))
		if _, ok := errors.AsType[*glovebox.ValidationError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := storeContent(t, s); got != "" {
		t.Errorf("something was written: %q", got)
	}
}

func TestStoreLimit(t *testing.T) {
	s, _ := newTestStore(t)
	line := storeLine(t, "x")
	s.MaxBytes = int64(len(line))
	if _, err := s.Append(t.Context(), "j", 1, 0, line); err != nil {
		t.Fatal(err)
	}
	end, err := s.Append(t.Context(), "j", 1, int64(len(line)), line)
	if !errors.Is(err, glovebox.ErrTooLarge) || end != int64(len(line)) {
		t.Errorf("end %d, err %v", end, err)
	}
}

// A server killed in the middle of a write leaves part of a line; the sender resends from the end it is told.
func TestStoreMendsTornLine(t *testing.T) {
	s, blobs := newTestStore(t)
	one, two := storeLine(t, "one"), storeLine(t, "two")
	torn := append(bytes.Clone(one), two[:10]...)
	if _, err := blobs.Append(t.Context(), blob.LogKey("j", 1), 0, torn); err != nil {
		t.Fatal(err)
	}
	end, err := s.Append(t.Context(), "j", 1, 1<<20, two)
	if !errors.Is(err, glovebox.ErrOffset) || end != int64(len(one)) {
		t.Fatalf("end %d, err %v", end, err)
	}
	if _, err := s.Append(t.Context(), "j", 1, end, two); err != nil {
		t.Fatal(err)
	}
	if got := storeContent(t, s); got != string(one)+string(two) {
		t.Errorf("log is %q", got)
	}
}

func TestStoreFollow(t *testing.T) {
	s, _ := newTestStore(t)
	done := make(chan struct{})
	const lines = 300
	var want bytes.Buffer
	for i := range lines {
		want.Write(storeLine(t, fmt.Sprint(i)))
	}
	var wg sync.WaitGroup
	for f := range 4 {
		wg.Go(func() {
			var got bytes.Buffer
			for chunk, err := range s.Chunks(context.Background(), "j", 1, 0, done) {
				if err != nil {
					t.Errorf("follower %d: %v", f, err)
					return
				}
				if chunk[len(chunk)-1] != '\n' {
					t.Errorf("follower %d: a chunk ends inside a line", f)
				}
				got.Write(chunk)
			}
			if !bytes.Equal(got.Bytes(), want.Bytes()) {
				t.Errorf("follower %d got %d of %d bytes", f, got.Len(), want.Len())
			}
		})
	}
	var offset int64
	for i := range lines {
		end, err := s.Append(t.Context(), "j", 1, offset, storeLine(t, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		offset = end
	}
	close(done)
	wg.Wait()
	if len(s.open) != 0 {
		t.Errorf("%d logs are kept open", len(s.open))
	}
}

// A line is visible to a follower within 100 ms of its append.
func TestStoreFollowAtOnce(t *testing.T) {
	s, _ := newTestStore(t)
	done := make(chan struct{})
	seen := make(chan time.Time)
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, err := range s.Chunks(context.Background(), "j", 1, 0, done) {
			if err != nil {
				t.Error(err)
			}
			seen <- time.Now()
		}
	})
	var offset int64
	best := time.Hour
	for i := range 20 {
		start := time.Now()
		end, err := s.Append(t.Context(), "j", 1, offset, storeLine(t, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		offset = end
		best = min(best, (<-seen).Sub(start))
	}
	close(done)
	wg.Wait()
	if best > 100*time.Millisecond {
		t.Errorf("the fastest of 20 lines took %v", best)
	}
}

func TestStoreFollowReader(t *testing.T) {
	s, _ := newTestStore(t)
	line := storeLine(t, "one")
	if _, err := s.Append(t.Context(), "j", 1, 0, line); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	close(done)
	r, err := s.Follow(t.Context(), "j", 1, 0, done)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, line) {
		t.Errorf("read %q, %v", got, err)
	}
	if r.Close() != nil || r.Close() != nil || len(s.open) != 0 {
		t.Error("not closed")
	}
}

func TestStoreFollowEndsWithContext(t *testing.T) {
	s, _ := newTestStore(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("gone")
	cancel(cause)
	var last error
	for _, err := range s.Chunks(ctx, "j", 1, 0, nil) {
		last = err
	}
	if !errors.Is(last, cause) {
		t.Errorf("ended with %v", last)
	}
}

func FuzzCheckRecords(f *testing.F) {
	f.Add([]byte("{\"time\":\"2026-01-01T00:00:00Z\",\"stream\":\"stdout\",\"text\":\"x\"}\n"))
	f.Add([]byte("{}\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if checkRecords(data) != nil {
			return
		}
		for line := range bytes.Lines(data) {
			var r glovebox.LogRecord
			if err := json.Unmarshal(line, &r); err != nil || len(r.Text) > glovebox.MaxLogText {
				t.Errorf("accepted %q: %v", line, err)
			}
		}
	})
}
