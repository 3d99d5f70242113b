package gvisor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// cpu is the CPU time that the cgroup has used.
func (c *cgroup) cpu() time.Duration {
	if c.unified {
		return time.Duration(c.counter("cpu", "cpu.stat", "usage_usec")) * time.Microsecond
	}
	return time.Duration(c.number("cpuacct", "cpuacct.usage"))
}

// memory is what the cgroup uses now, without files' pages that the kernel can drop.
func (c *cgroup) memory() int64 {
	if c.unified {
		return c.number("memory", "memory.current") - c.filePages()
	}
	return c.number("memory", "memory.usage_in_bytes") - c.filePages()
}

// filePages are the cached pages of files. (Memory files, such as gVisor keeps a job's
// memory in, are not among them: the kernel counts those as anonymous.)
func (c *cgroup) filePages() int64 {
	return c.counter("memory", "memory.stat", "inactive_file") + c.counter("memory", "memory.stat", "active_file")
}

// oomKills counts processes of the cgroup that its memory limit ended.
func (c *cgroup) oomKills() int64 {
	if c.unified {
		return c.counter("memory", "memory.events", "oom_kill")
	}
	return c.counter("memory", "memory.oom_control", "oom_kill")
}

// number reads a file that holds one number; 0 when it can't.
func (c *cgroup) number(controller, file string) int64 {
	b, _ := os.ReadFile(filepath.Join(c.dirs[controller], file))
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n
}

// counter reads the value of a key in a file of "key value" lines; 0 when it can't.
func (c *cgroup) counter(controller, file, key string) int64 {
	b, _ := os.ReadFile(filepath.Join(c.dirs[controller], file))
	for line := range strings.Lines(string(b)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == key {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}

// watchOOM calls oom when the memory limit is hit (version 1 only: version 2 kills the
// whole cgroup by itself, memory.oom.group). The function returned ends the watch.
//
// Why: the kernel kills the largest process. That may be one of gVisor's stubs, whose
// memory belongs to the sentry, so that nothing is freed and gVisor waits for a stub
// that is gone. All must end together.
func (c *cgroup) watchOOM(oom func()) (stop func(), err error) {
	if c.unified {
		return func() {}, nil
	}
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch memory limit: %w", err)
	}
	events := os.NewFile(uintptr(fd), "eventfd")
	control, err := os.Open(filepath.Join(c.dirs["memory"], "memory.oom_control"))
	if err == nil {
		err = write(filepath.Join(c.dirs["memory"], "cgroup.event_control"), fmt.Sprintf("%d %d", fd, control.Fd()))
		control.Close()
	}
	if err != nil {
		events.Close()
		return nil, fmt.Errorf("watch memory limit: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 8)
		if _, err := events.Read(buf); err == nil {
			oom()
		}
	}()
	return func() { events.Close(); <-done }, nil
}

// highWater is the kernel's own record of the largest use, files' pages included. In
// version 1 resetting starts it anew.
func (c *cgroup) highWater(reset bool) int64 {
	if c.unified {
		return c.number("memory", "memory.peak")
	}
	if reset {
		_ = write(filepath.Join(c.dirs["memory"], "memory.max_usage_in_bytes"), "0")
	}
	return c.number("memory", "memory.max_usage_in_bytes")
}

// meter measures what a step uses of the cgroup.
type meter struct {
	cgroup  *cgroup
	started time.Time
	cpu     time.Duration
	water   int64
	kills   int64
	cancel  context.CancelFunc
	sampled chan int64
}

// measure starts a meter: CPU by difference, memory by samples and by the kernel's high-water mark.
func (c *cgroup) measure() *meter {
	ctx, cancel := context.WithCancel(context.Background())
	m := &meter{cgroup: c, started: time.Now(), cpu: c.cpu(), water: c.highWater(true), kills: c.oomKills(),
		cancel: cancel, sampled: make(chan int64, 1)}
	go func() { m.sampled <- m.sample(ctx) }()
	return m
}

func (m *meter) sample(ctx context.Context) int64 {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	largest := int64(0)
	for {
		select {
		case <-ctx.Done():
			return largest
		case <-tick.C:
			largest = max(largest, m.cgroup.memory())
		}
	}
}

// stop ends the meter. baseline is what gVisor itself uses when no step runs, limit the
// most that a step can be said to have used.
func (m *meter) stop(baseline, limit int64) glovebox.Usage {
	m.cancel()
	peak := <-m.sampled
	if water := m.cgroup.highWater(false); water > m.water || !m.cgroup.unified {
		// Files' pages count there; those left at the end are a fair guess at how many did.
		peak = max(peak, water-m.cgroup.filePages())
	}
	return glovebox.Usage{
		CPUSeconds:  (m.cgroup.cpu() - m.cpu).Seconds(),
		PeakMemory:  min(max(peak-baseline, 0), limit),
		WallSeconds: time.Since(m.started).Seconds(),
	}
}

var errClosed = errors.New("sandbox is closed")
