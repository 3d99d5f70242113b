package sandboxtest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// lateWorkspace makes a sandbox before its workspace and scratch folders are known.
func (s *suite) lateWorkspace(t *testing.T) {
	b := s.prepare(t)
	late := b.spec
	late.Workspace, late.Scratch = "", ""
	release := make(chan struct{})
	late.Ready = func(ctx context.Context) (string, string, error) {
		select {
		case <-release:
			return b.spec.Workspace, b.spec.Scratch, nil
		case <-ctx.Done():
			return "", "", context.Cause(ctx)
		}
	}
	created := make(chan error, 1)
	go func() {
		var err error
		b.Sandbox, err = s.Runtime.Create(t.Context(), late)
		created <- err
	}()
	must(t, os.WriteFile(filepath.Join(b.spec.Workspace, "late"), []byte("late"), 0o644))
	close(release)
	must(t, <-created)
	t.Cleanup(func() { b.close(t) })
	b.says("late", "cat", b.work("late"))
	b.says("late", "cat", b.work("late")) // the second step waits for nothing
}

// noWorkspace makes a sandbox whose workspace can't be made: it or its first step fails.
func (s *suite) noWorkspace(t *testing.T) {
	b := s.prepare(t)
	late := b.spec
	late.Workspace, late.Scratch = "", ""
	broken := errors.New("no disk")
	late.Ready = func(context.Context) (string, string, error) { return "", "", broken }
	sb, err := s.Runtime.Create(t.Context(), late)
	if err == nil {
		b.Sandbox = sb
		_, err = b.Run(t.Context(), b.step("exit", "0"), io.Discard, io.Discard)
		b.close(t)
	}
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the reason why there is no workspace", err)
	}
	b.wantNoTrace(t)
}
