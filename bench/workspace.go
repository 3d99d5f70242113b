package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// workspacePreparation lays out a repository of some thousand files (the sources of gVisor, from the
// module cache) the first time, when the cache is empty, and the second, against a shallow clone.
func workspacePreparation(ctx context.Context, env environment) ([]series, error) {
	repo, commit, err := midSizeRepository(ctx, env.dir)
	if err != nil {
		return nil, err
	}
	n := 0
	fresh := func(name string) string {
		n++
		return filepath.Join(env.dir, fmt.Sprintf("%s-%d", name, n))
	}
	warm := fresh("cache")
	prepare := func(ctx context.Context, cacheDir string) (float64, error) {
		dir := fresh("workspace")
		defer os.RemoveAll(dir)
		root := filepath.Join(dir, "work")
		if err := os.MkdirAll(root, 0o755); err != nil {
			return 0, err
		}
		return timed(func(ctx context.Context) error {
			cache, err := workspace.OpenCache(workspace.CacheOptions{Dir: cacheDir, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				return err
			}
			w, err := workspace.Prepare(ctx, workspace.Options{Root: root, GitDir: filepath.Join(dir, "git"), Cache: cache,
				URL: "file://" + repo, Commit: commit, Transports: []string{"file"}})
			if err != nil {
				return err
			}
			return w.Close()
		})(ctx)
	}
	return takeTurns(ctx, env.runs, []variant{
		{"git clone --depth 1", func(ctx context.Context) (float64, error) {
			dir := fresh("clone")
			defer os.RemoveAll(dir)
			return timed(func(ctx context.Context) error {
				return command(ctx, "git", "clone", "-q", "--depth", "1", "file://"+repo, dir)
			})(ctx)
		}},
		{"first workspace", func(ctx context.Context) (float64, error) {
			cold := fresh("cache")
			defer os.RemoveAll(cold)
			return prepare(ctx, cold)
		}},
		{"second workspace", func(ctx context.Context) (float64, error) { return prepare(ctx, warm) }},
	})
}

func midSizeRepository(ctx context.Context, dir string) (path, commit string, err error) {
	names, err := moduleRepositories(ctx, dir, []string{"gvisor.dev/gvisor"})
	if err != nil {
		return "", "", err
	}
	path = filepath.Join(dir, names[0])
	head, err := exec.CommandContext(ctx, "git", "-C", path, "rev-parse", "HEAD").Output()
	return path, strings.TrimSpace(string(head)), err
}
