package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// probe runs one container through all that a step needs; the init itself is its program.
func (r *Runtime) probe(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "glovebox-check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	spec := sandbox.Spec{
		ID: "check-" + strconv.FormatInt(time.Now().UnixNano(), 36), Instance: "check-" + strconv.Itoa(os.Getpid()),
		Workspace: filepath.Join(dir, "work"), Scratch: filepath.Join(dir, "scratch"), State: filepath.Join(dir, "state"),
		Limits: glovebox.Limits{CPUs: 1, Memory: 64 << 20, Pids: 64, OpenFiles: 1024}, Network: glovebox.NetworkNone,
	}
	lower := filepath.Join(dir, "image")
	for _, d := range []string{spec.Workspace, spec.Scratch, spec.State, lower, filepath.Join(lower, "etc")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return err
		}
	}
	b, err := r.Create(ctx, spec)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close(ctx)) }()
	var out bytes.Buffer
	exit, err := b.Run(ctx, sandbox.Step{
		Key: "check", Image: &image.Image{Rootfs: lower}, Argv: []string{"/" + initName, "--version"}, Dir: sandbox.WorkspaceDir,
	}, &out, &out)
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("exit code %d: %.200s", exit.Code, out.String())
	}
	return err
}
