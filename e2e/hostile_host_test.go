package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// on runs a test on each real runtime that is there.
func on(t *testing.T, test func(t *testing.T, runtime string)) {
	t.Run("gvisor", func(t *testing.T) { testenv.Gvisor(t); testenv.Root(t); test(t, "gvisor") })
	t.Run("docker", func(t *testing.T) { testenv.Docker(t); testenv.Root(t); test(t, "docker") })
}

// TestHostileFlood: 200 MB of output end in the limit, in a process of bounded size.
func TestHostileFlood(t *testing.T) {
	on(t, func(t *testing.T, runtime string) {
		dir := t.TempDir()
		cmd := exec.Command("glovebox", "run", "--runtime", runtime, "--network", "none", "--memory", "256M", "--disk", "64M", "--data", dir, "--",
			"sh", "-c", `head -c 200000000 /dev/zero | tr '\0' x | fold -w 999; echo end`)
		var out lengthOnly
		var errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, errs.String())
		}
		peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss >> 10
		t.Logf("%-7s 200 MB of output: expected 64 MiB and a process below 300 MiB; seen %d bytes, %d MiB", runtime, out, peak)
		if out < 60<<20 || out > 65<<20 || peak > 300 || !strings.Contains(errs.String(), "log limit of 64M reached") {
			t.Errorf("%d bytes, %d MiB\n%s", out, peak, errs.String())
		}
	})
}

type lengthOnly int64

func (l *lengthOnly) Write(p []byte) (int, error) {
	*l += lengthOnly(len(p))
	return len(p), nil
}

// TestHostileExitCodes: a step's exit code arrives as it was, those that runtimes use themselves too.
func TestHostileExitCodes(t *testing.T) {
	codes := []int{0, 1, 2, 3, 64, 123, 124, 125, 126, 127, 128, 129, 130, 134, 137, 139, 143, 192, 254, 255}
	var job strings.Builder
	job.WriteString("network: none\nlimits: {disk: 64M, memory: 256M}\nsteps:\n")
	for _, c := range codes {
		fmt.Fprintf(&job, "  - {key: s%d, image: host, if: always, run: \"exit %d\"}\n", c, c)
	}
	on(t, func(t *testing.T, runtime string) {
		dir := t.TempDir()
		file := filepath.Join(dir, "job.yaml")
		if err := os.WriteFile(file, []byte(job.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("glovebox", "run", "--runtime", runtime, "--data", dir, "--json", file)
		out, _ := cmd.Output() // the first failing step's code
		var result glovebox.Result
		if err := json.Unmarshal(out, &result); err != nil || len(result.Steps) != len(codes) || cmd.ProcessState.ExitCode() != 1 {
			t.Fatalf("%v: %d steps, exit code %d\n%s", err, len(result.Steps), cmd.ProcessState.ExitCode(), out)
		}
		for i, s := range result.Steps {
			if s.ExitCode != codes[i] || s.Reason != "" {
				t.Errorf("exit %d: seen %d, %q", codes[i], s.ExitCode, s.Reason)
			}
		}
	})
}

// TestHostileNeighbour: a job on the same executor notices nothing of one that takes all it can.
func TestHostileNeighbour(t *testing.T) {
	l := newLab(t, "gvisor")
	l.serve()
	l.execute("e", l.addr, "--slots", "2")
	quiet := l.submit(l.counting(250, 100*time.Millisecond))
	l.reaches(quiet, 1, 1)
	for attack, want := range map[string]string{
		`perl -e '$x = "a" x (900 << 20)'`:                                                     glovebox.ReasonOutOfMemory,
		`cat /dev/zero > zeros`:                                                                glovebox.ReasonDiskFull,
		`i=0; while : > f$i; do i=$((i+1)); done; exit 1`:                                      glovebox.ReasonDiskFull,
		`b() { b | b & }; b; sleep 2; exit 9`:                                                  "",
		`ln -s / root; rm -rf /work || :; yes | head -c 30000000; exit 8`:                      "exit code 8",
		`trap "" TERM; (setsid sleep 100 &); head -c 30000000 /dev/zero; exec >&-; kill -9 $$`: "",
	} {
		job := l.ends(l.submit(l.job(attack)))
		t.Logf("gvisor  beside a neighbour: %.40s: expected failed, %q; seen %s, %q", attack, want, job.State, job.Reason)
		if job.State != glovebox.StateFailed || !strings.Contains(job.Reason, want) || job.Attempt != 1 {
			t.Errorf("%s: %s, %q, attempt %d", attack, job.State, job.Reason, job.Attempt)
		}
	}
	l.completes(quiet, 1, 250)
}

// TestHostileRepository: "run" of a repository whose own configuration and hooks are an attack runs none of them.
func TestHostileRepository(t *testing.T) {
	c := newTrap(t)
	touch := "touch " + c.canary + "/ran"
	config, err := os.OpenFile(filepath.Join(c.app, ".git", "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(config, "[core]\n\tfsmonitor = %[1]s-fsmonitor\n\tsshCommand = %[1]s-ssh\n\talternateRefsCommand = %[1]s-refs\n\tpager = %[1]s-pager\n"+
		"[uploadpack]\n\tpackObjectsHook = %[1]s-hook\n[filter \"evil\"]\n\tclean = %[1]s-clean\n\tprocess = %[1]s-process\n\trequired = true\n"+
		"[diff]\n\texternal = %[1]s-diff\n[remote \"origin\"]\n\turl = ext::%[1]s-ext\n", touch)
	if err := config.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"post-checkout", "pre-commit", "reference-transaction", "post-index-change"} {
		if err := os.WriteFile(filepath.Join(c.app, ".git", "hooks", name), []byte("#!/bin/sh\n"+touch+"-hook\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(c.app, ".git", "info", "attributes"), []byte("* filter=evil diff=evil\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Hour)
	if err := os.Chtimes(filepath.Join(c.app, "a.txt"), now, now); err != nil { // so that git would look at its content
		t.Fatal(err)
	}
	cmd := exec.Command("glovebox", "run", "--runtime", "fake", "--network", "none", "--repo", c.app, "--data", filepath.Join(c.dir, "data"), "--diff", filepath.Join(c.dir, "diff"), "--",
		"write", "a.txt", "new")
	cmd.Env = append(os.Environ(), "HOME="+c.dir)
	out, err := cmd.CombinedOutput()
	entries, readErr := os.ReadDir(c.canary)
	t.Logf("a poisoned repository: expected nothing run; seen %v", entries)
	if readErr != nil || len(entries) != 2 || strings.Contains(string(out), hostSecret) {
		t.Errorf("%v, %v\n%s", entries, readErr, out)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
