package docker

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a container's cgroup says. It is read from the files when the
// output ends, just before the engine removes the cgroup: asking the engine would take a second.
type usage struct {
	known    bool
	cpu      time.Duration
	memory   int64 // peak
	oomKills int64
	pidsHits int64
}

// readUsage reads it from the host's cgroup file systems, version 2 or 1; zero when they can't be read.
func readUsage(systemd bool, id string) usage {
	return readUsageAt("/sys/fs/cgroup", systemd, id)
}

func readUsageAt(mount string, systemd bool, id string) usage {
	group := "docker/" + id
	if systemd {
		group = "system.slice/docker-" + id + ".scope"
	}
	var u usage
	if dir := filepath.Join(mount, group); exists(filepath.Join(dir, "cpu.stat")) {
		u.cpu = time.Duration(field(filepath.Join(dir, "cpu.stat"), "usage_usec")) * time.Microsecond
		u.memory = field(filepath.Join(dir, "memory.peak"), "")
		u.oomKills = field(filepath.Join(dir, "memory.events"), "oom_kill")
		u.pidsHits = field(filepath.Join(dir, "pids.events"), "max")
		u.known = u.cpu > 0
		return u
	}
	u.cpu = time.Duration(field(filepath.Join(mount, "cpuacct", group, "cpuacct.usage"), ""))
	u.memory = field(filepath.Join(mount, "memory", group, "memory.max_usage_in_bytes"), "")
	u.oomKills = field(filepath.Join(mount, "memory", group, "memory.oom_control"), "oom_kill")
	u.pidsHits = field(filepath.Join(mount, "pids", group, "pids.events"), "max")
	u.known = u.cpu > 0
	return u
}

func exists(path string) bool {
	_, err := os.Stat(path)
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
