package fake

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

func box0(t *testing.T, r *Runtime) (sandbox.Sandbox, string) {
	t.Helper()
	dir := t.TempDir()
	b, err := r.Create(context.Background(), sandbox.Spec{ID: "a", Workspace: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(context.Background()) })
	return b, dir
}

func TestScripts(t *testing.T) {
	for name, c := range map[string]struct {
		script, stdout, stderr string
		exit                   sandbox.Exit
	}{
		"streams": {script: "echo a b\nerr c\n# nothing\nprint \"x\\r\"", stdout: "a b\nx\r", stderr: "c\n"},
		"exit":    {script: "exit 3\necho no", exit: sandbox.Exit{Code: 3}},
		"files":   {script: "mkdir d\nwrite d/f one\nappend d/f two\ncat d/f\ncat /work/d/f\nrm d\nexists d", stdout: "one\ntwo\none\ntwo\n", stderr: "fake: exists: statat d: no such file or directory\n", exit: sandbox.Exit{Code: 1}},
		"env":     {script: "env A\nenv B", stdout: "1\n", stderr: "fake: B is not set\n", exit: sandbox.Exit{Code: 1}},
		"oom":     {script: "oom", exit: sandbox.Exit{Code: 137, OOM: true}},
		"spam":    {script: "spam 2 x", stdout: "x\nx\n"},
		"unknown": {script: "make", stderr: "fake: make: not found\n", exit: sandbox.Exit{Code: 127}},
		"escape":  {script: "link /etc/passwd l\ncat l", stderr: "fake: cat: openat l: path escapes from parent\n", exit: sandbox.Exit{Code: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _ := box0(t, &Runtime{})
			var stdout, stderr bytes.Buffer
			exit, err := b.Run(context.Background(), sandbox.Step{Key: "s", Argv: []string{"sh", "-e", "-c", c.script}, Env: []string{"A=1"}, Dir: "/work"}, &stdout, &stderr)
			exit.Usage = glovebox.Usage{}
			if err != nil || exit != c.exit {
				t.Errorf("exit %+v, %v; want %+v", exit, err, c.exit)
			}
			if stdout.String() != c.stdout || stderr.String() != c.stderr {
				t.Errorf("stdout %q, stderr %q; want %q, %q", &stdout, &stderr, c.stdout, c.stderr)
			}
		})
	}
}

func TestNothingIsWrittenOutsideTheWorkspace(t *testing.T) {
	b, dir := box0(t, &Runtime{})
	for _, script := range []string{"write ../x y", "write /../x y", "link .. up\nwrite up/x y", "mkdir ../x"} {
		_, _ = b.Run(context.Background(), sandbox.Step{Argv: []string{"sh", "-c", script}, Dir: "/work"}, new(bytes.Buffer), new(bytes.Buffer))
	}
	if _, err := os.Lstat(filepath.Join(filepath.Dir(dir), "x")); !os.IsNotExist(err) {
		t.Errorf("a script left its workspace: %v", err)
	}
}

func TestHangEndsWithItsContextOrSandbox(t *testing.T) {
	r := &Runtime{}
	started := make(chan struct{}, 2)
	r.OnRun = func(sandbox.Spec, sandbox.Step) { started <- struct{}{} }
	b, _ := box0(t, r)
	run := func(ctx context.Context) chan error {
		out := make(chan error, 1)
		go func() {
			_, err := b.Run(ctx, sandbox.Step{Argv: []string{"hang"}}, new(bytes.Buffer), new(bytes.Buffer))
			out <- err
		}()
		return out
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	out := run(ctx)
	<-started
	cancel(glovebox.ErrCanceled)
	if err := <-out; !errors.Is(err, glovebox.ErrCanceled) {
		t.Errorf("canceled: %v", err)
	}
	out = run(context.Background())
	<-started
	if err := b.Close(context.Background()); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-out; !errors.Is(err, errClosed) {
		t.Errorf("closed: %v", err)
	}
	if err := b.Close(context.Background()); err != nil || r.Open() != 0 {
		t.Errorf("close again: %v, %d open", err, r.Open())
	}
}

func TestStepFilesAndCaches(t *testing.T) {
	dir, cache := t.TempDir(), t.TempDir()
	r := &Runtime{}
	b, err := r.Create(context.Background(), sandbox.Spec{ID: "a", Workspace: dir, Caches: []sandbox.Cache{{Source: cache, Path: "/root/.npm"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(context.Background())
	for _, c := range []struct {
		script, stdout, stderr string
		code                   int
		files                  []sandbox.File
	}{
		{script: "cat /opt/x\ncat x\nwrite /root/.npm/y kept", stdout: "onetwo", files: []sandbox.File{{Path: "/opt/x", Data: []byte("one")}, {Path: "/work/x", Data: []byte("two")}}},
		{script: "write x no", stderr: "fake: write: x: read-only file system\n", code: 1, files: []sandbox.File{{Path: "/work/x"}}},
		{script: "cat /root/.npm/y\nexists x", stdout: "kept\n", stderr: "fake: exists: statat x: no such file or directory\n", code: 1},
		{script: "link / /root/.npm/up\ncat /root/.npm/up/etc/passwd", stderr: "fake: cat: openat up/etc/passwd: path escapes from parent\n", code: 1},
		{script: "/tmp/s", stdout: "from a file\n", files: []sandbox.File{{Path: "/tmp/s", Data: []byte("echo from a file")}}},
		{script: "echo no", stderr: "fake: can't show \"x\": want an absolute path of at most 4095 bytes\n", code: sandbox.ExitFault, files: []sandbox.File{{Path: "x"}}},
	} {
		var stdout, stderr bytes.Buffer
		exit, err := b.Run(context.Background(), sandbox.Step{Key: "s", Argv: []string{"sh", "-e", c.script}, Dir: "/work", Files: c.files}, &stdout, &stderr)
		if err != nil || exit.Code != c.code || stdout.String() != c.stdout || stderr.String() != c.stderr {
			t.Errorf("%q: exit %d, %v, stdout %q, stderr %q", c.script, exit.Code, err, &stdout, &stderr)
		}
	}
	if _, err := r.Create(context.Background(), sandbox.Spec{ID: "b", Workspace: dir, Caches: []sandbox.Cache{{Source: cache, Path: "/work/x"}}}); !errors.Is(err, glovebox.ErrUnsupported) {
		t.Errorf("a cache in the workspace: %v", err)
	}
}
