package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// many is how many repositories a large change has.
const many = 500

// cachedMany runs a change over many repositories again of which all is cached.
func cachedMany(ctx context.Context, env environment) ([]series, error) {
	c, err := hostChange(ctx, env, many)
	if err != nil {
		return nil, err
	}
	fresh, cached := c.previews("gvisor", "host")
	if _, err := fresh.run(ctx); err != nil {
		return nil, err
	}
	return takeTurns(ctx, env.runs, []variant{cached})
}

// batchMemory is the peak of the command's resident memory over 10, 100 and 500 repositories, the first
// time and all cached.
func batchMemory(ctx context.Context, env environment) ([]series, error) {
	var variants []variant
	for _, n := range []int{10, 100, many} {
		own := env
		own.dir = filepath.Join(env.dir, strconv.Itoa(n))
		c, err := hostChange(ctx, own, n)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(own.dir, "spec.yaml")
		peak := func(ctx context.Context) (float64, error) {
			out := filepath.Join(own.dir, "out")
			if err := os.RemoveAll(out); err != nil {
				return 0, err
			}
			figure, err := peakMemory(ctx, own, file, c.repos, out)
			if err == nil {
				err = c.complete(out)
			}
			return figure, err
		}
		variants = append(variants, variant{fmt.Sprintf("%d repositories, gvisor", n), func(ctx context.Context) (float64, error) {
			if err := os.WriteFile(file, []byte(c.spec("host", c.nonce())), 0o644); err != nil {
				return 0, err
			}
			return peak(ctx)
		}}, variant{fmt.Sprintf("%d repositories, all cached", n), peak})
	}
	return takeTurns(ctx, env.runs, variants)
}

// hostChange is one step with the host's tools over n small repositories.
func hostChange(ctx context.Context, env environment, n int) (*change, error) {
	if !env.hasBatch(ctx) {
		return nil, fmt.Errorf("%w: %w", errSkipped, errNoBatch)
	}
	repos := filepath.Join(env.dir, "repos")
	names, err := smallRepositories(ctx, repos, n)
	return &change{env: env, repos: repos, names: names, scripts: func(nonce string) []string {
		return []string{"echo " + nonce + " > one.txt"}
	}}, err
}

// peakMemory runs a preview and returns the peak of its resident memory in MB (of the command's own
// process: sandboxes have others). The kernel's figure for a child that has ended is no use, since it
// counts what the child was before it became the command; so the last before the end is taken.
func peakMemory(ctx context.Context, env environment, spec, repos, out string) (float64, error) {
	cmd := env.preview(ctx, spec, repos, out, "gvisor")
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var peak float64
	for {
		select {
		case err := <-done:
			if err != nil {
				return 0, fmt.Errorf("%w: %s", err, bytes.TrimSpace(output.Bytes()))
			}
			if peak == 0 {
				return 0, errors.New("the command ended before its memory could be read")
			}
			return peak, nil
		case <-tick.C:
			peak = max(peak, highWater(env.glovebox, cmd.Process.Pid))
		}
	}
}

// highWater is the peak of a process's resident memory in MB so far; 0 if it is not program or has ended.
func highWater(program string, pid int) float64 {
	dir := fmt.Sprintf("/proc/%d/", pid)
	if exe, err := os.Readlink(dir + "exe"); err != nil || exe != program {
		return 0
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kilobytes, _ := strconv.ParseFloat(fields[0], 64)
	return kilobytes / 1000
}
