package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
)

const (
	// writeWait is how long a client may take to read an event before it is cut off.
	writeWait = 10 * time.Second
	// keepAlive is how often a silent stream shows that it lives, and its session is checked.
	keepAlive = 15 * time.Second
)

// shutdown tells streams that the HTTP server which serves them is shutting
// down; it waits for them, and they would not end by themselves.
type shutdown struct {
	once  *sync.Once
	begun chan struct{}
}

func newShutdown() shutdown { return shutdown{once: new(sync.Once), begun: make(chan struct{})} }

// of returns a channel that is closed when the server of r begins to shut down.
func (s shutdown) of(r *http.Request) <-chan struct{} {
	s.once.Do(func() {
		if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok {
			server.RegisterOnShutdown(sync.OnceFunc(func() { close(s.begun) }))
		}
	})
	return s.begun
}

// eventStream writes server-sent events.
type eventStream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
	// stopping is closed when the server begins to shut down.
	stopping <-chan struct{}
}

// openStream begins a stream for a session, which it counts; close must be called.
func (s *site) openStream(w http.ResponseWriter, r *http.Request, v *visitor) (stream *eventStream, closeStream func(), err error) {
	if !v.session.openStream() {
		return nil, nil, errTooManyStreams
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	// Asked for before the first byte: who has seen that byte may count on it.
	stream = &eventStream{w: w, rc: http.NewResponseController(w), stopping: s.shutdown.of(r)}
	if err := stream.write("retry: 1000\n\n"); err != nil {
		v.session.closeStream()
		return nil, nil, err
	}
	return stream, v.session.closeStream, nil
}

// send writes an event; an id lets the client go on from here.
func (e *eventStream) send(name, id string, data any) error {
	body, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("encode event: %w", err)
	}
	text := "event: " + name + "\ndata: " + string(body) + "\n"
	if id != "" {
		text += "id: " + id + "\n"
	}
	return e.write(text + "\n")
}

// ping writes a comment.
func (e *eventStream) ping() error { return e.write(":\n\n") }

func (e *eventStream) write(text string) error {
	if err := e.rc.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return fmt.Errorf("set write deadline: %w", err)
	}
	if _, err := e.w.Write([]byte(text)); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return e.rc.Flush()
}

// stillWelcome asks anew whether the session of a long stream holds.
func (s *site) stillWelcome(r *http.Request) error {
	v, err := s.visitor(r)
	if err == nil && v.session == nil {
		err = glovebox.ErrUnauthorized
	}
	return err
}
