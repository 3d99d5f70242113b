package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

var errSlow = errors.New("the body did not come in time")

// body is a request's body that must keep coming: each read has its own deadline, and
// all of them together have one.
type body struct {
	io.ReadCloser
	control *http.ResponseController
	idle    time.Duration
	until   time.Time
	began   time.Time
	read    int64
}

// minRate is what a body must come at in the mean, in bytes a second, once it has taken idle.
const minRate = 1 << 10

func (b *body) Read(p []byte) (int, error) {
	now := time.Now()
	if b.began.IsZero() {
		b.began = now
	}
	deadline := now.Add(b.idle)
	if slowest := b.began.Add(b.idle + time.Duration(b.read/minRate)*time.Second); slowest.Before(deadline) {
		deadline = slowest
	}
	if b.until.Before(deadline) {
		deadline = b.until
	}
	_ = b.control.SetReadDeadline(deadline)
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		// What net/http reads from here on, to notice that the client leaves, has no deadline.
		_ = b.control.SetReadDeadline(time.Time{})
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = errSlow
	}
	return n, err
}

// reply is a response whose client must keep taking it: each write has its own deadline.
type reply struct {
	http.ResponseWriter
	control *http.ResponseController
	idle    time.Duration
	status  int
}

// Unwrap lets http.ResponseController reach the connection.
func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *reply) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
		_ = w.control.SetWriteDeadline(time.Now().Add(w.idle))
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *reply) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	_ = w.control.SetWriteDeadline(time.Now().Add(w.idle))
	return w.ResponseWriter.Write(p)
}

// FlushError sends what was written so far; http.ResponseController calls it.
func (w *reply) FlushError() error {
	_ = w.control.SetWriteDeadline(time.Now().Add(w.idle))
	return w.control.Flush()
}
