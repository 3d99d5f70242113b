package sandboxtest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attackTests are what a hostile step tries.
func (s *suite) attackTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"host files":           s.hostFiles,
		"links to the host":    s.links,
		"workspace removed":    s.workspaceRemoved,
		"devices":              s.devices,
		"mounts":               s.mounts,
		"capabilities":         s.privileges,
		"set-user-ID programs": s.setUserID,
		"kernel files":         s.kernelFiles,
	}
}

const canary = "canary of the host"

// hostFiles: no file of the host can be read, by any of the usual ways out.
func (s *suite) hostFiles(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	must(t, os.WriteFile(secret, []byte(canary), 0o644))
	b := s.open(t)
	must(t, os.WriteFile(filepath.Join(b.spec.State, "canary"), []byte(canary), 0o644))
	must(t, os.WriteFile(filepath.Join(b.disk.Dir, "canary"), []byte(canary), 0o644))
	var paths []string
	for _, path := range []string{secret, filepath.Join(b.spec.State, "canary"), filepath.Join(b.disk.Dir, "canary"),
		filepath.Join(b.spec.Scratch, "."), "/root/.bash_history", "/root/.profile", "/etc/shadow", "/etc/machine-id"} {
		for _, prefix := range []string{"", "/proc/1/root", "/proc/self/root", "/proc/2/root", "/work/../../..", "/proc/1/cwd/../.."} {
			paths = append(paths, prefix+path)
		}
	}
	paths = append(paths, "/work/../canary", "/proc/1/cwd/../canary", "/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock")
	for fd := range 20 {
		paths = append(paths, "/proc/1/fd/"+strconv.Itoa(fd)+"/../canary", "/proc/self/fd/"+strconv.Itoa(fd)+"/canary")
	}
	o := b.run(0, append([]string{"read"}, paths...)...)
	if strings.TrimSpace(o.stdout) != "" {
		t.Errorf("readable from inside:\n%s", o.stdout)
	}
}

// links: a link in the workspace leads to the sandbox's files, never to the host's.
func (s *suite) links(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte(canary), 0o644))
	b := s.open(t)
	must(t, os.Symlink(secret, filepath.Join(b.spec.Workspace, "planted")))
	b.run(3, "cat", "/work/planted")
	b.run(0, "link", secret, "/work/link")
	b.run(3, "cat", "/work/link")
	b.run(3, "write", "/work/link", "changed")
	b.run(0, "link", filepath.Dir(secret), "/work/dir")
	step := b.step("write", "x", "y")
	step.Dir = "/work/dir"
	b.do(step) // wherever that was, it was inside
	must(t, b.Sync(t.Context()))
	if entries, err := os.ReadDir(filepath.Dir(secret)); err != nil || len(entries) != 1 {
		t.Errorf("the host's folder was written to: %v, %v", entries, err)
	}
	if got, err := os.ReadFile(secret); string(got) != canary || err != nil {
		t.Errorf("the host's file is %q, %v", got, err)
	}
}

// workspaceRemoved: the workspace stays a folder on the host whatever a step does to it.
func (s *suite) workspaceRemoved(t *testing.T) {
	b := s.open(t)
	b.run(0, "write", "/work/file", "text")
	b.run(0, "replace", "/work")
	must(t, b.Sync(t.Context()))
	info, err := os.Lstat(b.spec.Workspace)
	must(t, err)
	if !info.IsDir() {
		t.Fatalf("the workspace became %v", info.Mode())
	}
	b.run(0, "write", "/work/again", "text")
	if _, err := os.Stat(filepath.Join(b.spec.Workspace, "again")); err != nil {
		t.Error(err)
	}
}

// devices: no device of the host can be made or opened.
func (s *suite) devices(t *testing.T) {
	var root unix.Stat_t
	must(t, unix.Stat("/", &root))
	b := s.open(t)
	numbers := [][2]uint32{{unix.Major(root.Dev), unix.Minor(root.Dev)}, {7, 0}, {1, 1}}
	for _, dir := range []string{"/work/dev", "/tmp/dev", "/opt/dev"} {
		for _, n := range numbers {
			o := b.do(b.step("mknod", dir, itoa(int(n[0])), itoa(int(n[1]))))
			if strings.Contains(o.stdout, "opened") {
				t.Errorf("a step opened block device %v at %s", n, dir)
			}
		}
	}
	for _, name := range strings.Fields(b.run(0, "list", "/dev").stdout) {
		switch {
		case strings.HasPrefix(name, "loop"), strings.HasPrefix(name, "sd"), strings.HasPrefix(name, "vd"),
			strings.HasPrefix(name, "nvme"), name == "mem", name == "kmem", name == "kmsg", name == "kvm", name == "disk":
			t.Errorf("a step sees /dev/%s", name)
		}
	}
}

func (s *suite) mounts(t *testing.T) {
	if o := s.open(t).run(0, "mount", "/opt"); strings.TrimSpace(o.stdout) != "" {
		t.Errorf("a step %s", o.stdout)
	}
}

// privileges: few capabilities, no way to more.
func (s *suite) privileges(t *testing.T) {
	b := s.open(t)
	const allowed = 1<<unix.CAP_CHOWN | 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID |
		1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_KILL | 1<<unix.CAP_SETPCAP | 1<<unix.CAP_NET_BIND_SERVICE
	o := b.run(0, "status", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
	lines := strings.Split(strings.TrimSpace(o.stdout), "\n")
	if len(lines) < 4 {
		t.Fatalf("status: %q", o.stdout)
	}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		set, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil || set&^allowed != 0 {
			t.Errorf("%s is %s (%v)", name, value, err)
		}
	}
}

// setUserID: a program with the set-user-id bit gives nothing.
func (s *suite) setUserID(t *testing.T) {
	b := s.open(t)
	for _, program := range []string{"/bin/suid"} {
		if o := b.run(0, "suid", program); strings.TrimSpace(o.stdout) != "1000 1000" {
			t.Errorf("%s by user 1000 runs as (real, effective) %s", program, o.stdout)
		}
	}
}

// kernelFiles: what reaches into the host's kernel is absent, empty or refused.
func (s *suite) kernelFiles(t *testing.T) {
	b := s.open(t)
	o := b.run(0, "read", "/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/kmsg", "/dev/port", "/sys/firmware/acpi/tables/DSDT", "/proc/keys", "/proc/timer_list")
	for line := range strings.Lines(o.stdout) {
		if !strings.Contains(line, `""`) {
			t.Errorf("readable: %s", line)
		}
	}
	for _, path := range []string{"/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/proc/sys/vm/panic_on_oom"} {
		if o := b.do(b.step("write", path, "x")); o.Code == 0 {
			t.Errorf("a step wrote to %s", path)
		}
	}
}
