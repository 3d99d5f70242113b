package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

// firstLine measures from the submission of a job to the moment a follower has its first line, against
// the bare start of the same sandbox: gVisor alone, from exec to the first line.
func firstLine(ctx context.Context, env environment) ([]series, error) {
	bundle, err := bareBundle(env.dir)
	if err != nil {
		return nil, err
	}
	// runsc binds an empty network namespace there, for its next start.
	defer func() { _ = unix.Unmount(filepath.Join(env.dir, "runsc", "null-netns"), unix.MNT_DETACH) }()
	d, err := startDev(ctx, env, "--slots", "1", "--runtime", "gvisor")
	if err != nil {
		return nil, err
	}
	defer d.stop()
	client, err := d.client()
	if err != nil {
		return nil, err
	}
	n := 0
	return takeTurns(ctx, env.runs, []variant{
		{"bare sandbox", func(ctx context.Context) (float64, error) {
			n++
			return bareFirstLine(ctx, env, bundle, fmt.Sprintf("bench-%d", n))
		}},
		{"submit to first line", func(ctx context.Context) (float64, error) { return submitFirstLine(ctx, client) }},
	})
}

func submitFirstLine(ctx context.Context, client *api.Client) (float64, error) {
	start := time.Now()
	job, err := client.SubmitJob(ctx, glovebox.JobSpec{
		Network: glovebox.NetworkNone,
		Steps:   []glovebox.Step{{Key: "hello", Image: "host", Command: []string{"echo", "hello"}}},
	})
	if err != nil {
		return 0, err
	}
	var taken time.Duration
	_, err = client.FollowLog(ctx, job.ID, api.LogQuery{}, func(e api.LogEvent) error {
		if taken == 0 && e.Record.Step == "hello" && e.Record.Stream == glovebox.StreamStdout {
			taken = time.Since(start)
		}
		return nil
	})
	if err == nil && taken == 0 {
		err = errNoLine
	}
	return float64(taken.Microseconds()) / 1000, err
}

// bareBundle writes an OCI bundle that says hello with the host's tools.
func bareBundle(dir string) (string, error) {
	bundle := filepath.Join(dir, "bundle")
	for _, sub := range []string{"rootfs/proc", "rootfs/usr", "rootfs/dev", "rootfs/tmp"} {
		if err := os.MkdirAll(filepath.Join(bundle, sub), 0o755); err != nil {
			return "", err
		}
	}
	for _, link := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+link, filepath.Join(bundle, "rootfs", link)); err != nil {
			return "", err
		}
	}
	type object = map[string]any
	config, err := json.Marshal(object{
		"ociVersion": "1.1.0",
		"process":    object{"user": object{"uid": 0, "gid": 0}, "args": []string{"/usr/bin/echo", "hello"}, "env": []string{"PATH=/usr/bin"}, "cwd": "/"},
		"root":       object{"path": "rootfs", "readonly": true},
		"mounts": []object{
			{"destination": "/proc", "type": "proc", "source": "proc"},
			{"destination": "/usr", "type": "bind", "source": "/usr", "options": []string{"ro", "rbind"}},
		},
		"linux": object{"namespaces": []object{{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}}},
	})
	if err != nil {
		return "", err
	}
	return bundle, os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o644)
}

// bareFirstLine starts gVisor, which is linked into the binary, as the program runsc.
func bareFirstLine(ctx context.Context, env environment, bundle, id string) (float64, error) {
	start := time.Now()
	cmd := exec.CommandContext(ctx, env.glovebox)
	cmd.Args = []string{"runsc", "--root", filepath.Join(env.dir, "runsc"), "--platform=systrap", "--network=none",
		"--ignore-cgroups", "--overlay2=none", "run", "--bundle", bundle, id}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	_, lineErr := bufio.NewReader(out).ReadString('\n')
	taken := time.Since(start)
	if err := errors.Join(lineErr, cmd.Wait()); err != nil {
		return 0, fmt.Errorf("bare runsc: %w", err)
	}
	return float64(taken.Microseconds()) / 1000, nil
}
