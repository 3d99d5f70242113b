package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// stopTests are the ways in which a step or a sandbox ends.
func (s *suite) stopTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"CancelStubborn": func(t *testing.T) { s.cancel(t, "stubborn", "60000") },
		"CancelSleeping": func(t *testing.T) { s.cancel(t, "sleep", "60000") },
		"CancelGraceful": s.cancelGraceful,
		"CanceledBefore": s.canceledBefore,
		"Leftover":       s.leftover,
		"CloseTwice":     s.closeTwice,
		"CloseDuringRun": s.closeDuringRun,
		"RunAfterClose":  s.runAfterClose,
		"FailedCreate":   s.failedCreate,
		"NoWorkspace":    s.noWorkspace,
		"CanceledCreate": s.canceledCreate,
		"Crash":          s.crash,
	}
}

// trigger calls fire once, at the first byte.
type trigger struct {
	seen bytes.Buffer // not embedded: io.Copy would find its ReadFrom and pass Write by
	fire func()
}

func (w *trigger) Write(p []byte) (int, error) {
	if w.seen.Len() == 0 {
		w.fire()
	}
	return w.seen.Write(p)
}

func (s *suite) cancel(t *testing.T, args ...string) {
	b := s.open(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var asked time.Time
	_, err := b.Run(ctx, b.step(args...), &trigger{fire: func() {
		asked = time.Now()
		cancel(glovebox.ErrCanceled)
	}}, io.Discard)
	took := time.Since(asked)
	if err == nil || !errors.Is(context.Cause(ctx), glovebox.ErrCanceled) || asked.IsZero() {
		t.Fatalf("a canceled step: %v", err)
	}
	if took > patience {
		t.Errorf("it took %v to cancel", took)
	}
	b.close(t)
}

func (s *suite) cancelGraceful(t *testing.T) {
	b := s.open(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	w := &trigger{fire: func() { cancel(glovebox.ErrTimedOut) }}
	if _, err := b.Run(ctx, b.step("graceful"), w, io.Discard); err == nil {
		t.Error("a canceled step gave no error")
	}
	if got := w.seen.String(); got != "ready\nbye\n" {
		t.Errorf("a step is asked to end before it is killed, and its last words are kept: %q", got)
	}
}

func (s *suite) canceledBefore(t *testing.T) {
	b := s.open(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(glovebox.ErrCanceled)
	if _, err := b.Run(ctx, b.step("write", b.work("x"), "y"), io.Discard, io.Discard); err == nil {
		t.Error("a step whose context had ended gave no error")
	}
	if _, err := os.Stat(filepath.Join(b.spec.Workspace, "x")); err == nil {
		t.Error("it ran all the same")
	}
}

// leftover: processes that a step leaves behind die with it, also those that moved to a
// session of their own and hold its streams.
func (s *suite) leftover(t *testing.T) {
	b := s.open(t)
	start := time.Now()
	b.run(0, "daemon", b.work("beat"))
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("Run waited %v for a process left behind", took)
	}
	b.says("false", "growing", b.work("beat"))
}

func (s *suite) closeTwice(t *testing.T) {
	b := s.open(t)
	b.run(0, "exit", "0")
	for range 3 {
		b.close(t)
	}
}

func (s *suite) closeDuringRun(t *testing.T) {
	b := s.open(t)
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := b.Run(context.Background(), b.step("stubborn", "60000"), &trigger{fire: func() { close(ready) }}, io.Discard)
		ended <- err
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("the step ended: %v", err)
	}
	b.close(t)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a step whose sandbox was closed gave no error")
		}
	case <-time.After(patience):
		t.Fatal("Run did not return after Close")
	}
}

func (s *suite) runAfterClose(t *testing.T) {
	b := s.open(t)
	b.close(t)
	if _, err := b.Run(t.Context(), b.step("exit", "0"), io.Discard, io.Discard); err == nil {
		t.Error("a step ran in a closed sandbox")
	}
}

func (s *suite) failedCreate(t *testing.T) {
	b := s.prepare(t)
	b.spec.Workspace = filepath.Join(b.spec.Workspace, "absent")
	b.wantCreateFails(t, t.Context())
	b = s.prepare(t)
	b.spec.Network = "no-such-policy"
	if err := b.wantCreateFails(t, t.Context()); !errors.Is(err, glovebox.ErrUnsupported) {
		t.Errorf("an unknown network policy: %v, want ErrUnsupported", err)
	}
}

func (s *suite) canceledCreate(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(glovebox.ErrCanceled)
	s.prepare(t).wantCreateFails(t, ctx)
	// In the middle: wherever it is by then, it either fails clean or is closed clean.
	for _, after := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 60 * time.Millisecond, 120 * time.Millisecond} {
		b := s.prepare(t)
		ctx, cancel := context.WithTimeout(t.Context(), after)
		sb, err := s.Runtime.Create(ctx, b.spec)
		cancel()
		if err == nil {
			b.Sandbox = sb
			b.close(t)
		}
		b.wantNoTrace(t)
	}
}

func (b *box) wantCreateFails(t *testing.T, ctx context.Context) error {
	t.Helper()
	sb, err := b.suite.Runtime.Create(ctx, b.spec)
	if err == nil {
		sb.Close(t.Context())
		t.Fatal("Create succeeded")
	}
	b.wantNoTrace(t)
	return err
}

var _ sandbox.Sandbox = (*box)(nil)
