package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// MaxBatch is the most bytes that one append carries.
const MaxBatch = 1 << 20

// AppendFunc appends encoded records at an offset of the attempt's log and returns its new
// end, as executor.Source does.
type AppendFunc func(ctx context.Context, offset int64, records []byte) (int64, error)

// BatchOptions are what NewBatch needs.
type BatchOptions struct {
	// Path is where the spool file is made; it holds the whole log of the attempt.
	Path   string
	Append AppendFunc
	Logger *slog.Logger
	// Wait waits between tries after the n-th failure in a row, n from 1, and returns when ctx ends; a back-off
	// from 100 ms to 5 s when nil.
	Wait func(ctx context.Context, n int)
}

// Batch is a sink that writes records to a spool file and sends them from there: at once
// while the far side keeps up, in growing batches when it does not, and again
// and again while it is away. Nothing is lost as long as the attempt lives.
type Batch struct {
	opts   BatchOptions
	spool  *os.File
	wake   chan struct{}
	cancel context.CancelFunc
	done   chan struct{}

	mu sync.Mutex
	// size is the end of the spool, acked what the far side has.
	size, acked int64
	closing     bool
	err         error
}

// NewBatch makes the spool file and starts the sender. The caller calls Close.
func NewBatch(ctx context.Context, opts BatchOptions) (*Batch, error) {
	spool, err := os.OpenFile(opts.Path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make log spool: %w", err)
	}
	if opts.Wait == nil {
		opts.Wait = backOff
	}
	// The sender outlives the job's own context: a canceled job's last lines are delivered too.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	b := &Batch{opts: opts, spool: spool, wake: make(chan struct{}, 1), cancel: cancel, done: make(chan struct{})}
	go b.send(ctx)
	return b, nil
}

// Write keeps the record in the spool. It does not wait for the far side.
func (b *Batch) Write(record glovebox.LogRecord) error {
	line, err := Encode(record)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closing {
		return fmt.Errorf("write to log: %w", os.ErrClosed)
	}
	if _, err := b.spool.WriteAt(line, b.size); err != nil {
		return fmt.Errorf("write to log spool: %w", err)
	}
	b.size += int64(len(line))
	b.signal()
	return nil
}

func (b *Batch) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Close delivers what is left and removes the spool. When ctx ends first, or the far side
// refused for good, it returns the reason and how much was not delivered.
func (b *Batch) Close(ctx context.Context) error {
	b.mu.Lock()
	if b.closing {
		b.mu.Unlock()
		<-b.done
		return b.err
	}
	b.closing = true
	b.signal()
	b.mu.Unlock()
	var stopped error
	select {
	case <-b.done:
	case <-ctx.Done():
		stopped = context.Cause(ctx)
	}
	b.cancel()
	<-b.done
	b.mu.Lock()
	defer b.mu.Unlock()
	if left := b.size - b.acked; left > 0 && b.err == nil {
		b.err = fmt.Errorf("deliver log: %d bytes left: %w", left, stopped)
	}
	return errors.Join(b.err, b.spool.Close(), os.Remove(b.opts.Path))
}

// send runs until everything is delivered after Close, the lease is lost, or ctx ends.
func (b *Batch) send(ctx context.Context) {
	defer close(b.done)
	var buf []byte
	for failures := 0; ; {
		chunk, offset, finished := b.next(&buf)
		if finished {
			return
		}
		if len(chunk) == 0 {
			select {
			case <-b.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		end, err := b.opts.Append(ctx, offset, chunk)
		switch {
		case err == nil && end > offset && b.acknowledge(end):
			failures = 0
			continue
		case errors.Is(err, glovebox.ErrOffset) && end < offset && b.acknowledge(end):
			// The far side has less than it once said: it is sent from there again.
		case errors.Is(err, glovebox.ErrLeaseLost):
			b.fail(err)
			return
		case err == nil && end > offset+int64(len(chunk)):
			b.fail(fmt.Errorf("the far side's log ends at %d, beyond what was sent: somebody else writes it", end))
			return
		case err == nil:
			err = fmt.Errorf("the far side says that the log ends at %d", end)
		}
		if ctx.Err() != nil {
			return
		}
		failures++
		b.opts.Logger.Warn("send log", "error", err, "try", failures)
		b.opts.Wait(ctx, failures)
	}
}

// next reads the next batch from the spool, whole records only.
func (b *Batch) next(buf *[]byte) (chunk []byte, offset int64, finished bool) {
	b.mu.Lock()
	offset, size, closing := b.acked, b.size, b.closing
	b.mu.Unlock()
	if offset == size || b.failed() {
		return nil, offset, closing || b.failed()
	}
	want := int(min(size-offset, MaxBatch))
	if want > len(*buf) { // most logs are short
		*buf = make([]byte, min(MaxBatch, max(2*want, 4<<10)))
	}
	n, err := b.spool.ReadAt((*buf)[:want], offset)
	if n == 0 && err != nil {
		b.fail(fmt.Errorf("read log spool: %w", err))
		return nil, offset, true
	}
	chunk = (*buf)[:n]
	if i := bytes.LastIndexByte(chunk, '\n'); i >= 0 {
		chunk = chunk[:i+1]
	}
	return chunk, offset, false
}

// acknowledge notes the far side's end; false when it can't be.
func (b *Batch) acknowledge(end int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if end < 0 || end > b.size {
		return false
	}
	b.acked = end
	return true
}

func (b *Batch) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = fmt.Errorf("deliver log: %w", err)
	}
}

func (b *Batch) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err != nil
}

func backOff(ctx context.Context, n int) {
	t := time.NewTimer(min(5*time.Second, 100*time.Millisecond<<min(n-1, 10)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
