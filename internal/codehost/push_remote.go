package codehost

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// localReceivePack serves a push to a path on this host: without the hooks of that
// repository, which would run as us, and although others may own it.
const localReceivePack = "git -c 'safe.directory=*' -c core.hooksPath=/dev/null receive-pack"

// remoteRefs is what a remote says of itself.
type remoteRefs struct {
	defaultBranch string
	// heads are the commits of the refs that were asked for.
	heads map[string]string
}

// lsRemote asks for the default branch and some refs.
func lsRemote(ctx context.Context, o git.Options, remote string, refs ...string) (remoteRefs, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, fmt.Errorf("no answer from the remote in two minutes"))
	defer cancel()
	args := []string{"ls-remote", "--symref"}
	if len(o.Transports) == 1 && o.Transports[0] == "file" {
		args = append(args, "--upload-pack="+git.LocalUploadPack)
	}
	out, err := git.Output(ctx, o, append(append(args, "--", remote, "HEAD"), refs...)...)
	if err != nil {
		return remoteRefs{}, err
	}
	found := remoteRefs{heads: map[string]string{}}
	asked := map[string]bool{}
	for _, ref := range refs {
		asked[ref] = true
	}
	for line := range strings.Lines(string(out)) {
		value, ref, _ := strings.Cut(strings.TrimRight(line, "\n"), "\t")
		if target, ok := strings.CutPrefix(value, "ref: refs/heads/"); ok && ref == "HEAD" {
			found.defaultBranch = checkedRev(target)
		} else if git.IsObjectName(value) && asked[ref] {
			found.heads[ref] = value
		}
	}
	return found, nil
}

// push moves the branch from Expect to commit, if it is at Expect.
func (p *push) push(ctx context.Context, commit string) error {
	ref := "refs/heads/" + p.Branch
	refs, err := lsRemote(ctx, p.far(git.Options{}), p.remote.Remote, ref)
	if err != nil {
		return fmt.Errorf("push branch %s: %w", p.Branch, err)
	}
	if p.Branch == refs.defaultBranch {
		return fmt.Errorf("push: branch %q is the default one of its repository: %w", p.Branch, glovebox.ErrForbidden)
	}
	if done, err := p.state(ctx, refs.heads[ref], commit); done || err != nil {
		return err
	}
	// The lease holds at the remote what we have seen here: nobody gets in between.
	args := []string{"push", "--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no", "--force-with-lease=" + ref + ":" + p.Expect}
	if p.remote.Scheme == "file" {
		args = append(args, "--receive-pack="+localReceivePack)
	}
	said := &head{max: 16 << 10}
	far := p.far(p.local())
	far.Stdout = said
	pushErr := git.Run(ctx, far, append(args, "--", p.remote.Remote, commit+":"+ref)...)
	if pushErr == nil {
		return nil
	}
	// Somebody else may have pushed meanwhile, or ours arrived and the answer was lost.
	if again, err := lsRemote(ctx, p.far(git.Options{}), p.remote.Remote, ref); err == nil {
		if done, err := p.state(ctx, again.heads[ref], commit); done || err != nil {
			return err
		}
	}
	if reason := rejection(said.String()); reason != "" {
		return fmt.Errorf("push branch %s: refused: %s: %w: %w", p.Branch, reason, glovebox.ErrConflict, pushErr)
	}
	return fmt.Errorf("push branch %s: %w", p.Branch, pushErr)
}

// state compares the remote's head with what we made and what we expect to replace.
func (p *push) state(ctx context.Context, head, commit string) (done bool, err error) {
	switch {
	case head == commit:
		return true, nil
	case head == p.Expect:
		return false, nil
	case head == "":
		return false, fmt.Errorf("push branch %s: %s, which we pushed, is not there any more: %w", p.Branch, p.Expect, ErrBranchGone)
	}
	return false, &ForeignCommitsError{Branch: p.Branch, Head: head, Author: p.author(ctx, head)}
}

// author looks for who made a commit, for the message only: what goes wrong makes it "".
func (p *push) author(ctx context.Context, commit string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	o := git.Options{GitDir: filepath.Join(p.dir, "look")}
	if git.Run(ctx, git.Options{}, "init", "-q", "--bare", "--", o.GitDir) != nil {
		return ""
	}
	args := []string{"fetch", "-q", "--depth=1", "--no-tags", "--filter=tree:0", "--no-write-fetch-head"}
	if p.remote.Scheme == "file" {
		args = append(args, "--upload-pack="+git.LocalUploadPack)
	}
	far := p.far(o)
	if git.Run(ctx, far, append(args, "--", p.remote.Remote, "refs/heads/"+p.Branch)...) != nil {
		return ""
	}
	out, err := git.Output(ctx, o, "log", "-1", "--no-show-signature", "--format=%an <%ae>", "--end-of-options", commit)
	if err != nil {
		return ""
	}
	return printable(strings.TrimSpace(string(out)), 200)
}

// rejection finds the reason in what push --porcelain writes: "!\tFROM:TO\t[remote rejected] (why)".
func rejection(said string) string {
	for line := range strings.Lines(said) {
		if fields := strings.Split(strings.TrimSpace(line), "\t"); len(fields) == 3 && fields[0] == "!" {
			return printable(fields[2], 300)
		}
	}
	return ""
}

// head keeps the first max bytes written to it.
type head struct {
	max int
	buf []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.buf = append(h.buf, p[:min(len(p), h.max-len(h.buf))]...)
	return len(p), nil
}

func (h *head) String() string { return string(h.buf) }
