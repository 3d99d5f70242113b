package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// demoModules are the modules that scripts/demo.sh makes repositories of.
func demoModules() []string {
	return []string{"github.com/spf13/pflag", "github.com/google/go-cmp", "github.com/dustin/go-humanize",
		"github.com/google/uuid", "github.com/google/btree", "pgregory.net/rapid"}
}

// smallRepositories makes n git repositories beneath dir, each with contents of its own, and returns their names.
func smallRepositories(ctx context.Context, dir string, n int) ([]string, error) {
	var names []string
	for i := range n {
		name := fmt.Sprintf("repo-%03d", i)
		path := filepath.Join(dir, name)
		for file, text := range map[string]string{
			"README.md":     "# " + name + "\n",
			"src/main.txt":  strings.Repeat("line of "+name+"\n", 50),
			"src/other.txt": strings.Repeat("other line of "+name+"\n", 50),
		} {
			if err := os.MkdirAll(filepath.Dir(filepath.Join(path, file)), 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(path, file), []byte(text), 0o644); err != nil {
				return nil, err
			}
		}
		if err := commitAll(ctx, path); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// moduleRepositories makes git repositories of modules' sources beneath dir and returns their names.
func moduleRepositories(ctx context.Context, dir string, modules []string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var names []string
	for _, module := range modules {
		out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
		source := strings.TrimSpace(string(out))
		if err != nil || source == "" {
			return nil, fmt.Errorf("find the sources of %s (go mod download): %w", module, err)
		}
		name := filepath.Base(module)
		path := filepath.Join(dir, name)
		if err := command(ctx, "cp", "-r", source, path); err != nil {
			return nil, err
		}
		if err := command(ctx, "chmod", "-R", "u+w", path); err != nil {
			return nil, err
		}
		if err := commitAll(ctx, path); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// commitAll makes a folder a git repository of one commit.
func commitAll(ctx context.Context, path string) error {
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", "--template="},
		{"add", "-A", "-f"},
		{"-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "commit.gpgsign=false", "commit", "-q", "-m", "sources"},
	} {
		if err := command(ctx, "git", append([]string{"-C", path}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

// clones clones each repository beneath from into the folder to.
func clones(ctx context.Context, from, to string, names []string) error {
	for _, name := range names {
		if err := command(ctx, "git", "clone", "-q", "--template=", filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	return nil
}
