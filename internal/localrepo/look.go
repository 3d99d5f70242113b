package localrepo

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// lookFor bounds one look into a commit: trees and expressions can be made that are never done.
const lookFor = 2 * time.Minute

// Pattern is a text to find in files, line by line.
type Pattern struct {
	// Text is looked for as it is, or is a Perl-compatible expression if Regexp is set.
	Text       string
	Regexp     bool
	IgnoreCase bool
}

// Tree returns the name of a commit's tree.
func (r Repo) Tree(ctx context.Context, commit string) (string, error) {
	if err := fullName(commit); err != nil {
		return "", err
	}
	tree, err := r.object(ctx, commit+"^{tree}")
	if err != nil {
		return "", fmt.Errorf("%s: read tree: %w", r.Dir, err)
	}
	return tree, nil
}

// Files lists the paths of a commit's files, links and submodules, slash-separated, in git's order;
// they may hold any byte but NUL. Too many are glovebox.ErrTooLarge.
func (r Repo) Files(ctx context.Context, commit string) ([]string, error) {
	if err := fullName(commit); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookFor, fmt.Errorf("listing the tree takes longer than %s", lookFor))
	defer cancel()
	out, err := git.Output(ctx, r.options(), "ls-tree", "-r", "--name-only", "-z", "--full-tree", commit)
	if err != nil {
		return nil, fmt.Errorf("%s: list files: %w", r.Dir, err)
	}
	return split(string(out), ""), nil
}

// Grep lists the paths of a commit's text files that have a line with the pattern.
func (r Repo) Grep(ctx context.Context, commit string, p Pattern) ([]string, error) {
	if err := fullName(commit); err != nil {
		return nil, err
	}
	if p.Text == "" || len(p.Text) > maxRefFile || strings.ContainsAny(p.Text, "\x00\n") {
		return nil, errors.New("find text: the pattern is empty, too long or of several lines")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookFor, fmt.Errorf("looking for the text takes longer than %s", lookFor))
	defer cancel()
	args := []string{"grep", "-I", "-l", "-z", "--no-color", "--no-textconv", "--no-recurse-submodules", "--full-name"}
	if p.Regexp {
		args = append(args, "--perl-regexp")
	} else {
		args = append(args, "--fixed-strings")
	}
	if p.IgnoreCase {
		args = append(args, "--ignore-case")
	}
	out, err := git.Output(ctx, r.options(), append(args, "-e", p.Text, commit, "--")...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: find text: %w", r.Dir, err)
	}
	return split(string(out), commit+":"), nil
}

func split(list, prefix string) (all []string) {
	for name := range strings.SplitSeq(list, "\x00") {
		if name != "" {
			all = append(all, strings.TrimPrefix(name, prefix))
		}
	}
	return all
}

func fullName(commit string) error {
	if !git.IsObjectName(commit) {
		return fmt.Errorf("commit %q: not a full name: %w", commit, glovebox.ErrNotFound)
	}
	return nil
}
