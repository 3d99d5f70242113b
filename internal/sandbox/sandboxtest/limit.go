package sandboxtest

import (
	"strconv"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

// limitTests are the limits, each broken by a step that then must not hurt the next.
func (s *suite) limitTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"Memory":          s.memory,
		"MemorySmall":     s.memorySmall,
		"MemoryFiles":     s.memoryFiles,
		"CPU":             s.cpu,
		"Pids":            s.pids,
		"OpenFiles":       s.openFiles,
		"DiskWorkspace":   func(t *testing.T) { s.diskFull(t, "/work/big") },
		"DiskRoot":        func(t *testing.T) { s.diskFull(t, "/opt/big") },
		"DiskTmp":         func(t *testing.T) { s.diskFull(t, "/tmp/big") },
		"Inodes":          s.inodes,
		"NeighbourIsFine": s.neighbour,
	}
}

func (s *suite) memory(t *testing.T) {
	b := s.open(t, limits(func(l *glovebox.Limits) { l.Memory = 128 << 20 }))
	b.run(0, "alloc", itoa(64<<20))
	if o := b.do(b.step("alloc", itoa(1<<30))); !o.OOM || o.Code == 0 {
		t.Errorf("taking 1 GiB of 128 MiB: %+v, %s", o.Exit, o.stderr)
	}
}

func (s *suite) memorySmall(t *testing.T) {
	b := s.open(t, limits(func(l *glovebox.Limits) { l.Memory = 64 << 20 }))
	b.run(0, "alloc", itoa(16<<20))
}

// memoryFiles: files in memory count as memory, whichever way they end.
func (s *suite) memoryFiles(t *testing.T) {
	b := s.open(t, limits(func(l *glovebox.Limits) { l.Memory = 128 << 20 }))
	if o := b.do(b.step("fill", "/dev/shm/big", itoa(512<<20))); o.Code == 0 {
		t.Error("512 MiB fit into /dev/shm of a sandbox with 128")
	}
}

func (s *suite) cpu(t *testing.T) {
	b := s.open(t, limits(func(l *glovebox.Limits) { l.CPUs = 0.3 }))
	o := b.run(0, "spin", "2000") // two CPUs' worth for 2 s
	if o.Usage.CPUSeconds > 0.3*o.Usage.WallSeconds+0.4 {
		t.Errorf("a step with 0.3 CPUs used %.2f s of CPU in %.2f s", o.Usage.CPUSeconds, o.Usage.WallSeconds)
	}
}

func (s *suite) pids(t *testing.T) {
	b := s.open(t, limits(func(l *glovebox.Limits) { l.Pids = 64 }))
	o := b.do(b.step("fork", "300"))
	started, err := strconv.Atoi(strings.TrimSpace(o.stdout))
	if err == nil && started >= 64 {
		t.Errorf("%d processes in a sandbox for 64", started)
	}
	if o.Code == 0 {
		t.Error("a fork bomb did not end")
	}
	b.run(0, "exit", "0")
}

func (s *suite) openFiles(t *testing.T) {
	b := s.open(t, limits(func(l *glovebox.Limits) { l.OpenFiles = 128 }))
	o := b.run(3, "open", "1000")
	if n, err := strconv.Atoi(strings.TrimSpace(o.stdout)); err != nil || n > 128 || n < 64 {
		t.Errorf("%q files open at once with a limit of 128", o.stdout)
	}
}

func (s *suite) diskFull(t *testing.T, path string) {
	b := s.open(t, limits(func(l *glovebox.Limits) { l.Disk = 32 << 20 }))
	b.run(28, "fill", path, itoa(256<<20))
	b.run(0, "exit", "0") // the sandbox goes on
}

func (s *suite) inodes(t *testing.T) {
	b := s.open(t, inodes(1000))
	b.run(28, "files", "/work/many", "1000000")
	b.run(0, "exit", "0")
}

// neighbour: a sandbox does not notice what another one is killed for.
func (s *suite) neighbour(t *testing.T) {
	quiet := s.open(t)
	quiet.run(0, "write", quiet.work("mine"), "text")
	loud := s.open(t, limits(func(l *glovebox.Limits) { l.Memory, l.Disk = 128<<20, 32<<20 }))
	loud.do(loud.step("alloc", itoa(1<<30)))
	loud.do(loud.step("fill", "/work/big", itoa(256<<20)))
	must(t, loud.Close(t.Context()))
	quiet.says("text", "cat", quiet.work("mine"))
	quiet.run(0, "fill", "/work/some", itoa(16<<20))
}
