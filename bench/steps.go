package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// trueImage is the image of the measured containers: one static program, nothing else.
const trueImage = "glovebox-bench/true:latest"

func oneStep(ctx context.Context, env environment) ([]series, error)   { return steps(ctx, env, 1) }
func fiveSteps(ctx context.Context, env environment) ([]series, error) { return steps(ctx, env, 5) }

// steps runs jobs of n steps by `glovebox run` against n bare `docker run --rm`, all of one
// image, without network.
func steps(ctx context.Context, env environment, n int) ([]series, error) {
	archive := filepath.Join(env.dir, "true.tar")
	if err := makeTrueImage(ctx, env.dir, archive); err != nil {
		return nil, err
	}
	inDocker, err := jobFile(env.dir, "docker", trueImage, n)
	if err != nil {
		return nil, err
	}
	inGvisor, err := jobFile(env.dir, "gvisor", "docker-archive:"+archive, n)
	if err != nil {
		return nil, err
	}
	data := filepath.Join(env.dir, "data")
	glovebox := func(file string) func(context.Context) error {
		return func(ctx context.Context) error { return command(ctx, env.glovebox, "run", "--data", data, file) }
	}
	return takeTurns(ctx, env.runs, []variant{
		{fmt.Sprintf("%d × docker run --rm", n), timed(func(ctx context.Context) error {
			for range n {
				if err := command(ctx, "docker", "run", "--rm", "--network=none", trueImage, "/true"); err != nil {
					return err
				}
			}
			return nil
		})},
		{"glovebox run, docker", timed(glovebox(inDocker))},
		{"glovebox run, gvisor", timed(glovebox(inGvisor))},
	})
}

// makeTrueImage builds a static program that does nothing, imports it into the engine as
// an image and saves that image to archive.
func makeTrueImage(ctx context.Context, dir, archive string) error {
	if err := needDocker(ctx); err != nil {
		return err
	}
	root := filepath.Join(dir, "root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	source := filepath.Join(dir, "true.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		return err
	}
	if err := command(ctx, "go", "build", "-ldflags=-s -w", "-o", filepath.Join(root, "true"), source); err != nil {
		return err
	}
	return importImage(ctx, root, trueImage, archive)
}

func jobFile(dir, runtime, image string, n int) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "runtime: %s\nnetwork: none\nsteps:\n", runtime)
	for range n {
		fmt.Fprintf(&b, "  - {image: %q, command: [/true]}\n", image)
	}
	path := filepath.Join(dir, runtime+".yaml")
	return path, os.WriteFile(path, []byte(b.String()), 0o644)
}

// command runs a program to its end; its output is shown when it fails.
func command(ctx context.Context, name string, args ...string) error {
	return run(prepared(ctx, "", nil, name, args...))
}

// prepared is a program that runs in dir with env besides the environment of this one.
func prepared(ctx context.Context, dir string, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	return cmd
}

func run(cmd *exec.Cmd) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, bytes.TrimSpace(out.Bytes()))
	}
	return nil
}

var errNoLine = errors.New("the job ended without a line")
