package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/view"
)

const (
	// callTimeout bounds one call to the engine that starts or makes something.
	callTimeout = time.Minute
	// grace is how long a step may take to end once asked to.
	grace = 2 * time.Second
	// lastWords bounds the wait for a killed container to be reported, and for its output.
	lastWords = 10 * time.Second
	// sampleEvery is how often the cgroup of a running container is looked at.
	sampleEvery = 250 * time.Millisecond
)

// Exit codes of steps that could not be started.
const (
	exitCannotExecute = sandbox.ExitFault
	exitKilled        = 137
)

// Run runs one step as a container.
func (b *box) Run(ctx context.Context, step sandbox.Step, stdout, stderr io.Writer) (sandbox.Exit, error) {
	if b.life.Err() != nil {
		return sandbox.Exit{}, fmt.Errorf("run step %s: %w", step.Key, errClosed)
	}
	if !b.running.TryLock() {
		return sandbox.Exit{}, fmt.Errorf("run step %s: the sandbox is closed or runs another step", step.Key)
	}
	defer b.running.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.life, func() { cancel(errClosed) })()
	if ctx.Err() != nil {
		return sandbox.Exit{}, context.Cause(ctx)
	}
	if b.absent(step.Dir) {
		fmt.Fprintf(stderr, "glovebox: folder %s does not exist\n", step.Dir)
		return sandbox.Exit{Code: exitCannotExecute}, nil
	}
	root, err := b.nextRoot(step.Image.Rootfs)
	if err != nil {
		return sandbox.Exit{}, fmt.Errorf("run step %s: %w", step.Key, err)
	}
	exit, err := b.runPlaced(ctx, step, root, stdout, stderr)
	err = errors.Join(err, root.unmount())
	if err != nil {
		if ctx.Err() != nil {
			return exit, context.Cause(ctx)
		}
		return exit, fmt.Errorf("run step %s: %w", step.Key, err)
	}
	return exit, nil
}

// runPlaced runs the step with what it is shown besides its image in place, and takes that away again.
func (b *box) runPlaced(ctx context.Context, step sandbox.Step, root *root, stdout, stderr io.Writer) (sandbox.Exit, error) {
	entries, err := topEntries(root.merged) // what is made at the top from here on is no part of the skeleton
	if err != nil {
		return sandbox.Exit{}, err
	}
	root.entries = entries
	if err := root.place(b.spec, step); err != nil {
		var fault *view.Fault
		if errors.As(err, &fault) {
			fmt.Fprintf(stderr, "glovebox: %v\n", fault)
			return sandbox.Exit{Code: sandbox.ExitFault}, nil
		}
		return sandbox.Exit{}, err
	}
	exit, err := b.contain(ctx, step, root, stdout, stderr)
	return exit, errors.Join(err, root.placed.Remove())
}

// absent reports that a step's folder is surely not there. Where links lead
// elsewhere inside the sandbox only the container can tell.
func (b *box) absent(dir string) bool {
	rel, ok := strings.CutPrefix(dir, sandbox.WorkspaceDir+"/")
	if !ok {
		return false
	}
	work, err := os.OpenRoot(b.spec.Workspace)
	if err != nil {
		return false
	}
	defer work.Close()
	_, err = work.Stat(rel)
	return errors.Is(err, fs.ErrNotExist)
}

// contain creates the step's container, runs it and has it removed.
func (b *box) contain(ctx context.Context, step sandbox.Step, root *root, stdout, stderr io.Writer) (sandbox.Exit, error) {
	group := ""
	if !b.facts.systemd {
		group = cgroupParent(b.spec.Instance, b.spec.ID, b.steps)
	}
	id, err := b.create(ctx, step, root, group)
	if err != nil {
		return sandbox.Exit{}, err
	}
	var bounded *layer
	defer func() { b.removeLater(id, bounded, group) }()
	if b.facts.overlay2 {
		if bounded, err = b.boundLayer(context.WithoutCancel(ctx), id, root.dir); err != nil {
			return sandbox.Exit{}, err
		}
	}
	// Streams of the engine live until the step is over, whatever becomes of ctx.
	streams, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	defer hangUp()
	attached, err := b.runtime.client.ContainerAttach(streams, id, client.ContainerAttachOptions{Stream: true, Stdout: true, Stderr: true})
	if err != nil {
		return sandbox.Exit{}, fmt.Errorf("attach to container: %w", err)
	}
	wait := b.runtime.client.ContainerWait(streams, id, client.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if ctx.Err() != nil {
		attached.Close()
		return sandbox.Exit{}, context.Cause(ctx)
	}
	r := &run{box: b, id: id, group: group, wait: wait, copied: make(chan error, 1), begun: time.Now()}
	if err := b.start(ctx, id); err != nil {
		attached.Close()
		return refused(err, step, stderr)
	}
	if bounded != nil && !bounded.inUse() {
		attached.Close()
		r.kill("SIGKILL")
		return sandbox.Exit{}, errors.New("Docker Engine does not see mounts made by glovebox, so it can't bound the step's disk")
	}
	go func() {
		_, err := stdcopy.StdCopy(stdout, stderr, attached.Reader)
		r.copied <- err
	}()
	exit, err := r.follow(ctx)
	attached.Close()
	if !r.drained {
		<-r.copied // nobody writes to the caller's writers after Run
	}
	return exit, err
}

func (b *box) create(ctx context.Context, step sandbox.Step, root *root, group string) (string, error) {
	if b.network != "" {
		if err := b.guard(ctx); err != nil {
			return "", err
		}
	}
	resolvConf, err := b.resolvConf()
	if err == nil {
		err = writeEtc(root.etc(), resolvConf)
	}
	if err != nil {
		return "", err
	}
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	for try := 0; ; try++ {
		skeleton, err := b.runtime.skeleton(call, root.entries)
		if err != nil {
			return "", err
		}
		p := plan{
			spec: b.spec, step: step, name: fmt.Sprintf("gbx-%s-%d", b.spec.ID, b.steps), skeleton: skeleton,
			merged: root.merged, entries: root.entries, shown: root.shown(), etc: root.etc(), init: b.facts.init, cpus: b.facts.cpus, network: b.network,
			writable: b.facts.overlay2, parent: group,
		}
		made, err := b.runtime.client.ContainerCreate(call, p.config())
		if errdefs.IsNotFound(err) && try == 0 { // somebody pruned the engine's images
			b.runtime.skeletonState(skeleton).forget()
			continue
		}
		if err != nil {
			return "", fmt.Errorf("create container: %w", err)
		}
		return made.ID, nil
	}
}

// start is seen through even if ctx ends: half started, a container could not be stopped for sure.
func (b *box) start(ctx context.Context, id string) error {
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if _, err := b.runtime.client.ContainerStart(call, id, client.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("start container: %w", err)
	}
	return nil
}

// refused tells a step that can't be started, which is its own fault, from a fault of ours.
func refused(err error, step sandbox.Step, stderr io.Writer) (sandbox.Exit, error) {
	text := err.Error()
	switch {
	case strings.Contains(text, "chdir to cwd"), step.Dir != sandbox.WorkspaceDir && strings.Contains(text, "mkdir "+step.Dir):
		fmt.Fprintf(stderr, "glovebox: folder %s does not exist\n", step.Dir)
		return sandbox.Exit{Code: exitCannotExecute}, nil
	case strings.Contains(text, "OOM-killed"):
		return sandbox.Exit{Code: exitKilled, OOM: true}, nil
	}
	return sandbox.Exit{}, err
}
