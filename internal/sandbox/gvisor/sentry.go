package gvisor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/glovebox-dev/glovebox"
)

// bootPatience bounds the start of a sentry, which takes a tenth of a second on an idle host.
const bootPatience = time.Minute

// sentry is a running sentry with its first container: a "runsc run" in the foreground.
type sentry struct {
	// id is the first container's.
	id string
	// exited is closed when runsc has ended.
	exited chan struct{}
	// baseline is the memory that gVisor itself uses.
	baseline int64
}

func (s *sentry) alive() bool {
	if s == nil {
		return false
	}
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// stateDir is runsc's own state of this sandbox.
func (s *Sandbox) stateDir() string { return filepath.Join(s.spec.State, "runsc") }

// sharedParent holds a folder for each sandbox, named after instance and ID, where runsc
// mounts the empty network namespace of its gofers: Sweep must find that mount.
const sharedParent = "/run/glovebox"

// sharedDir is a sandbox's folder in sharedParent; "~" is in no name.
func sharedDir(instance, id string) string { return filepath.Join(sharedParent, instance+"~"+id) }

// removeShared unmounts and removes a folder in sharedParent.
func removeShared(dir string) error {
	if err := unmount(filepath.Join(dir, "null-netns")); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove runsc's shared state: %w", err)
	}
	return nil
}

// command makes a call of runsc. log is the file for runsc's errors.
func (s *Sandbox) command(log string, args ...string) *exec.Cmd {
	network := "none"
	if s.spec.Network == glovebox.NetworkPublic {
		network = "sandbox"
	}
	flags := []string{
		"--root=" + s.stateDir(),
		"--shared-root=" + sharedDir(s.spec.Instance, s.spec.ID),
		"--platform=systrap",
		"--network=" + network,
		"--ignore-cgroups",               // ours are made before the first process is
		"--overlay2=none",                // the host's overlayfs does it, on the bounded disk
		"--file-access-mounts=exclusive", // nobody else writes the workspace meanwhile
		"--host-settings=ignore",         // no business of ours to change
		"--character-device-policy=emulated-only",
		"--host-uds=none",
		"--host-fifo=none",
		"--log=" + log, "--log-format=json",
	}
	cmd := exec.Command(s.runtime.exe, append(flags, args...)...)
	cmd.Args[0] = "runsc"
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=" + s.spec.State}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setsid: true}
	return cmd
}

// short makes a call of runsc that does little itself cheaper: one thread at a time, little garbage collection.
func short(cmd *exec.Cmd) *exec.Cmd {
	cmd.Env = append(cmd.Env, "GOMAXPROCS=1", "GOGC=400")
	return cmd
}

// start starts a call of runsc in the sandbox's cgroup.
func (s *Sandbox) start(cmd *exec.Cmd) error {
	f, err := s.cgroup.place(cmd)
	if err != nil {
		return err
	}
	if f != nil {
		defer f.Close()
	}
	return s.launcher.start(cmd)
}

// boot starts a sentry and returns when it runs code. The caller holds running, or is Create.
func (s *Sandbox) boot(ctx context.Context) error {
	if err := s.stopSentry(); err != nil {
		return err
	}
	s.count++
	name := fmt.Sprintf("sentry-%d", s.count)
	dir := filepath.Join(s.spec.State, name)
	log := filepath.Join(dir, "log")
	netns := ""
	if s.network != nil {
		netns = s.network.Path
	}
	if err := os.MkdirAll(sharedDir(s.spec.Instance, s.spec.ID), 0o700); err != nil {
		return fmt.Errorf("start sentry: %w", err)
	}
	if err := writePause(dir); err != nil {
		return fmt.Errorf("start sentry: %w", err)
	}
	if err := writeBundle(dir, pauseSpec(filepath.Join(dir, "root"), netns, s.spec.Caches)); err != nil {
		return fmt.Errorf("start sentry: %w", err)
	}
	ready, stdout, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("start sentry: %w", err)
	}
	defer ready.Close()
	id := s.spec.ID + "-" + name
	cmd := short(s.command(log, "run", "--bundle="+dir, id)) // the sentry itself does not inherit what that sets
	var stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	cmd.WaitDelay = time.Second
	err = s.start(cmd)
	stdout.Close()
	if err != nil {
		return fmt.Errorf("start sentry: %w", err)
	}
	s.sentry = &sentry{id: id, exited: make(chan struct{})}
	go func(sn *sentry) {
		defer close(sn.exited)
		_ = cmd.Wait() // it ends by being killed
	}(s.sentry)
	_ = ready.SetReadDeadline(time.Now().Add(bootPatience))
	stop := context.AfterFunc(ctx, func() { ready.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := ready.Read(make([]byte, 1)); err != nil {
		oom := s.cgroup.oomKills() > 0
		errs := s.stopSentry()
		switch {
		case ctx.Err() != nil:
			return errors.Join(context.Cause(ctx), errs)
		case s.isClosed():
			return errors.Join(errClosed, errs)
		case oom:
			return errors.Join(errors.New("start sentry: the memory limit is too small"), errs)
		}
		return errors.Join(fmt.Errorf("start sentry: %w: %s", err, strings.TrimSpace(stderr.String()+" "+lastError(log))), errs)
	}
	s.sentry.baseline = s.cgroup.memory()
	return nil
}

// stopSentry kills everything in the sandbox and waits until it is gone.
func (s *Sandbox) stopSentry() error {
	if s.sentry != nil {
		s.cgroup.kill()
		<-s.sentry.exited
		s.sentry = nil
	}
	if err := removeShared(sharedDir(s.spec.Instance, s.spec.ID)); err != nil {
		return err
	}
	if err := os.RemoveAll(s.stateDir()); err != nil {
		return fmt.Errorf("remove runsc's state: %w", err)
	}
	return nil
}

// writePause makes the first container's root.
func writePause(dir string) error {
	program, err := pauseProgram()
	if err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(root, "pause"), program, 0o755)
}

// writeBundle writes an OCI bundle's config.json.
func writeBundle(dir string, spec *specs.Spec) error {
	b, err := json.Marshal(spec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), b, 0o600)
}

// lastError returns the last error that runsc logged to a file; "" without one.
func lastError(log string) string {
	b, _ := os.ReadFile(log)
	last := ""
	for line := range bytes.Lines(b) {
		var record struct{ Level, Msg string }
		if json.Unmarshal(line, &record) == nil && record.Level == "error" {
			last = record.Msg
		}
	}
	return last
}

// retry calls f with growing pauses until it is true or ctx ends.
func retry(ctx context.Context, f func() bool) error {
	for wait := time.Millisecond; !f(); wait = min(2*wait, 20*time.Millisecond) {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
	return nil
}
