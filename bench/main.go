// Command bench measures Glovebox against what it competes with, side by side in one run:
// the variants of a measurement take turns, so that a machine whose speed drifts
// slows them alike. It prints minimum, median and maximum of each and the ratio of
// medians to the first variant, the floor. It judges nothing: these machines are noisy.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"strings"
)

// environment is what every measurement gets.
type environment struct {
	// glovebox is the binary; dir is an empty folder that is removed at the end.
	glovebox, dir string
	// act is the binary of github.com/nektos/act, empty without one.
	act  string
	runs int
	// slots is how many repositories of a batch change are worked on at once, by each contender.
	slots int
}

// measurement is one table. It returns errSkipped when the machine lacks what it needs.
type measurement struct {
	name, title string
	run         func(ctx context.Context, env environment) ([]series, error)
	// most bounds the runs of what takes minutes each; 0 is no bound.
	most int
}

var errSkipped = errors.New("skipped")

func measurements() []measurement {
	return []measurement{
		{"steps-1", "a job of one step `true`, ms", oneStep, 0},
		{"steps-5", "a job of five steps `true`, ms", fiveSteps, 0},
		{"first-line", "submission to first log line on an idle executor, ms", firstLine, 0},
		{"queue", "trivial jobs through queue and API, fake runtime, jobs a second", queueThroughput, 0},
		{"workspace", "laying out a workspace of a mid-size repository, ms", workspacePreparation, 0},
		{"batch-1", "a batch change of three trivial steps over 1 repository, ms", batchOne, 0},
		{"batch-20", "a batch change of three trivial steps over 20 repositories, ms", batchTwenty, 5},
		{"batch-codemod", "a codemod of two steps over the demo's repositories, ms", codemod, 5},
		{"batch-cached", "a batch change of one step over 500 repositories, all cached, ms", cachedMany, 0},
		{"batch-memory", "peak resident memory of batch preview, one step, MB", batchMemory, 2},
	}
}

func main() {
	binary := flag.String("glovebox", "bin/glovebox", "the binary to measure")
	runs := flag.Int("runs", 10, "counted runs of each variant, after one that is not counted")
	only := flag.String("only", "", "comma-separated names of the measurements to make; all when empty")
	act := flag.String("act", "", "the binary of github.com/nektos/act to compare with; scripts/act.sh builds it")
	slots := flag.Int("slots", goruntime.NumCPU(), "repositories of a batch change at once, for each that is compared")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, environment{glovebox: *binary, act: *act, runs: *runs, slots: *slots}, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, env environment, only string) error {
	if err := env.findPrograms(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "glovebox-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for _, m := range measurements() {
		if only != "" && !strings.Contains(","+only+",", ","+m.name+",") {
			continue
		}
		own := env
		own.dir = filepath.Join(dir, m.name)
		if m.most > 0 {
			own.runs = min(own.runs, m.most)
		}
		if err := os.Mkdir(own.dir, 0o755); err != nil {
			return err
		}
		before := load()
		result, err := m.run(ctx, own)
		if errors.Is(err, errSkipped) {
			fmt.Printf("\n%s: %v\n", m.title, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		print(m.title, result)
		fmt.Printf("  load average %s before, %s after\n", before, load())
	}
	return nil
}

// findPrograms makes the paths of the programs to measure absolute.
func (e *environment) findPrograms() error {
	for _, path := range []*string{&e.glovebox, &e.act} {
		if *path == "" {
			continue
		}
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
		if _, err := os.Stat(*path); err != nil {
			return fmt.Errorf("%w (make build makes glovebox, scripts/act.sh act)", err)
		}
	}
	return nil
}

// load is the machine's load average of the last minute.
func load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
