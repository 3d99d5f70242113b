package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func batchOne(ctx context.Context, env environment) ([]series, error) {
	return trivialBatch(ctx, env, 1)
}
func batchTwenty(ctx context.Context, env environment) ([]series, error) {
	return trivialBatch(ctx, env, 20)
}

// trivialBatch makes three steps that write a line each, over n repositories.
func trivialBatch(ctx context.Context, env environment, n int) ([]series, error) {
	archive := filepath.Join(env.dir, "shell.tar")
	if err := makeShellImage(ctx, env.dir, archive); err != nil {
		return nil, err
	}
	repos := filepath.Join(env.dir, "repos")
	names, err := smallRepositories(ctx, repos, n)
	if err != nil {
		return nil, err
	}
	c := &change{env: env, repos: repos, names: names, image: shellImage, scripts: trivialScripts}
	variants, err := c.competitors(ctx)
	if err != nil {
		return nil, err
	}
	if env.hasBatch(ctx) {
		fresh, cached := c.previews("docker", shellImage)
		variants = append(variants, fresh, cached)
		fresh, cached = c.previews("gvisor", "docker-archive:"+archive)
		variants = append(variants, fresh, cached)
	}
	return takeTurns(ctx, env.runs, variants)
}

func trivialScripts(nonce string) []string {
	return []string{"echo " + nonce + " > one.txt", "echo " + nonce + " > two.txt", "echo " + nonce + " > three.txt"}
}

// codemod rewrites Go sources and go.mod of the demo's repositories, with the host's tools.
func codemod(ctx context.Context, env environment) ([]series, error) {
	if err := makeHostImage(ctx, env.dir); err != nil {
		return nil, err
	}
	repos := filepath.Join(env.dir, "repos")
	names, err := moduleRepositories(ctx, repos, demoModules())
	if err != nil {
		return nil, err
	}
	c := &change{env: env, repos: repos, names: names, image: hostImage, scripts: codemodScripts,
		docker: []string{"-v", "/usr:/usr:ro", "-e", "PATH=/usr/local/go/bin:/usr/bin:/bin", "-e", "HOME=/tmp", "-e", "GOTOOLCHAIN=local"}}
	variants, err := c.competitors(ctx)
	if err != nil {
		return nil, err
	}
	if env.hasBatch(ctx) {
		fresh, cached := c.previews("gvisor", "host")
		variants = append(variants, fresh, cached)
	}
	bare, err := c.bare(ctx)
	if err != nil {
		return nil, err
	}
	return takeTurns(ctx, env.runs, append(variants, bare))
}

func codemodScripts(nonce string) []string {
	return []string{"gofmt -w -r 'interface{} -> any' . # " + nonce, "GOTOOLCHAIN=local GOFLAGS=-mod=mod go mod edit -go=1.21 # " + nonce}
}

// competitors are the floor, first, and act if there is one.
func (c *change) competitors(ctx context.Context) ([]variant, error) {
	var variants []variant
	counts := []int{1}
	if len(c.names) > 1 && c.env.slots > 1 {
		counts = []int{c.env.slots, 1}
	}
	for _, slots := range counts {
		v, err := c.floor(ctx, slots)
		if err != nil {
			return nil, err
		}
		variants = append(variants, v)
	}
	if c.env.act == "" {
		fmt.Fprintln(os.Stderr, "bench: act is left out: -act names none (scripts/act.sh builds it)")
		return variants, nil
	}
	v, err := c.act(ctx, counts[0])
	return append(variants, v), err
}

// preview is the command that is measured. What it caches lies in the measurement's folder.
func (e environment) preview(ctx context.Context, spec, repos, out, runtime string) *exec.Cmd {
	return prepared(ctx, "", nil, e.glovebox, "batch", "preview", spec, "--repos-dir", repos, "-o", out,
		"--runtime", runtime, "--jobs", fmt.Sprint(e.slots), "--data", filepath.Join(e.dir, "data"))
}

var errNoBatch = errors.New("the binary has no `batch preview`")

// hasBatch says whether the binary to measure can preview batch changes.
func (e environment) hasBatch(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, e.glovebox, "batch", "preview", "--help").CombinedOutput()
	return err == nil && strings.Contains(string(out), "--repos-dir")
}
