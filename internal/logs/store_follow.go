package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// followChunk is about how much a follower is given at once.
const followChunk = 64 << 10

// Follow is Open that at the end waits for more, until done is closed and the rest was
// read (io.EOF) or ctx ends (its cause). Close it from the goroutine that reads.
func (s *Store) Follow(ctx context.Context, jobID string, attempt int, offset int64, done <-chan struct{}) (io.ReadCloser, error) {
	next, stop := iter.Pull2(s.Chunks(ctx, jobID, attempt, offset, done))
	return &follower{next: next, stop: stop}, nil
}

type follower struct {
	next func() ([]byte, error, bool)
	stop func()
	rest []byte
}

func (f *follower) Read(p []byte) (int, error) {
	if len(f.rest) == 0 {
		chunk, err, ok := f.next()
		if !ok {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		f.rest = chunk
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

func (f *follower) Close() error {
	f.stop()
	return nil
}

// Chunks yields the log from offset in chunks of whole lines, each as soon as it is
// appended. It ends when done is closed and all is read, or with ctx, whose cause it yields
// as an error. A follower that is slow holds one chunk, not the log.
func (s *Store) Chunks(ctx context.Context, jobID string, attempt int, offset int64, done <-chan struct{}) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		l := s.acquire(jobID, attempt)
		defer s.release(l)
		next := max(0, offset)
		for {
			last := closed(done) // before the look at the end: what came before done is still yielded
			end, change, err := s.ending(ctx, l)
			if err == nil && next < end {
				next, err = s.yieldRange(ctx, l.key, next, end, yield)
			}
			switch {
			case errors.Is(err, errStopped):
				return
			case err != nil:
				yield(nil, err)
				return
			case last:
				return
			}
			select {
			case <-change:
			case <-done:
			case <-ctx.Done():
				yield(nil, context.Cause(ctx))
				return
			}
		}
	}
}

var errStopped = errors.New("the follower has left")

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (s *Store) ending(ctx context.Context, l *attemptLog) (int64, <-chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := s.learnEnd(ctx, l)
	return l.end, l.change, err
}

// yieldRange yields the lines from next to end and returns how far it came.
func (s *Store) yieldRange(ctx context.Context, key string, next, end int64, yield func([]byte, error) bool) (int64, error) {
	r, _, err := s.blobs.Open(ctx, key, next)
	if err != nil {
		return next, fmt.Errorf("read log: %w", err)
	}
	defer r.Close()
	buffered := bufio.NewReaderSize(io.LimitReader(r, end-next), followChunk)
	var chunk []byte
	for next < end {
		line, err := buffered.ReadBytes('\n')
		chunk = append(chunk, line...)
		next += int64(len(line))
		if err != nil && !errors.Is(err, io.EOF) {
			return next, fmt.Errorf("read log: %w", err)
		}
		if err == nil && next < end && len(chunk) < followChunk {
			continue
		}
		if ctx.Err() != nil {
			return next, context.Cause(ctx)
		}
		if !yield(chunk, nil) {
			return next, errStopped
		}
		chunk = nil
		if err != nil {
			return end, nil // the blob was removed or cut while it was read
		}
	}
	return next, nil
}
