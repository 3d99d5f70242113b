package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// act runs the change as workflows of github.com/nektos/act, one for each repository, slots at once. Its
// clones are bound into its containers. It has no cache of results and makes no diffs.
func (c *change) act(ctx context.Context, slots int) (variant, error) {
	dir := filepath.Join(c.env.dir, "act")
	if err := clones(ctx, c.repos, dir, c.names); err != nil {
		return variant{}, err
	}
	home := filepath.Join(c.env.dir, "act-home")
	// Without a file of settings act asks which image to use.
	if err := os.MkdirAll(filepath.Join(home, "act"), 0o755); err != nil {
		return variant{}, err
	}
	if err := os.WriteFile(filepath.Join(home, "act", "actrc"), []byte("-P ubuntu-latest="+c.image+"\n"), 0o644); err != nil {
		return variant{}, err
	}
	args := []string{"push", "--bind", "--pull=false", "--network=none", "--container-daemon-socket=-", "--no-cache-server", "--rm"}
	if len(c.docker) > 0 {
		args = append(args, "--container-options="+strings.Join(c.docker, " "))
	}
	env := []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home, "XDG_CACHE_HOME=" + home}
	return c.inClones(fmt.Sprintf("%s act, %d at once", c, slots), dir, slots, func(ctx context.Context, name string, scripts []string) error {
		file := filepath.Join(home, name+".yaml")
		if err := os.WriteFile(file, []byte(workflow(name, scripts)), 0o644); err != nil {
			return err
		}
		return run(prepared(ctx, filepath.Join(dir, name), env, c.env.act, append(slices.Clone(args), "-W", file)...))
	}), nil
}

// workflow is one job of the scripts. act names its container after it, so that it must have a name of its own.
func workflow(name string, scripts []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name: %q\non: push\ndefaults: {run: {shell: sh}}\njobs:\n  bench:\n    runs-on: ubuntu-latest\n    steps:\n", name)
	for _, script := range scripts {
		fmt.Fprintf(&b, "      - run: %q\n", script)
	}
	return b.String()
}
