package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/glovebox-dev/glovebox/api"
)

// dev is a running `glovebox dev`.
type dev struct {
	URL           string `json:"url"`
	Token         string `json:"token"`
	ExecutorToken string `json:"executor_token"`

	cmd *exec.Cmd
}

// startDev starts `glovebox dev` and returns once it answers. The caller stops it.
func startDev(ctx context.Context, env environment, args ...string) (*dev, error) {
	args = append([]string{"dev", "--json", "--log-level", "error", "--data", filepath.Join(env.dir, "dev")}, args...)
	cmd := exec.CommandContext(ctx, env.glovebox, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &dev{cmd: cmd}
	if err := json.NewDecoder(out).Decode(d); err != nil {
		return nil, fmt.Errorf("start glovebox dev: %w", err)
	}
	return d, nil
}

func (d *dev) client() (*api.Client, error) { return api.NewClient(d.URL, d.Token) }

func (d *dev) stop() {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	_ = d.cmd.Wait()
}
