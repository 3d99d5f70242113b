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
	"strings"
)

// environment is what every measurement gets.
type environment struct {
	// glovebox is the binary; dir is an empty folder that is removed at the end.
	glovebox, dir string
	runs          int
}

// measurement is one table. It returns errSkipped when the machine lacks what it needs.
type measurement struct {
	name, title string
	run         func(ctx context.Context, env environment) ([]series, error)
}

var errSkipped = errors.New("skipped")

func measurements() []measurement {
	return []measurement{
		{"steps-1", "a job of one step `true`, ms", oneStep},
		{"steps-5", "a job of five steps `true`, ms", fiveSteps},
		{"first-line", "submission to first log line on an idle executor, ms", firstLine},
		{"queue", "trivial jobs through queue and API, fake runtime, jobs a second", queueThroughput},
		{"workspace", "laying out a workspace of a mid-size repository, ms", workspacePreparation},
	}
}

func main() {
	binary := flag.String("glovebox", "bin/glovebox", "the binary to measure")
	runs := flag.Int("runs", 10, "counted runs of each variant, after one that is not counted")
	only := flag.String("only", "", "comma-separated names of the measurements to make; all when empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := measure(ctx, *binary, *runs, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, binary string, runs int, only string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("%w (make build makes it)", err)
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
		env := environment{glovebox: binary, dir: filepath.Join(dir, m.name), runs: runs}
		if err := os.Mkdir(env.dir, 0o755); err != nil {
			return err
		}
		result, err := m.run(ctx, env)
		if errors.Is(err, errSkipped) {
			fmt.Printf("\n%s: %v\n", m.title, err)
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		print(m.title, result)
	}
	return nil
}
