package gvisor

import (
	"fmt"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// Annotations with which runsc tells a sandbox's first container from those that join it.
const (
	kindAnnotation    = "io.kubernetes.cri.container-type"
	sandboxAnnotation = "io.kubernetes.cri.sandbox-id"
	// mountAnnotation begins those of the first container that say who else writes to a mount.
	mountAnnotation = "dev.gvisor.spec.mount."
)

// hostname is what every step sees.
const hostname = "glovebox"

// capabilities are those of user 0 in a step: enough to install packages and to become
// another user, nothing that reaches the kernel's own settings.
func capabilities() *specs.LinuxCapabilities {
	set := []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_SETUID", "CAP_SETGID",
		"CAP_KILL", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE"}
	return &specs.LinuxCapabilities{Bounding: set, Effective: set, Permitted: set}
}

// pauseSpec is the OCI spec of the first container, whose root is read-only. netns is
// the path of the network namespace that the sentry's network stack takes over; "" for none.
func pauseSpec(rootfs, netns string, caches []sandbox.Cache) *specs.Spec {
	annotations := map[string]string{kindAnnotation: "sandbox"}
	for i, c := range caches {
		if slices.ContainsFunc(caches[:i], func(d sandbox.Cache) bool { return d.Source == c.Source }) {
			continue // one folder at two places needs one hint
		}
		// Others write to it meanwhile: the sentry must ask the host anew each time.
		hint := fmt.Sprintf("%scache%d.", mountAnnotation, i)
		annotations[hint+"source"], annotations[hint+"type"], annotations[hint+"share"] = c.Source, "bind", "shared"
	}
	return &specs.Spec{
		Version:  specs.Version,
		Process:  &specs.Process{Args: []string{"/pause"}, Cwd: "/", NoNewPrivileges: true, Capabilities: &specs.LinuxCapabilities{}},
		Root:     &specs.Root{Path: rootfs, Readonly: true},
		Hostname: hostname,
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
			{Type: specs.NetworkNamespace, Path: netns},
		}},
		Annotations: annotations,
	}
}

// stepSpec is the OCI spec of a step. It has no PID namespace of its own: its first
// process is then an ordinary one, which signals end as users expect, and orphans go to
// the first container's process. gVisor kills them with the step's container.
func stepSpec(spec sandbox.Spec, step sandbox.Step, first string, l *layer) *specs.Spec {
	rlimit := func(name string, n uint64) specs.POSIXRlimit { return specs.POSIXRlimit{Type: name, Soft: n, Hard: n} }
	mounts := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755"}},
		// Files in memory are memory: the cgroup bounds them.
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "nodev", "noexec", "mode=1777"}},
		{Destination: "/tmp", Type: "bind", Source: l.tmp, Options: []string{"rbind", "rw", "nosuid", "nodev"}},
	}
	for _, b := range step.Image.Binds {
		mounts = append(mounts, specs.Mount{Destination: b.Target, Type: "bind", Source: b.Source, Options: []string{"rbind", "ro", "nosuid", "nodev"}})
	}
	mounts = append(mounts, specs.Mount{Destination: sandbox.WorkspaceDir, Type: "bind", Source: spec.Workspace, Options: []string{"rbind", "rw", "nosuid", "nodev"}})
	for _, b := range l.shown() {
		mode := "rw"
		if b.ReadOnly {
			mode = "ro"
		}
		// The sentry orders mounts by the length of their path, so there must be one at each.
		mounts = slices.DeleteFunc(mounts, func(m specs.Mount) bool { return m.Destination == b.Target })
		mounts = append(mounts, specs.Mount{Destination: b.Target, Type: "bind", Source: b.Source, Options: []string{"rbind", mode, "nosuid", "nodev"}})
	}
	return &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{
			Args: step.Argv, Env: step.Env, Cwd: filepath.Clean(step.Dir),
			Capabilities: capabilities(), NoNewPrivileges: true,
			Rlimits: []specs.POSIXRlimit{
				rlimit("RLIMIT_NOFILE", uint64(spec.Limits.OpenFiles)),
				// The first container's process counts as one of user 0's.
				rlimit("RLIMIT_NPROC", uint64(spec.Limits.Pids)+1),
				rlimit("RLIMIT_CORE", 0),
			},
		},
		Root:     &specs.Root{Path: l.root},
		Hostname: hostname,
		Mounts:   mounts,
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
		}},
		Annotations: map[string]string{kindAnnotation: "container", sandboxAnnotation: first},
	}
}
