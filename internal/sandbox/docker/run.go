package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

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
