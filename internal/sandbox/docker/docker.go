// Package docker is the runtime on a local Docker Engine, by its official client:
// each step is a container with few capabilities, no new privileges, the default
// system-call filter, an init, and every limit. Its root is the image's tree
// under an overlay that lies on the job's bounded disk, so no step can fill the
// host's; the engine never sees the image itself, only an empty skeleton of it. The engine's
// socket is never shown to a step. The package must not know the executor or other runtimes.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Options configure the runtime. The zero value is the engine that the docker
// command line would use by its environment variables.
type Options struct {
	// Host is the engine's address ("unix:///var/run/docker.sock"); $DOCKER_HOST, else
	// that socket, when empty. The engine must be on this host: it mounts folders of ours.
	Host string
	// Init is the path of a static init such as docker-init or tini; looked for when empty.
	Init string
	// Guard puts the rules of the egress policy in force for bridges named "gbx…";
	// without it the runtime refuses networks.
	Guard func(ctx context.Context) error
	// ResolvConf is the text of /etc/resolv.conf for steps with a network, whose servers Guard's rules let through.
	ResolvConf func() ([]byte, error)
	// Logger hears of clean-ups that did not succeed; silent when nil.
	Logger *slog.Logger
}

// Runtime makes sandboxes on one engine.
type Runtime struct {
	options Options
	client  *client.Client
	log     *slog.Logger
	facts   lazy[facts]

	mu        sync.Mutex
	skeletons map[string]*lazy[struct{}]
}

var (
	_ sandbox.Runtime = (*Runtime)(nil)
	_ image.Engine    = (*Runtime)(nil)
)

// New makes the runtime; it does not speak to the engine yet.
func New(o Options) (*Runtime, error) {
	opts := []client.Opt{client.FromEnv}
	if o.Host != "" {
		opts = append(opts, client.WithHost(o.Host))
	}
	c, err := client.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("configure Docker client: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Runtime{options: o, client: c, log: o.Logger, skeletons: map[string]*lazy[struct{}]{}}, nil
}

// Close ends the connections to the engine.
func (r *Runtime) Close() error { return r.client.Close() }

// Name returns "docker".
func (r *Runtime) Name() string { return "docker" }

// facts are what the runtime needs to know of its engine.
type facts struct {
	// systemd is set when the engine's cgroups are systemd's.
	systemd bool
	// cpus of the host: the engine refuses more.
	cpus int
	// init is the path of the init program on the host.
	init string
	// overlay2 is set when the engine keeps containers' layers in folders that we know the form of.
	overlay2 bool
}

// learn asks the engine for its facts, once until that succeeds.
func (r *Runtime) learn(ctx context.Context) (facts, error) {
	return r.facts.get(func() (facts, error) {
		info, err := r.client.Info(ctx, client.InfoOptions{})
		if err != nil {
			return facts{}, fmt.Errorf("ask Docker Engine: %w", err)
		}
		for _, o := range info.Info.SecurityOptions {
			switch {
			case strings.Contains(o, "name=rootless"):
				return facts{}, &sandbox.CheckError{Reason: "Docker Engine runs rootless, so it can't use mounts made by root", Fix: "use the system's Docker Engine, or the gvisor runtime"}
			case strings.Contains(o, "name=userns"):
				return facts{}, &sandbox.CheckError{Reason: "Docker Engine remaps users (userns-remap)", Fix: `remove "userns-remap" from /etc/docker/daemon.json, or use the gvisor runtime`}
			}
		}
		if info.Info.OSType != "linux" {
			return facts{}, &sandbox.CheckError{Reason: "Docker Engine runs " + info.Info.OSType + " containers", Fix: "use an engine for Linux containers"}
		}
		f := facts{systemd: info.Info.CgroupDriver == "systemd", cpus: info.Info.NCPU,
			overlay2: info.Info.Driver == "overlay2" && exists(filepath.Join(info.Info.DockerRootDir, "overlay2"))}
		f.init, err = findInit(r.options.Init, info.Info.InitBinary)
		return f, err
	})
}

// findInit finds the init that Docker's packages bring. It must be static, as it runs in any image.
func findInit(given, engines string) (string, error) {
	if given != "" {
		return given, nil
	}
	names := []string{"docker-init", "tini-static"}
	if engines != "" {
		names = append([]string{engines}, names...)
	}
	for _, n := range names {
		if path, err := exec.LookPath(n); err == nil {
			return path, nil
		}
		for _, dir := range []string{"/usr/libexec/docker/", "/usr/local/libexec/docker/", "/usr/lib/docker/", "/usr/local/lib/docker/", "/usr/bin/", "/usr/local/bin/"} {
			if info, err := os.Stat(dir + n); err == nil && info.Mode()&0o111 != 0 {
				return dir + n, nil
			}
		}
	}
	return "", &sandbox.CheckError{Reason: "docker-init, which comes with Docker Engine, is not on this host", Fix: "install it (Debian: apt-get install docker.io or tini)"}
}

// minAPI is the API of Docker Engine 20.10.
const minAPI = "1.41"

// Check looks for an engine that is new enough, on this host, and starts one container on it.
func (r *Runtime) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	ping, err := r.client.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	if err != nil {
		return r.unreachable(err)
	}
	if older(ping.APIVersion, minAPI) {
		return &sandbox.CheckError{Reason: "Docker Engine is too old (API " + ping.APIVersion + ")", Fix: "install Docker Engine 20.10 or newer"}
	}
	if os.Geteuid() != 0 {
		return &sandbox.CheckError{Reason: "not root: the steps' roots are overlay mounts", Fix: "run glovebox as root"}
	}
	var known *sandbox.CheckError
	if _, err := r.learn(ctx); errors.As(err, &known) {
		return known
	} else if err != nil {
		return r.unreachable(err)
	}
	if err := r.probe(ctx); err != nil {
		return &sandbox.CheckError{Reason: "a trial container did not run: " + err.Error(), Fix: "see that the engine is on this very host (not in another machine or container) and that \"docker run\" works"}
	}
	return nil
}

func (r *Runtime) unreachable(err error) error {
	fix := "install and start Docker Engine (Debian: apt-get install docker.io), or set DOCKER_HOST"
	if errors.Is(err, os.ErrPermission) || strings.Contains(err.Error(), "permission denied") {
		fix = "run glovebox as root, or as a member of the group docker"
	}
	return &sandbox.CheckError{Reason: "no Docker Engine answers at " + r.client.DaemonHost(), Fix: fix}
}

// older compares versions "1.41".
func older(a, b string) bool {
	var am, an, bm, bn int
	fmt.Sscanf(a, "%d.%d", &am, &an)
	fmt.Sscanf(b, "%d.%d", &bm, &bn)
	return am < bm || am == bm && an < bn
}

// Labels on every object that the runtime makes.
const (
	labelInstance = "dev.glovebox.instance"
	labelSandbox  = "dev.glovebox.sandbox"
)

// Sweep removes the containers, networks and mounts of an instance's earlier processes.
func (r *Runtime) Sweep(ctx context.Context, instance string) error {
	filter := client.Filters{}.Add("label", labelInstance+"="+instance)
	list, err := r.client.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filter})
	if err != nil {
		if client.IsErrConnectionFailed(err) { // no engine: it holds nothing of ours that runs
			return sweepMounts(instance)
		}
		return fmt.Errorf("list containers of %s: %w", instance, err)
	}
	var errs []error
	for _, c := range list.Items {
		errs = append(errs, r.sweepContainer(ctx, c.ID))
	}
	networks, err := r.client.NetworkList(ctx, client.NetworkListOptions{Filters: filter})
	errs = append(errs, err)
	for _, n := range networks.Items {
		errs = append(errs, r.removeNetwork(ctx, n.ID))
	}
	errs = append(errs, sweepMounts(instance))
	removeGroup(cgroups, filepath.Join("/", cgroupTop, cgroupInstance(instance)+"-*"))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep %s: %w", instance, err)
	}
	return nil
}

// sweepContainer ends a container, gives the engine its layer back and removes it.
func (r *Runtime) sweepContainer(ctx context.Context, id string) error {
	_, err := r.client.ContainerKill(ctx, id, client.ContainerKillOptions{})
	if err == nil {
		wait := r.client.ContainerWait(ctx, id, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
		select {
		case <-wait.Result:
		case <-wait.Error:
		}
	}
	r.unmountLayer(ctx, id)
	return r.remove(ctx, id)
}

// remove removes a container, running or not; one that is gone is fine.
func (r *Runtime) remove(ctx context.Context, id string) error {
	for {
		_, err := r.client.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
		switch {
		case err == nil || errdefs.IsNotFound(err):
			return nil
		case !errdefs.IsConflict(err): // "removal is already in progress" is one
			return fmt.Errorf("remove container: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove container: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ImageID returns the engine's ID for ref. An engine that does not answer has no images.
func (r *Runtime) ImageID(ctx context.Context, ref string) (string, error) {
	img, err := r.client.ImageInspect(ctx, ref)
	switch {
	case errdefs.IsNotFound(err), client.IsErrConnectionFailed(err):
		return "", fmt.Errorf("image %s: %w", ref, glovebox.ErrNotFound)
	case err != nil:
		return "", fmt.Errorf("inspect image %s: %w", ref, err)
	}
	return img.ID, nil
}

// lazy is a value made at first use; a failure is forgotten.
type lazy[T any] struct {
	mu    sync.Mutex
	done  bool
	value T
}

func (l *lazy[T]) get(make func() (T, error)) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done {
		return l.value, nil
	}
	v, err := make()
	if err == nil {
		l.value, l.done = v, true
	}
	return v, err
}

// forget makes the next get make the value anew.
func (l *lazy[T]) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done = false
}
