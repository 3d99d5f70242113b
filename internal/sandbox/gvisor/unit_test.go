package gvisor

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/view"
)

func update() bool { return os.Getenv("GLOVEBOX_UPDATE") != "" }

// TestSpecs holds what gVisor is told to golden files: the reviewer's reading matter.
func TestSpecs(t *testing.T) {
	spec := sandbox.Spec{ID: "job-1", Instance: "host-1", Workspace: "/disk/work", Scratch: "/disk/scratch", State: "/state",
		Limits: glovebox.DefaultLimits(), Network: glovebox.NetworkPublic}
	step := sandbox.Step{
		Key: "vet", Argv: []string{"sh", "-e", "-c", "go vet ./..."}, Env: []string{"PATH=/usr/bin", "A=1"}, Dir: "/work/sub",
		Image: &image.Image{Ref: "host", Rootfs: "/images/host", Binds: []image.Bind{{Source: "/usr", Target: "/usr"}}},
	}
	l := &layer{root: "/state/step-2/root", tmp: "/disk/scratch/step-2/tmp"}
	golden(t, "pause.json", pauseSpec("/state/sentry-1/root", "/run/netns/gbx~host-1~job-1", nil))
	golden(t, "step.json", stepSpec(spec, step, "job-1-sentry-1", l))
	caches := []sandbox.Cache{{Source: "/caches/1/mnt/folder", Path: "/root/.npm"}, {Source: "/caches/1/mnt/folder", Path: "/tmp"}}
	l.placed = &view.Placed{Binds: []view.Bind{{Source: "/caches/1/mnt/folder", Target: "/root/.npm"}, {Source: "/caches/1/mnt/folder", Target: "/tmp"},
		{Source: "/disk/scratch/step-2/files/0", Target: "/work/config.json", ReadOnly: true}}}
	golden(t, "pause-caches.json", pauseSpec("/state/sentry-1/root", "/run/netns/gbx~host-1~job-1", caches))
	golden(t, "step-files.json", stepSpec(spec, step, "job-1-sentry-1", l))
}

func golden(t *testing.T, name string, spec *specs.Spec) {
	t.Helper()
	got, err := json.MarshalIndent(spec, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", name)
	if update() {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (GLOVEBOX_UPDATE=1 writes it):\n%s", name, diff)
	}
}

// TestCgroupSettings: both versions of cgroups are told the same limits.
func TestCgroupSettings(t *testing.T) {
	l := glovebox.Limits{CPUs: 1.5, Memory: 64 << 20, Pids: 100}
	for unified, want := range map[bool]string{
		true:  "memory.max=167772160 memory.swap.max=0 memory.oom.group=1 cpu.max=150000 100000 pids.max=912",
		false: "memory.limit_in_bytes=167772160 memory.memsw.limit_in_bytes=167772160 memory.swappiness=0 cpu.cfs_period_us=100000 cpu.cfs_quota_us=150000 pids.max=912",
	} {
		var got []string
		for _, s := range (&cgroup{unified: unified}).settings(l) {
			got = append(got, s.file+"="+s.value)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("unified %v: %s", unified, strings.Join(got, " "))
		}
	}
}

// TestUnifiedCgroup plays version 2 with plain files, which can't enforce anything but
// show what is written where, and what is read.
func TestUnifiedCgroup(t *testing.T) {
	root := t.TempDir()
	put := func(path, text string) {
		t.Helper()
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("cgroup.controllers", "cpu memory pids")
	for _, dir := range []string{"", "glovebox/", "glovebox/inst/"} {
		put(dir+"cgroup.subtree_control", "")
	}
	for _, f := range []string{"memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max"} {
		put("glovebox/inst/job/"+f, "")
	}
	c, err := cgroupHost{root: root}.create("inst", "job", glovebox.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"cgroup.subtree_control": "+memory +cpu +pids", "glovebox/inst/cgroup.subtree_control": "+memory +cpu +pids",
		"glovebox/inst/job/cpu.max": "200000 100000", "glovebox/inst/job/memory.oom.group": "1",
	} {
		if got, err := os.ReadFile(filepath.Join(root, path)); string(got) != want {
			t.Errorf("%s is %q, %v", path, got, err)
		}
	}
	put("glovebox/inst/job/memory.events", "low 0\nmax 7\noom 2\noom_kill 3\noom_group_kill 1\n")
	put("glovebox/inst/job/cpu.stat", "usage_usec 1500000\nuser_usec 1\n")
	put("glovebox/inst/job/memory.current", "1000\n")
	put("glovebox/inst/job/memory.stat", "anon 1\nactive_file 200\ninactive_file 300\n")
	if c.oomKills() != 3 || c.cpu().Seconds() != 1.5 || c.memory() != 500 {
		t.Errorf("read %d, %v, %d", c.oomKills(), c.cpu(), c.memory())
	}
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if _, err := c.place(cmd); err == nil && !cmd.SysProcAttr.UseCgroupFD {
		t.Error("a process would not be born in the cgroup")
	}
}

func TestStartFailure(t *testing.T) {
	for message, want := range map[string]int{
		`starting sub-container [x]: error finding executable "x" in PATH [/bin]: no such file or directory`: 127,
		`creating process: failed to load /x: no such file or directory`:                                     127,
		`creating process: failed to load /x: permission denied`:                                             126,
		`creating process: failed to load /x: exec format error`:                                             126,
		`failed to create process working directory "/work/dir": file exists`:                                126,
		`starting gofer: no such file or directory`:                                                          0,
	} {
		if code, ok := startFailure(message); code != want || ok != (want != 0) {
			t.Errorf("%s: %d, %v", message, code, ok)
		}
	}
}

// TestPauseProgram runs the hand-made executables on the host's own kernel.
func TestPauseProgram(t *testing.T) {
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("made for linux/amd64")
	}
	dir := t.TempDir()
	program, err := pauseProgram()
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"pause": program, "true": trueProgram()} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := exec.Command(filepath.Join(dir, "true")).Run(); err != nil {
		t.Error(err)
	}
	cmd := exec.Command(filepath.Join(dir, "pause"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if n, err := out.Read(make([]byte, 8)); n != 1 || err != nil {
		t.Errorf("it says %d bytes, %v", n, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
}

func TestValidate(t *testing.T) {
	dir := t.TempDir()
	good := sandbox.Spec{ID: "a", Instance: "b", Workspace: dir, Scratch: dir, State: dir, Limits: glovebox.DefaultLimits(), Network: glovebox.NetworkNone}
	if err := validate(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*sandbox.Spec){
		"id":        func(s *sandbox.Spec) { s.ID = "../x" },
		"instance":  func(s *sandbox.Spec) { s.Instance = "" },
		"network":   func(s *sandbox.Spec) { s.Network = "all" },
		"memory":    func(s *sandbox.Spec) { s.Limits.Memory = 0 },
		"workspace": func(s *sandbox.Spec) { s.Workspace = filepath.Join(dir, "absent") },
	} {
		bad := good
		change(&bad)
		if validate(bad) == nil {
			t.Errorf("a bad %s is accepted", name)
		}
	}
	if slices.Contains(capabilities().Bounding, "CAP_SYS_ADMIN") {
		t.Error("steps may administer the sandbox's kernel")
	}
}
