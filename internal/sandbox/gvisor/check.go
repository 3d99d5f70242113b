package gvisor

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// checkTimeout bounds Check.
const checkTimeout = 40 * time.Second

// Check runs a trivial step in a real sandbox. Only where that fails does it look for
// the reason, so that a host that works is never refused for what it seems to lack.
func (r *Runtime) Check(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return &sandbox.CheckError{Reason: "gVisor needs root for cgroups, mounts and network namespaces", Fix: "run glovebox as root"}
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := r.try(ctx); err != nil {
		return diagnose(err)
	}
	return nil
}

// try makes a sandbox with everything a job's has and runs a program in it.
func (r *Runtime) try(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "glovebox-check-")
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := os.RemoveAll(dir); err == nil {
			err = removeErr
		}
	}()
	d, err := disk.Create(ctx, filepath.Join(dir, "disk"), 16<<20, disk.Options{})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := d.Close(); err == nil {
			err = closeErr
		}
	}()
	root, state := filepath.Join(dir, "root"), filepath.Join(dir, "state")
	if err := os.Mkdir(root, 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(state, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(root, "true"), trueProgram(), 0o755); err != nil {
		return err
	}
	sb, err := r.Create(ctx, sandbox.Spec{
		ID: "check-" + strings.ToLower(rand.Text()[:12]), Instance: "check", Workspace: d.Work(), Scratch: d.Scratch(), State: state,
		Limits: glovebox.DefaultLimits(), Network: glovebox.NetworkNone,
	})
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := sb.Close(context.WithoutCancel(ctx)); err == nil {
			err = closeErr
		}
	}()
	var out bytes.Buffer
	exit, err := sb.Run(ctx, sandbox.Step{Key: "true", Image: &image.Image{Rootfs: root}, Argv: []string{"/true"}, Dir: "/"}, &out, &out)
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("a trivial step ended with code %d: %s", exit.Code, out.String())
	}
	return err
}

// diagnose finds words and a remedy for why a sandbox could not be made.
func diagnose(err error) *sandbox.CheckError {
	e := &sandbox.CheckError{Reason: fmt.Sprintf("a trial sandbox failed: %v", err), Fix: "see the reason; docs/operations.md lists what gVisor needs"}
	text := err.Error()
	var uname unix.Utsname
	_ = unix.Uname(&uname)
	for _, known := range []struct{ text, fix string }{
		{"mkfs.ext4", "install the package e2fsprogs"},
		{"loop device", "load the kernel module loop, and give a container --device /dev/loop-control and the loop devices"},
		{"limit by cgroup", "mount cgroups (version 2, or version 1) at /sys/fs/cgroup, writable, with the controllers memory, cpu and pids"},
		{"mount overlay", "the kernel needs overlayfs; keep the data folder on ext4 or xfs"},
		{"start sentry", "the kernel (" + unix.ByteSliceToString(uname.Release[:]) + ") or the container around glovebox forbids namespaces, ptrace or seccomp: allow them, or run glovebox on the host"},
	} {
		if strings.Contains(text, known.text) {
			e.Fix = known.fix
			break
		}
	}
	return e
}
