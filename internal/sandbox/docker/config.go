package docker

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/view"
)

// capabilities are all that root has inside: enough to install packages and to serve low ports.
func capabilities() []string {
	return []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"}
}

// plan is all that a container's configuration follows from.
type plan struct {
	spec     sandbox.Spec
	step     sandbox.Step
	name     string
	skeleton string
	// merged is the step's root on the host, entries what is at its top.
	merged  string
	entries []entry
	// shown is what the step sees besides its image.
	shown []view.Bind
	// etc is the folder with the step's own hostname, hosts and resolv.conf.
	etc     string
	init    string
	cpus    int    // of the host
	network string // name of the job's network; empty for none
	// writable is set when the engine's own layer of the container is bounded.
	writable bool
	// parent is the cgroup to make the container's in; empty for the engine's own choice.
	parent string
}

// config is the container of one step. Everything the engine is asked for is here.
func (p plan) config() client.ContainerCreateOptions {
	l := p.spec.Limits
	no := false
	pids := int64(l.Pids)
	network := container.NetworkMode("none")
	if p.network != "" {
		network = container.NetworkMode(p.network)
	}
	// An init reaps what a step leaves behind, passes signals on to the step's
	// process group, and reports a missing program by 127. It is mounted by us:
	// the engine's own way would put it at /sbin, beneath our mounts.
	argv := append([]string{"/" + initName, "-g", "--"}, p.step.Argv...)
	return client.ContainerCreateOptions{
		Name: p.name,
		Config: &container.Config{
			Hostname:     hostname,
			User:         "0:0",
			Image:        p.skeleton,
			Entrypoint:   argv[:3],
			Cmd:          argv[3:],
			Env:          p.step.Env,
			WorkingDir:   p.step.Dir,
			AttachStdout: true,
			AttachStderr: true,
			Labels:       map[string]string{labelInstance: p.spec.Instance, labelSandbox: p.spec.ID},
			Healthcheck:  &container.HealthConfig{Test: []string{"NONE"}},
		},
		HostConfig: &container.HostConfig{
			LogConfig:      container.LogConfig{Type: "none"},
			NetworkMode:    network,
			RestartPolicy:  container.RestartPolicy{Name: container.RestartPolicyDisabled},
			CapDrop:        []string{"ALL"},
			CapAdd:         capabilities(),
			SecurityOpt:    []string{"no-new-privileges:true"},
			IpcMode:        "private",
			CgroupnsMode:   "private",
			ReadonlyRootfs: !p.writable,
			Init:           &no,
			Mounts:         p.mounts(),
			Resources: container.Resources{
				CgroupParent: p.parent,
				Memory:       int64(l.Memory),
				MemorySwap:   int64(l.Memory), // no swap besides
				NanoCPUs:     p.nanoCPUs(),
				PidsLimit:    &pids,
				Ulimits:      []*container.Ulimit{{Name: "core", Soft: 0, Hard: 0}, {Name: "nofile", Soft: int64(l.OpenFiles), Hard: int64(l.OpenFiles)}},
			},
		},
	}
}

// nanoCPUs is the CPU limit; the engine refuses more than the host has.
func (p plan) nanoCPUs() int64 {
	cpus := p.spec.Limits.CPUs
	if p.cpus > 0 {
		cpus = min(cpus, float64(p.cpus))
	}
	return int64(cpus * 1e9)
}

func (p plan) mounts() []mount.Mount {
	var mounts []mount.Mount
	bound := map[string]bool{} // top-level folders that the image's own binds replace
	for _, b := range p.step.Image.Binds {
		bound[strings.TrimPrefix(filepath.Clean(b.Target), "/")] = true
	}
	for _, e := range p.entries {
		if e.kind != 'l' && !bound[e.name] {
			mounts = append(mounts, bind(filepath.Join(p.merged, e.name), "/"+e.name, false))
		}
	}
	for _, b := range p.step.Image.Binds {
		mounts = append(mounts, bind(b.Source, b.Target, true))
	}
	mounts = append(mounts, etcMounts(p.etc)...)
	mounts = append(mounts, bind(p.init, "/"+initName, true))
	mounts = append(mounts, bind(p.spec.Workspace, sandbox.WorkspaceDir, false))
	return p.show(mounts)
}

// show adds what the step sees besides its image. The engine takes one mount at each place.
func (p plan) show(mounts []mount.Mount) []mount.Mount {
	put := func(m mount.Mount) {
		mounts = slices.DeleteFunc(mounts, func(other mount.Mount) bool { return filepath.Clean(other.Target) == m.Target })
		mounts = append(mounts, m)
	}
	for _, b := range p.shown {
		// A folder at the top that the image has not is in the step's root alone, not in the skeleton.
		if top, _, deep := strings.Cut(b.Target[1:], "/"); deep && !slices.ContainsFunc(mounts, func(m mount.Mount) bool { return sandbox.Beneath(b.Target, filepath.Clean(m.Target)) }) {
			put(bind(filepath.Join(p.merged, top), "/"+top, false))
		}
		put(bind(b.Source, b.Target, b.ReadOnly))
	}
	return mounts
}

// bind is a bind mount without what is mounted beneath the source, and nothing mounted later shows up in it.
func bind(source, target string, readOnly bool) mount.Mount {
	return mount.Mount{
		Type: mount.TypeBind, Source: source, Target: target, ReadOnly: readOnly,
		BindOptions: &mount.BindOptions{Propagation: mount.PropagationRPrivate, NonRecursive: true},
	}
}
