package codehost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// PushOptions say what is to stand on which branch.
type PushOptions struct {
	// GitDir is a bare repository of ours that holds Base. It is only read: new objects live in a
	// folder of their own until they are pushed.
	GitDir string
	// Remote is the address to push to, without credentials; Username and Token are for it alone.
	Remote          string
	Username, Token string
	// Transports that Remote may have; https, and http on this machine, when nil.
	Transports []string
	// Branch is pushed to; BaseRef is the one that the change is for, and is never pushed to, nor is the
	// remote's default branch.
	Branch, BaseRef string
	// Base is the commit that Patch, a git diff, applies to.
	Base  string
	Patch []byte
	// The commit. Author is the committer too. The same values make the same commit.
	Message                 string
	AuthorName, AuthorEmail string
	Date                    time.Time
	// Expect is the commit that we pushed last, "" if the branch must not exist yet.
	Expect string
	// Timeout bounds it all (15 minutes).
	Timeout time.Duration
	// TempDir is where the folder of new objects is made; the system's when empty.
	TempDir string
}

// Push makes the commit and pushes it, and returns its name. A branch that has the commit already is
// left as it is. A branch whose head is neither the commit nor Expect is never overwritten: the error
// is a *ForeignCommitsError, or wraps ErrBranchGone if Expect's branch is not there.
func Push(ctx context.Context, o PushOptions) (string, error) {
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Minute
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("push branch %s: not done after %s", printable(o.Branch, 200), o.Timeout))
	defer cancel()
	remote, err := o.check()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(o.TempDir, "glovebox-push-")
	if err != nil {
		return "", fmt.Errorf("push branch %s: %w", o.Branch, err)
	}
	defer os.RemoveAll(dir)
	p := &push{PushOptions: o, remote: remote, dir: dir}
	commit, err := p.commit(ctx)
	if err != nil {
		return "", fmt.Errorf("push branch %s: %w", o.Branch, err)
	}
	return commit, p.push(ctx, commit)
}

// check refuses what would be dangerous or useless, before git is started.
func (o PushOptions) check() (git.URL, error) {
	remote, err := git.ParseURL(o.Remote)
	if err != nil {
		return remote, fmt.Errorf("push: %w", err)
	}
	for what, rev := range map[string]string{"branch": o.Branch, "base branch": o.BaseRef} {
		if err := git.CheckRev(rev); err != nil {
			return remote, fmt.Errorf("push: %s: %w", what, err)
		}
	}
	transports := o.Transports
	if u, err := url.Parse(remote.Remote); transports == nil && err == nil && loopback(u.Hostname()) {
		transports = []string{"https", "http"}
	}
	if transports == nil {
		transports = []string{"https"}
	}
	base := strings.TrimPrefix(o.BaseRef, "refs/heads/")
	switch {
	case remote.Password != "":
		return remote, errors.New("push: the address holds credentials")
	case !slices.Contains(transports, remote.Scheme):
		return remote, fmt.Errorf("push: transport %q is not allowed here", remote.Scheme)
	case strings.HasPrefix(o.Branch, "refs/") || o.Branch == "HEAD":
		return remote, fmt.Errorf("push: branch %q: want a name without refs/heads/", o.Branch)
	case o.Branch == base:
		return remote, fmt.Errorf("push: branch %q is the one that the change is for: %w", o.Branch, glovebox.ErrForbidden)
	case !git.IsObjectName(o.Base):
		return remote, errors.New("push: base: want a full commit name")
	case o.Expect != "" && !git.IsObjectName(o.Expect):
		return remote, errors.New("push: expected head: want a full commit name")
	case !filepath.IsAbs(o.GitDir):
		return remote, errors.New("push: git directory: want an absolute path")
	}
	return remote, o.checkCommit()
}

func (o PushOptions) checkCommit() error {
	for what, s := range map[string]string{"author name": o.AuthorName, "author address": o.AuthorEmail} {
		if strings.TrimSpace(s) == "" || len(s) > 1000 || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == '<' || r == '>' || r == 0x7f }) {
			return fmt.Errorf("push: %s: empty, too long, or with letters that git can't keep", what)
		}
	}
	switch {
	case strings.TrimSpace(o.Message) == "" || len(o.Message) > 1<<20:
		return errors.New("push: commit message: empty or longer than 1 MiB")
	case !utf8.ValidString(o.Message) || strings.ContainsRune(o.Message, 0):
		return errors.New("push: commit message: not UTF-8 text")
	case o.Date.IsZero() || o.Date.Unix() < 0:
		return errors.New("push: commit date: none, or before 1970")
	case len(bytes.TrimSpace(o.Patch)) == 0:
		return fmt.Errorf("push: %w", ErrEmptyPatch)
	}
	return nil
}

// push is one run of Push.
type push struct {
	PushOptions
	remote git.URL
	dir    string
}

// local is for commands that reach no remote. New objects go to the run's folder; the
// repository's own are read beside them.
func (p *push) local() git.Options {
	return git.Options{GitDir: p.GitDir, Env: []string{
		"GIT_INDEX_FILE=" + filepath.Join(p.dir, "index"),
		"GIT_OBJECT_DIRECTORY=" + filepath.Join(p.dir, "objects"),
		// Quoted: a colon would separate folders.
		`GIT_ALTERNATE_OBJECT_DIRECTORIES="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(filepath.Join(p.GitDir, "objects")) + `"`,
	}}
}

func (p *push) far(o git.Options) git.Options {
	o.Transports = []string{p.remote.Scheme}
	if p.Token != "" && (p.remote.Scheme == "https" || p.remote.Scheme == "http") {
		o.Username, o.Password, o.AuthURL = p.Username, p.Token, p.remote.Remote
	}
	return o
}

// commit applies the patch in an index of its own and makes the commit. No tree is checked
// out: links, modes and binary files are what the patch says, and nothing is followed or run.
func (p *push) commit(ctx context.Context) (string, error) {
	if err := os.Mkdir(filepath.Join(p.dir, "objects"), 0o700); err != nil {
		return "", err
	}
	local := p.local()
	if err := git.Run(ctx, local, "read-tree", p.Base+"^{commit}"); err != nil {
		return "", fmt.Errorf("read base commit %s: %w", p.Base, err)
	}
	apply := local
	apply.Stdin = bytes.NewReader(p.Patch)
	if err := git.Run(ctx, apply, "apply", "--cached", "--whitespace=nowarn", "-"); err != nil {
		if ctx.Err() != nil {
			return "", err
		}
		return "", fmt.Errorf("%w to %s: %w", ErrPatch, p.Base, err)
	}
	tree, err := p.name(ctx, local, "write-tree")
	if err != nil {
		return "", err
	}
	before, err := p.name(ctx, local, "rev-parse", "--verify", "--end-of-options", p.Base+"^{tree}")
	if err != nil {
		return "", err
	}
	if tree == before {
		return "", ErrEmptyPatch
	}
	commit := local
	date := fmt.Sprintf("%d +0000", p.Date.Unix())
	commit.Env = append(slices.Clone(local.Env), "GIT_AUTHOR_NAME="+p.AuthorName, "GIT_AUTHOR_EMAIL="+p.AuthorEmail, "GIT_AUTHOR_DATE="+date,
		"GIT_COMMITTER_NAME="+p.AuthorName, "GIT_COMMITTER_EMAIL="+p.AuthorEmail, "GIT_COMMITTER_DATE="+date)
	commit.Config = []string{"commit.gpgSign=false", "i18n.commitEncoding=UTF-8"}
	commit.Stdin = strings.NewReader(strings.TrimRight(p.Message, "\n") + "\n")
	return p.name(ctx, commit, "commit-tree", "-p", p.Base, "-F", "-", tree)
}

// name runs a command that answers with an object's name.
func (p *push) name(ctx context.Context, o git.Options, args ...string) (string, error) {
	out, err := git.Output(ctx, o, args...)
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(out))
	if !git.IsObjectName(name) {
		return "", fmt.Errorf("git %s: no object name in the answer", args[0])
	}
	return name, nil
}
