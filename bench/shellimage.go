package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// shellImage is the image of the batch steps: a shell and what act needs to keep a container.
	shellImage = "glovebox-bench/shell:latest"
	// hostImage has no tools but the places that the host's are bound to.
	hostImage = "glovebox-bench/host:latest"
)

// shellPrograms are the programs of shellImage; act starts tail to keep its container running.
func shellPrograms() []string { return []string{"sh", "cat", "mkdir", "tail", "true"} }

// makeShellImage imports an image with the machine's shell into the engine and saves it to archive.
func makeShellImage(ctx context.Context, dir, archive string) error {
	if err := needDocker(ctx); err != nil {
		return err
	}
	root := filepath.Join(dir, "shell-root")
	for _, sub := range []string{"bin", "tmp", "work"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o777); err != nil {
			return err
		}
	}
	for _, name := range shellPrograms() {
		if err := copyProgram(ctx, name, root); err != nil {
			return err
		}
	}
	return importImage(ctx, root, shellImage, archive)
}

// makeHostImage imports an image for containers that see the host's tools, as the image "host" does.
func makeHostImage(ctx context.Context, dir string) error {
	if err := needDocker(ctx); err != nil {
		return err
	}
	root := filepath.Join(dir, "host-root")
	for _, sub := range []string{"usr", "tmp", "work"} {
		if err := os.MkdirAll(filepath.Join(root, sub), 0o777); err != nil {
			return err
		}
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return importImage(ctx, root, hostImage, "")
}

// copyProgram copies a program of the machine, with the libraries it is linked with, beneath root.
func copyProgram(ctx context.Context, name, root string) error {
	path, err := exec.LookPath(name)
	if err != nil {
		return fmt.Errorf("make the image with a shell: %w", err)
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	if err := copyFile(path, filepath.Join(root, "bin", name)); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "ldd", path).Output()
	if err != nil {
		return fmt.Errorf("find the libraries of %s: %w", name, err)
	}
	for _, library := range slices.DeleteFunc(strings.Fields(string(out)), func(s string) bool { return !filepath.IsAbs(s) }) {
		if err := copyFile(library, filepath.Join(root, library)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// importImage makes a folder an image of the engine and, if archive is set, saves that there.
func importImage(ctx context.Context, root, image, archive string) error {
	layer := root + ".tar"
	if err := command(ctx, "tar", "-C", root, "-cf", layer, "."); err != nil {
		return err
	}
	if err := command(ctx, "docker", "import", layer, image); err != nil {
		return err
	}
	if archive == "" {
		return nil
	}
	return command(ctx, "docker", "save", "-o", archive, image)
}

func needDocker(ctx context.Context) error {
	if err := command(ctx, "docker", "version"); err != nil {
		return fmt.Errorf("%w: no Docker engine to compare with: %v", errSkipped, err)
	}
	return nil
}
