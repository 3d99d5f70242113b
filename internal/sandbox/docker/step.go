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

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
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
	exitCannotExecute = 126
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
	exit, err := b.contain(ctx, step, root, stdout, stderr)
	err = errors.Join(err, root.unmount())
	if err != nil {
		if ctx.Err() != nil {
			return exit, context.Cause(ctx)
		}
		return exit, fmt.Errorf("run step %s: %w", step.Key, err)
	}
	return exit, nil
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
	entries, err := topEntries(root.merged)
	if err != nil {
		return "", err
	}
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	for try := 0; ; try++ {
		skeleton, err := b.runtime.skeleton(call, entries)
		if err != nil {
			return "", err
		}
		p := plan{
			spec: b.spec, step: step, name: fmt.Sprintf("gbx-%s-%d", b.spec.ID, b.steps), skeleton: skeleton,
			merged: root.merged, entries: entries, init: b.facts.init, cpus: b.facts.cpus, network: b.network,
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

// run is a container that was started.
type run struct {
	box *box
	id  string
	// group is the cgroup around the container's; empty when there is none of ours.
	group string
	wait  client.ContainerWaitResult
	begun time.Time
	// copied gets the end of the streams; drained is set once it has come.
	copied  chan error
	drained bool
	usage   usage
}

// follow waits for the container's end, and brings it about when ctx ends.
func (r *run) follow(ctx context.Context) (sandbox.Exit, error) {
	stop := ctx.Done()
	var force <-chan time.Time
	var ended error
	samples := time.NewTicker(sampleEvery)
	defer samples.Stop()
	for {
		select {
		case res := <-r.wait.Result:
			return r.finish(res, ended)
		case err := <-r.wait.Error:
			return sandbox.Exit{}, errors.Join(ended, fmt.Errorf("wait for container: %w", err))
		case err := <-r.copied:
			r.drained = true
			r.copied = nil
			if err != nil && ended == nil { // the writer failed, or the engine went away
				ended = fmt.Errorf("read output: %w", err)
				r.kill("SIGKILL")
			}
		case <-samples.C:
			r.usage = r.usage.merge(readUsage(cgroups, r.inner()))
		case <-stop:
			stop, ended = nil, context.Cause(ctx)
			if errors.Is(ended, errClosed) {
				r.kill("SIGKILL")
			} else {
				r.kill("SIGTERM")
			}
			force = time.After(grace)
		case <-force:
			r.kill("SIGKILL")
			force = nil
			defer time.AfterFunc(lastWords, func() { r.box.removeNow(r.id) }).Stop()
		}
	}
}

// inner is the container's own cgroup, while it runs.
func (r *run) inner() string {
	if r.group == "" {
		return "/system.slice/docker-" + r.id + ".scope"
	}
	return r.group + "/" + r.id
}

func (r *run) kill(signal string) {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	_, err := r.box.runtime.client.ContainerKill(ctx, r.id, client.ContainerKillOptions{Signal: signal})
	if err != nil && !errdefs.IsConflict(err) && !errdefs.IsNotFound(err) { // not running any more
		r.box.runtime.log.Warn("container not killed", "sandbox", r.box.spec.ID, "signal", signal, "error", err)
	}
}

// removeNow is the last resort for a container whose end is not reported.
func (b *box) removeNow(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
	defer cancel()
	if err := b.runtime.remove(ctx, id); err != nil {
		b.runtime.log.Warn("container not removed", "sandbox", b.spec.ID, "error", err)
	}
}

// finish reads the rest of the output and makes the exit.
func (r *run) finish(res container.WaitResponse, ended error) (sandbox.Exit, error) {
	wall := time.Since(r.begun).Seconds()
	if !r.drained {
		select {
		case err := <-r.copied:
			r.drained = true
			if err != nil && ended == nil {
				ended = fmt.Errorf("read output: %w", err)
			}
		case <-time.After(lastWords):
			ended = errors.Join(ended, errors.New("output of a container that ended did not end"))
		}
	}
	exit := sandbox.Exit{Code: int(res.StatusCode)}
	if r.group != "" {
		r.usage = r.usage.merge(readUsage(cgroups, r.group))
	}
	exit.Usage = glovebox.Usage{WallSeconds: wall, CPUSeconds: r.usage.cpu.Seconds(), PeakMemory: r.usage.memory}
	if exit.Code != 0 {
		exit.OOM = r.usage.oomKills > 0 || r.wasOOM()
		exit.PidsLimit = r.usage.pidsHits > 0
	}
	if res.Error != nil && res.Error.Message != "" && ended == nil {
		ended = fmt.Errorf("wait for container: %s", res.Error.Message)
	}
	return exit, ended
}

// wasOOM asks the engine, which hears of each process that the memory limit ended.
func (r *run) wasOOM() bool {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	c, err := r.box.runtime.client.ContainerInspect(ctx, r.id, client.ContainerInspectOptions{})
	return err == nil && c.Container.State != nil && c.Container.State.OOMKilled
}
