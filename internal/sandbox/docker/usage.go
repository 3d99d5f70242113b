package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A container's cgroup is gone when the engine tells of its end. So each step has
// a cgroup of ours around it, which keeps the counts: where the engine makes its
// cgroups itself. Where systemd makes them that can't be, and the step's own
// cgroup is sampled while it runs; a step too short for that has unknown usage.

// cgroups is where the kernel's cgroup file systems are.
const cgroups = "/sys/fs/cgroup"

// cgroupTop holds the cgroups of all steps. It stays; an empty cgroup costs nothing.
const cgroupTop = "glovebox-docker"

// cgroupParent is the cgroup around one step.
func cgroupParent(instance, id string, step int) string {
	return filepath.Join("/", cgroupTop, fmt.Sprintf("%s-%s-%d", cgroupInstance(instance), id, step))
}

// cgroupInstance makes an instance's name fit for a folder.
func cgroupInstance(instance string) string {
	sum := sha256.Sum256([]byte(instance))
	return hex.EncodeToString(sum[:8])
}

// usage is what a cgroup says.
type usage struct {
	cpu      time.Duration
	memory   int64 // peak
	oomKills int64
	pidsHits int64
}

// merge takes the larger of each count: none ever falls.
func (u usage) merge(v usage) usage {
	return usage{max(u.cpu, v.cpu), max(u.memory, v.memory), max(u.oomKills, v.oomKills), max(u.pidsHits, v.pidsHits)}
}

// readUsage reads a cgroup's counts from version 2 or 1 below mount; zero where there are none.
func readUsage(mount, group string) usage {
	if dir := filepath.Join(mount, group); exists(filepath.Join(dir, "cpu.stat")) {
		return usage{
			cpu:      time.Duration(field(filepath.Join(dir, "cpu.stat"), "usage_usec")) * time.Microsecond,
			memory:   field(filepath.Join(dir, "memory.peak"), ""),
			oomKills: field(filepath.Join(dir, "memory.events"), "oom_kill"),
			pidsHits: field(filepath.Join(dir, "pids.events"), "max"),
		}
	}
	return usage{
		cpu:      time.Duration(field(filepath.Join(mount, "cpuacct", group, "cpuacct.usage"), "")),
		memory:   field(filepath.Join(mount, "memory", group, "memory.max_usage_in_bytes"), ""),
		oomKills: field(filepath.Join(mount, "memory", group, "memory.oom_control"), "oom_kill"),
		pidsHits: field(filepath.Join(mount, "pids", group, "pids.events"), "max"),
	}
}

// removeGroup removes the cgroups without processes that fit a pattern, and those beneath them, from every hierarchy.
func removeGroup(mount, group string) {
	for _, pattern := range []string{filepath.Join(mount, group), filepath.Join(mount, "*", group)} {
		for _, depth := range []string{"/*/*", "/*", ""} {
			dirs, _ := filepath.Glob(pattern + depth)
			for _, dir := range dirs {
				_ = unix.Rmdir(dir) // its files are no entries; one in use stays
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// field returns the number after name in a file of "name number" lines, the
// file's only number for an empty name, 0 when there is none.
func field(path, name string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		if name == "" && len(words) == 1 || len(words) == 2 && words[0] == name {
			n, err := strconv.ParseInt(words[len(words)-1], 10, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}
