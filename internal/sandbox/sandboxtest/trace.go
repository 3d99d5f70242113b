package sandboxtest

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// wantNoTrace polls until nothing is left of the sandbox on the host.
func (b *box) wantNoTrace(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		traces := b.traces(t)
		if len(traces) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind:\n%s", strings.Join(traces, "\n"))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// traces looks for the sandbox's ID in command lines, cgroups and names of network
// namespaces, and for mounts in its folders.
func (b *box) traces(t *testing.T) []string {
	id := b.spec.ID
	var found []string
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, path := range processes {
		cmdline, err := os.ReadFile(path)
		if err == nil && (bytes.Contains(cmdline, []byte(id)) || bytes.Contains(cmdline, []byte(b.spec.State))) {
			found = append(found, path+": "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, b.spec.State) || strings.Contains(line, b.spec.Scratch+"/") || strings.Contains(line, id) {
			found = append(found, line)
		}
	}
	filepath.WalkDir("/sys/fs/cgroup", func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && strings.Contains(e.Name(), id) {
			found = append(found, path)
		}
		return nil
	})
	for _, dir := range []string{"/run/netns", "/run/glovebox"} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if strings.Contains(e.Name(), id) {
				found = append(found, filepath.Join(dir, e.Name()))
			}
		}
	}
	if b.suite.Traces != nil {
		found = append(found, b.suite.Traces(t, id)...)
	}
	return found
}
