package docker

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
)

func TestReadUsage(t *testing.T) {
	mount := t.TempDir()
	put := func(name, text string) {
		path := filepath.Join(mount, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := readUsage(mount, "/none"); got != (usage{}) {
		t.Errorf("of no cgroup: %+v", got)
	}
	put("cpuacct/one/cpuacct.usage", "1500000000\n")
	put("memory/one/memory.max_usage_in_bytes", "4096\n")
	put("memory/one/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
	put("pids/one/pids.events", "max 3\n")
	put("two/cpu.stat", "usage_usec 1500000\nuser_usec 1\n")
	put("two/memory.peak", "4096\n")
	put("two/memory.events", "low 0\noom 9\noom_kill 2\n")
	put("two/pids.events", "max 3\n")
	want := usage{cpu: 1500 * time.Millisecond, memory: 4096, oomKills: 2, pidsHits: 3}
	for _, group := range []string{"/one", "/two"} {
		if got := readUsage(mount, group); got != want {
			t.Errorf("%s: %+v, want %+v", group, got, want)
		}
	}
	if got := want.merge(usage{memory: 8192}); got.memory != 8192 || got.cpu != want.cpu {
		t.Errorf("merged: %+v", got)
	}
}

func TestOlder(t *testing.T) {
	for v, want := range map[string]bool{"1.40": true, "1.41": false, "1.50": false, "2.0": false, "1.9": true, "": true} {
		if older(v, minAPI) != want {
			t.Errorf("%q older than %s: %t", v, minAPI, !want)
		}
	}
}

func TestCheckWithoutEngine(t *testing.T) {
	r, err := New(Options{Host: "unix://" + filepath.Join(t.TempDir(), "none.sock")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.ImageID(t.Context(), "x"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("an image of no engine: %v", err)
	}
	if err := r.Check(t.Context()); err == nil || err.Error() == "" {
		t.Errorf("check: %v", err)
	}
	if err := r.Sweep(t.Context(), "nobody"); err != nil && os.Geteuid() == 0 {
		t.Errorf("sweep: %v", err)
	}
}
