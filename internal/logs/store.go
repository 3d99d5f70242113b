package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/blob"
)

const (
	// MaxLine bounds one encoded record: its text with every byte escaped, and the rest.
	MaxLine = 6*glovebox.MaxLogText + 4096
	// MaxAttemptLog bounds one attempt's log unless Store.MaxBytes says otherwise. It guards
	// the server's disk; what a step may write is limited by the executor.
	MaxAttemptLog = 8 << 30
)

// Store keeps the logs of attempts on the server's side. Its methods may be
// called concurrently. One process may use one blob store.
type Store struct {
	// MaxBytes bounds each log; set it before use.
	MaxBytes int64

	blobs blob.Store
	mu    sync.Mutex
	open  map[string]*attemptLog
}

// attemptLog is what the process knows of a log that somebody appends to or follows.
type attemptLog struct {
	key   string
	users int // guarded by Store.mu

	mu     sync.Mutex
	known  bool  // end has been read from the blob
	end    int64 // always the end of a line
	change chan struct{}
}

// NewStore returns a store that keeps logs in blobs.
func NewStore(blobs blob.Store) *Store {
	return &Store{MaxBytes: MaxAttemptLog, blobs: blobs, open: map[string]*attemptLog{}}
}

func (s *Store) acquire(jobID string, attempt int) *attemptLog {
	key := blob.LogKey(jobID, attempt)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.open[key]
	if l == nil {
		l = &attemptLog{key: key, change: make(chan struct{})}
		s.open[key] = l
	}
	l.users++
	return l
}

func (s *Store) release(l *attemptLog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.users--; l.users == 0 {
		delete(s.open, l.key)
	}
}

// Append writes encoded records at offset and returns the log's end. Bytes before the end
// are taken as sent before and skipped; an offset beyond it is glovebox.ErrOffset, with the end.
// The bytes must be whole lines, each one valid LogRecord (*glovebox.ValidationError).
func (s *Store) Append(ctx context.Context, jobID string, attempt int, offset int64, data []byte) (int64, error) {
	l := s.acquire(jobID, attempt)
	defer s.release(l)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := s.learnEnd(ctx, l); err != nil {
		return 0, err
	}
	switch {
	case offset < 0:
		return l.end, refuse("offset", "is negative")
	case offset > l.end:
		return l.end, fmt.Errorf("append to log at %d of %d: %w", offset, l.end, glovebox.ErrOffset)
	case l.end-offset >= int64(len(data)):
		return l.end, nil
	}
	fresh := data[l.end-offset:]
	if err := checkRecords(fresh); err != nil {
		return l.end, err
	}
	if l.end+int64(len(fresh)) > s.MaxBytes {
		return l.end, fmt.Errorf("append to log: the attempt's log has reached %d bytes: %w", s.MaxBytes, glovebox.ErrTooLarge)
	}
	end, err := s.blobs.Append(ctx, l.key, l.end, fresh)
	if err != nil {
		l.known = false
		return l.end, fmt.Errorf("append to log: %w", err)
	}
	l.end = end
	close(l.change)
	l.change = make(chan struct{})
	return end, nil
}

// learnEnd reads where the log ends: after its last whole line. A process killed in the
// middle of a write may leave part of a line; the sender sends that line again, and
// what is there already is skipped by the blob.
func (s *Store) learnEnd(ctx context.Context, l *attemptLog) error {
	if l.known {
		return nil
	}
	size, err := s.blobs.Size(ctx, l.key)
	if errors.Is(err, glovebox.ErrNotFound) {
		l.known, l.end = true, 0
		return nil
	}
	if err != nil {
		return fmt.Errorf("read log's size: %w", err)
	}
	from := max(0, size-MaxLine)
	r, _, err := s.blobs.Open(ctx, l.key, from)
	if err != nil {
		return fmt.Errorf("read log's end: %w", err)
	}
	defer r.Close()
	tail, err := io.ReadAll(io.LimitReader(r, size-from))
	if err != nil {
		return fmt.Errorf("read log's end: %w", err)
	}
	l.known, l.end = true, from+int64(bytes.LastIndexByte(tail, '\n')+1)
	return nil
}

// checkRecords refuses what is not whole lines of valid records.
func checkRecords(data []byte) error {
	for n := 1; len(data) > 0; n++ {
		end := bytes.IndexByte(data, '\n')
		where := fmt.Sprintf("line %d", n)
		if end < 0 {
			return refuse(where, "is not ended by a newline")
		}
		if end > MaxLine {
			return refuse(where, fmt.Sprintf("is longer than %d bytes", MaxLine))
		}
		if problem := checkRecord(data[:end]); problem != "" {
			return refuse(where, problem)
		}
		data = data[end+1:]
	}
	return nil
}

func refuse(path, message string) error {
	return &glovebox.ValidationError{Problems: []glovebox.Problem{{Path: path, Message: message}}}
}

func checkRecord(line []byte) string {
	if !utf8.Valid(line) {
		return "is not UTF-8"
	}
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	var r glovebox.LogRecord
	if err := decoder.Decode(&r); err != nil || decoder.InputOffset() != int64(len(line)) {
		return "is not one log record in JSON"
	}
	switch {
	case r.Stream != glovebox.StreamStdout && r.Stream != glovebox.StreamStderr && r.Stream != glovebox.StreamSystem:
		return "has an unknown stream"
	case len(r.Text) > glovebox.MaxLogText:
		return fmt.Sprintf("has a text longer than %d bytes", glovebox.MaxLogText)
	case len(r.Step) > 64:
		return "has a step key longer than 64 bytes"
	case bytes.IndexByte([]byte(r.Text), '\n') >= 0:
		return "has a newline in its text"
	}
	return ""
}

// Open reads the log as it is now from offset, which should be the end of a line. A log
// that nothing was written to is empty.
func (s *Store) Open(ctx context.Context, jobID string, attempt int, offset int64) (io.ReadCloser, error) {
	r, _, err := s.blobs.Open(ctx, blob.LogKey(jobID, attempt), max(0, offset))
	if errors.Is(err, glovebox.ErrNotFound) {
		return io.NopCloser(bytes.NewReader(nil)), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return r, nil
}
