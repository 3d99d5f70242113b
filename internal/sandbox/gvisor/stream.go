package gvisor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// stream carries one output stream of a step, over a pipe: with a regular file gVisor
// would write at an offset of its own.
type stream struct {
	in   *os.File
	out  *os.File
	done chan error
}

// newStream makes the pipe and starts copying from it. in is for the step.
func newStream(w io.Writer) (*stream, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	s := &stream{in: in, out: out, done: make(chan error, 1)}
	go func() {
		defer out.Close() // should w fail, the step gets a broken pipe rather than to wait for ever
		_, err := io.Copy(w, out)
		s.done <- err
	}()
	return s, nil
}

// finish waits for the end of the stream, at most for so long: after a failed start
// gVisor keeps the other end open.
func (s *stream) finish(patience time.Duration) error {
	s.in.Close()
	_ = s.out.SetReadDeadline(time.Now().Add(patience)) // an error means that it is closed already
	if err := <-s.done; err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
