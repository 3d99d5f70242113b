package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// traces finds what a lab's sandboxes have on the host: processes and mounts that name its folder, loop
// devices of files in it, and all that bears the name of one of its instances.
func (l *lab) traces(instances ...string) []string {
	l.Helper()
	var found []string
	note := func(kind, what string) { found = append(found, kind+" "+what) }
	for pid, cmdline := range l.sandboxes() {
		note("process", pid+" "+cmdline)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		l.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, l.dir) {
			note("mount", strings.TrimSpace(line))
		}
	}
	loops, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, path := range loops {
		if file, err := os.ReadFile(path); err == nil && bytes.HasPrefix(file, []byte(l.dir)) {
			note("loop device", path)
		}
	}
	for _, executor := range []string{"one", "two"} {
		instances = append(instances, l.instance(executor))
	}
	for _, instance := range instances {
		for _, pattern := range []string{"/sys/fs/cgroup/glovebox/" + instance, "/sys/fs/cgroup/*/glovebox/" + instance, "/run/netns/*~" + instance + "~*"} {
			match, _ := filepath.Glob(pattern)
			for _, m := range match {
				note("left", m)
			}
		}
		aliases, _ := filepath.Glob("/sys/class/net/*/ifalias")
		for _, path := range aliases {
			if alias, err := os.ReadFile(path); err == nil && strings.Contains(string(alias), instance) {
				note("interface", path)
			}
		}
	}
	return found
}

// instance is the name that an executor's sandboxes bear: it comes from its folder.
func (l *lab) instance(executor string) string {
	sum := sha256.Sum256([]byte(filepath.Join(l.dir, executor, "executor", executor)))
	return hex.EncodeToString(sum[:5])
}

// sandboxes are the processes, by id, whose command line names the lab's folder, but for those that the test started.
func (l *lab) sandboxes() map[string]string {
	found := map[string]string{}
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range all {
		cmdline, err := os.ReadFile(path)
		if err == nil && bytes.Contains(cmdline, []byte(l.dir)) && !bytes.HasPrefix(cmdline, []byte("glovebox\x00")) {
			found[filepath.Base(filepath.Dir(path))] = string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))
		}
	}
	return found
}

var cgroupPath = regexp.MustCompile(`/glovebox/([^/\s]+)/`)

// instances are the names that the lab's running sandboxes bear.
func (l *lab) instances() []string {
	l.Helper()
	var names []string
	for pid := range l.sandboxes() {
		text, err := os.ReadFile("/proc/" + pid + "/cgroup")
		if m := cgroupPath.FindSubmatch(text); err == nil && m != nil {
			names = append(names, string(m[1]))
		}
	}
	if len(names) == 0 {
		l.Fatal("no sandbox runs")
	}
	return names
}

// leavesNothing wants no trace of sandboxes, soon.
func (l *lab) leavesNothing(instances ...string) {
	l.Helper()
	if l.runtime == "fake" {
		return
	}
	var left []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if left = l.traces(instances...); len(left) == 0 {
			return
		}
	}
	l.Errorf("left behind:\n%s", strings.Join(left, "\n"))
}

// hasNoJobFolders wants an executor's folder of running jobs to be empty.
func (l *lab) hasNoJobFolders(executor string) {
	l.Helper()
	dir := filepath.Join(l.dir, executor, "executor", executor, "jobs")
	l.until("folder of jobs is empty", func() bool {
		entries, err := os.ReadDir(dir)
		return errors.Is(err, os.ErrNotExist) || err == nil && len(entries) == 0
	})
}

// holdsNoRun wants no folder of a "glovebox run" in the lab's data.
func (l *lab) holdsNoRun() {
	l.Helper()
	entries, err := os.ReadDir(filepath.Join(l.dir, "data", "run"))
	if err != nil || len(entries) > 0 {
		l.Errorf("folders of runs are left: %v, %v", entries, err)
	}
}
