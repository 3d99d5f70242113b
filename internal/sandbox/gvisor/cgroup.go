package gvisor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// Memory and host processes that gVisor itself needs on top of what the job may use.
const (
	overheadMemory = 96 << 20
	// Each process of a job is a host process with a few threads; the exact limit is
	// RLIMIT_NPROC inside, this one protects the host should that fail.
	hostPidsFactor = 4
	overheadPids   = 512
)

// cgroupParent is the cgroup that holds one cgroup for each instance, and these one for each sandbox.
const cgroupParent = "glovebox"

// cgroupHost makes cgroups. Version 2 is used where the unified hierarchy has the
// controllers, else version 1 (also in hybrid set-ups).
type cgroupHost struct{ root string }

// cgroup is the cgroup of one sandbox: one folder in version 2, one a controller in version 1.
type cgroup struct {
	unified bool
	// dirs maps a controller to its folder; in version 2 all are the same one.
	dirs map[string]string
}

func controllers() []string { return []string{"memory", "cpu", "cpuacct", "pids"} }

// unified reports whether the host uses version 2 for the controllers.
func (h cgroupHost) unified() bool {
	_, err := os.Stat(filepath.Join(h.root, "cgroup.controllers"))
	return err == nil
}

// dirs are the folders of a path below the hierarchies' roots.
func (h cgroupHost) dirs(elem ...string) map[string]string {
	dirs := map[string]string{}
	path := filepath.Join(append([]string{cgroupParent}, elem...)...)
	for _, c := range controllers() {
		if h.unified() {
			dirs[c] = filepath.Join(h.root, path)
		} else {
			dirs[c] = filepath.Join(h.root, c, path)
		}
	}
	return dirs
}

// create makes the cgroup of a sandbox and sets its limits. After an error nothing is left behind.
func (h cgroupHost) create(instance, id string, l glovebox.Limits) (_ *cgroup, err error) {
	c := &cgroup{unified: h.unified(), dirs: h.dirs(instance, id)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("limit by cgroup: %w", err), c.remove(context.Background()))
		}
	}()
	if c.unified {
		err = h.delegate(instance)
	}
	if err != nil {
		return nil, err
	}
	for _, dir := range c.dirs {
		if err := makeDir(dir); err != nil {
			return nil, err
		}
	}
	return c, c.limit(l)
}

// makeDir makes a folder and those above. Another sandbox of the instance, the last to
// end, may take away the one above meanwhile.
func makeDir(dir string) (err error) {
	for range 5 {
		if err = os.MkdirAll(dir, 0o755); !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return err
}

// delegate lets the folders above a sandbox's hand their controllers down (version 2).
func (h cgroupHost) delegate(instance string) error {
	dir := h.root
	for _, elem := range []string{cgroupParent, instance} {
		if err := write(filepath.Join(dir, "cgroup.subtree_control"), "+memory +cpu +pids"); err != nil {
			return fmt.Errorf("%w (the executor needs the cgroup controllers memory, cpu and pids)", err)
		}
		dir = filepath.Join(dir, elem)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return write(filepath.Join(dir, "cgroup.subtree_control"), "+memory +cpu +pids")
}

// setting is one file of a controller and what to write to it.
type setting struct {
	controller, file, value string
	// optional settings may be absent: kernels without swap accounting lack theirs.
	optional bool
}

// settings are the limits as the host's version of cgroups spells them.
func (c *cgroup) settings(l glovebox.Limits) []setting {
	const period = 100_000 // microseconds
	memory := strconv.FormatInt(int64(l.Memory)+overheadMemory, 10)
	quota := strconv.FormatInt(max(int64(l.CPUs*period), 1000), 10)
	pids := strconv.Itoa(hostPidsFactor*l.Pids + overheadPids)
	if c.unified {
		return []setting{
			{"memory", "memory.max", memory, false},
			{"memory", "memory.swap.max", "0", true},
			{"memory", "memory.oom.group", "1", false},
			{"cpu", "cpu.max", quota + " " + strconv.Itoa(period), false},
			{"pids", "pids.max", pids, false},
		}
	}
	return []setting{
		{"memory", "memory.limit_in_bytes", memory, false},
		{"memory", "memory.memsw.limit_in_bytes", memory, true},
		{"memory", "memory.swappiness", "0", true},
		{"cpu", "cpu.cfs_period_us", strconv.Itoa(period), false},
		{"cpu", "cpu.cfs_quota_us", quota, false},
		{"pids", "pids.max", pids, false},
	}
}

func (c *cgroup) limit(l glovebox.Limits) error {
	for _, s := range c.settings(l) {
		err := write(filepath.Join(c.dirs[s.controller], s.file), s.value)
		if err != nil && (!s.optional || !errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	return nil
}

// join puts the calling thread into the cgroup, so that its children are born there.
// Version 2 moves whole processes only: there place does it.
func (c *cgroup) join() error {
	if c.unified {
		return nil
	}
	for _, name := range controllers() {
		if err := write(filepath.Join(c.dirs[name], "tasks"), strconv.Itoa(unix.Gettid())); err != nil {
			return fmt.Errorf("join cgroup: %w", err)
		}
	}
	return nil
}

// place makes cmd be born in the cgroup (version 2). The file returned is to be closed
// after the start; it is nil in version 1.
func (c *cgroup) place(cmd *exec.Cmd) (*os.File, error) {
	if !c.unified {
		return nil, nil
	}
	f, err := os.Open(c.dirs["memory"])
	if err != nil {
		return nil, fmt.Errorf("open cgroup: %w", err)
	}
	cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(f.Fd())
	return f, nil
}

// kill kills all processes in the cgroup but this one, whose launcher may be a thread in it.
func (c *cgroup) kill() {
	if c.unified && write(filepath.Join(c.dirs["pids"], "cgroup.kill"), "1") == nil {
		return
	}
	b, err := os.ReadFile(filepath.Join(c.dirs["pids"], "cgroup.procs"))
	if err != nil {
		return
	}
	for _, field := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(field)
		if err == nil && pid > 1 && pid != os.Getpid() && ours(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// ours reports whether a process in one of our cgroups is part of gVisor. Another
// glovebox may have a thread in there: its launcher. Systrap's stub processes have
// no command line, having unmapped everything.
func ours(pid int) bool {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && (len(cmdline) == 0 || bytes.HasPrefix(cmdline, []byte("runsc")) || bytes.HasPrefix(cmdline, []byte("/proc/self/exe")))
}

// remove kills what is left in the cgroup and removes it; one that is not there is removed.
func (c *cgroup) remove(ctx context.Context) error {
	if c == nil {
		return nil
	}
	var last error
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		c.kill()
		last = nil
		for _, dir := range c.dirs {
			if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
				last = err
			}
		}
		if last == nil {
			for _, dir := range c.dirs {
				_ = os.Remove(filepath.Dir(dir)) // the instance's: it stays while others are in it
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup: %w", last)
		case <-time.After(wait):
		}
	}
}

func write(path, value string) error { return os.WriteFile(path, []byte(value), 0) }
