package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// change is a batch change that each contender makes in its own way: the same scripts, of the same
// image, over the same repositories.
type change struct {
	env environment
	// repos is the folder of the repositories that names lists.
	repos string
	names []string
	// image is the engine's; docker are the arguments that its containers need besides.
	image  string
	docker []string
	// scripts are the steps. The nonce makes them others in each run, so that no cache knows them.
	scripts func(nonce string) []string

	round int
}

// nonce is another text at each call.
func (c *change) nonce() string {
	c.round++
	return strconv.FormatInt(time.Now().UnixNano(), 36) + "-" + strconv.Itoa(c.round)
}

// String is the number of repositories and of steps.
func (c *change) String() string { return fmt.Sprintf("%d × %d", len(c.names), len(c.scripts(""))) }

// floor runs one bare container a step, at most slots at once and the steps of a repository one after
// the other. Its clones are made beforehand and not counted, nor does anything read what it changed.
func (c *change) floor(ctx context.Context, slots int) (variant, error) {
	dir := filepath.Join(c.env.dir, fmt.Sprintf("floor-%d", slots))
	if err := clones(ctx, c.repos, dir, c.names); err != nil {
		return variant{}, err
	}
	name := c.String() + " docker run --rm, one after the other"
	if slots > 1 {
		name = fmt.Sprintf("%s docker run --rm, %d at once", c, slots)
	}
	return c.inClones(name, dir, slots, func(ctx context.Context, name string, scripts []string) error {
		for _, script := range scripts {
			args := append([]string{"run", "--rm", "--network=none", "-v", filepath.Join(dir, name) + ":/work", "-w", "/work"}, c.docker...)
			if err := command(ctx, "docker", append(args, c.image, "sh", "-ec", script)...); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// bare runs the scripts with the machine's shell and no sandbox, for what the work itself takes.
func (c *change) bare(ctx context.Context) (variant, error) {
	dir := filepath.Join(c.env.dir, "bare")
	if err := clones(ctx, c.repos, dir, c.names); err != nil {
		return variant{}, err
	}
	return c.inClones(c.String()+" sh, no sandbox", dir, c.env.slots, func(ctx context.Context, name string, scripts []string) error {
		for _, script := range scripts {
			if err := run(prepared(ctx, filepath.Join(dir, name), nil, "sh", "-ec", script)); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

// inClones times what edits the clones beneath dir, each by f with the scripts, slots at once.
func (c *change) inClones(name, dir string, slots int, f func(ctx context.Context, name string, scripts []string) error) variant {
	return variant{name, func(ctx context.Context) (float64, error) {
		scripts := c.scripts(c.nonce())
		if err := c.reset(ctx, dir); err != nil {
			return 0, err
		}
		figure, err := timed(func(ctx context.Context) error {
			return c.each(ctx, slots, func(ctx context.Context, name string) error { return f(ctx, name, scripts) })
		})(ctx)
		if err == nil {
			err = c.edited(ctx, dir)
		}
		return figure, err
	}}
}

// edited says whether each clone beneath dir was changed.
func (c *change) edited(ctx context.Context, dir string) error {
	for _, name := range c.names {
		out, err := prepared(ctx, filepath.Join(dir, name), nil, "git", "status", "--porcelain").Output()
		if err != nil {
			return fmt.Errorf("look at what changed: %w", err)
		}
		if len(out) == 0 {
			return fmt.Errorf("nothing changed in %s", name)
		}
	}
	return nil
}

// each calls f for each repository, slots at once.
func (c *change) each(ctx context.Context, slots int, f func(ctx context.Context, name string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(slots)
	for _, name := range c.names {
		group.Go(func() error { return f(ctx, name) })
	}
	return group.Wait()
}

// reset undoes what earlier runs left in clones, which would be work spared.
func (c *change) reset(ctx context.Context, dir string) error {
	for _, name := range c.names {
		for _, args := range [][]string{{"reset", "-q", "--hard"}, {"clean", "-qfdx"}} {
			if err := run(prepared(ctx, filepath.Join(dir, name), nil, "git", args...)); err != nil {
				return err
			}
		}
	}
	return nil
}

// spec is the change as a batch spec.
func (c *change) spec(image, nonce string) string {
	var b strings.Builder
	b.WriteString("version: 2\nname: bench\nnetwork: none\non:\n  - repositoriesMatching: \"**\"\nsteps:\n")
	for _, script := range c.scripts(nonce) {
		fmt.Fprintf(&b, "  - {run: %q, container: %q}\n", script, image)
	}
	b.WriteString("changesetTemplate: {title: Bench, branch: bench, commit: {message: Bench}}\n")
	return b.String()
}

// previews are two variants: a preview of which nothing is cached, and the same again, of which all is.
// Run in turn, the second repeats what the first left.
func (c *change) previews(runtime, image string) (fresh, cached variant) {
	file := filepath.Join(c.env.dir, "spec-"+runtime+".yaml")
	out := filepath.Join(c.env.dir, "out-"+runtime)
	preview := func(ctx context.Context) (float64, error) {
		if err := os.RemoveAll(out); err != nil {
			return 0, err
		}
		figure, err := timed(func(ctx context.Context) error {
			return run(c.env.preview(ctx, file, c.repos, out, runtime))
		})(ctx)
		if err == nil {
			err = c.complete(out)
		}
		return figure, err
	}
	fresh = variant{fmt.Sprintf("%s glovebox batch preview, %s", c, runtime), func(ctx context.Context) (float64, error) {
		if err := os.WriteFile(file, []byte(c.spec(image, c.nonce())), 0o644); err != nil {
			return 0, err
		}
		return preview(ctx)
	}}
	return fresh, variant{fmt.Sprintf("%s glovebox batch preview, %s, all cached", c, runtime), preview}
}

// complete says whether each repository has its patch.
func (c *change) complete(out string) error {
	for _, name := range c.names {
		info, err := os.Stat(filepath.Join(out, name+".patch"))
		if err != nil {
			return err
		}
		if info.Size() == 0 {
			return fmt.Errorf("the patch of %s is empty", name)
		}
	}
	return nil
}
