package executor

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// Config is an executor's own: who it is, what it offers, where it keeps things. Deps.Source is where
// it claims, Deps.Dir where it works, which no other process may use.
type Config struct {
	Deps
	// Name is unique among the living executors.
	Name    string
	Version string
	Labels  map[string]string
	// Queues it serves, all when empty.
	Queues []string
	// Slots is how many jobs run at once at most; Ahead how many more are prepared meanwhile.
	Slots, Ahead int
	// Capacity is what all running jobs may be promised together; zero fields do not
	// restrict. HostCapacity measures it.
	Capacity glovebox.Limits
	// SweepDisks removes the disks that an earlier process left directly beneath a folder. May be nil.
	SweepDisks func(dir string) error
	// ClaimWait is how long a claim may wait for a job; 30 s when 0.
	ClaimWait time.Duration
	// BeatEvery is the time between heartbeats while jobs run, at most a third of a lease;
	// 2 s when 0: it is how long a cancellation takes to arrive.
	BeatEvery time.Duration
	// PollAhead is the time between looks for a job to prepare ahead; 1 s when 0. Those claims do not wait:
	// a job that another executor could start at once is not taken from it.
	PollAhead time.Duration
}

// Validate reports what is missing or out of range.
func (c Config) Validate() error {
	errs := []error{c.Deps.Validate()}
	if c.Name == "" {
		errs = append(errs, errors.New("executor needs a name"))
	}
	if c.Slots < 1 || c.Slots > 1000 {
		errs = append(errs, fmt.Errorf("slots: %d is not between 1 and 1000", c.Slots))
	}
	if c.Ahead < 0 || c.Ahead > c.Slots {
		errs = append(errs, fmt.Errorf("jobs prepared ahead: %d is not between 0 and the number of slots", c.Ahead))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	c.Deps = c.Deps.withDefaults()
	for _, d := range []struct {
		value *time.Duration
		to    time.Duration
	}{{&c.ClaimWait, 30 * time.Second}, {&c.BeatEvery, 2 * time.Second}, {&c.PollAhead, time.Second}} {
		if *d.value == 0 {
			*d.value = d.to
		}
	}
	return c
}

// names lists the runtimes, the default first.
func (c Config) names() []string {
	names := []string{}
	for name := range c.Runtimes {
		if name != c.DefaultRuntime {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return append([]string{c.DefaultRuntime}, names...)
}

// cpuShare is how many times over the host's CPUs may be promised: CPU time is shared by
// those who want it, where memory and disk once given are gone.
const cpuShare = 4

// HostCapacity measures what the host can promise to jobs whose disks lie beneath dir: its
// CPUs four times over, nine tenths of its memory, nine tenths of the free disk.
func HostCapacity(dir string) (glovebox.Limits, error) {
	capacity := glovebox.Limits{CPUs: float64(cpuShare * runtime.NumCPU())}
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return capacity, fmt.Errorf("measure memory: %w", err)
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "MemTotal:" {
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return capacity, fmt.Errorf("measure memory: %w", err)
			}
			capacity.Memory = glovebox.Size(kib * 1024 / 10 * 9)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return capacity, fmt.Errorf("measure disk: %w", err)
	}
	capacity.Disk = glovebox.Size(int64(st.Bavail) * st.Bsize / 10 * 9)
	return capacity, nil
}
