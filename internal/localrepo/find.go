// Package localrepo finds git repositories on this host and reads what a batch change needs to
// know of them, where possible without starting git: which there are, what their branches are,
// which files a commit has. It makes a repository of a plain folder, and puts a diff into a
// clone's work tree. A repository is somebody else's: its configuration, hooks and filters
// never run. The package must not know batch specs, jobs or servers.
package localrepo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds on what Find looks at.
const (
	maxFolders = 200_000
	maxDepth   = 32
	maxNotes   = 20
)

// Repo is a repository on this host.
type Repo struct {
	// Name is the path relative to the folder that was searched, slash-separated, UTF-8 without
	// control characters; the folder's own name for itself.
	Name string
	// Dir is the work tree, or the repository itself if it is bare.
	Dir string
	// GitDir is what to fetch from (workspace.Options.URL): the git directory that all work trees of the repository share.
	GitDir string
	Bare   bool

	// own is the work tree's own git directory, with its HEAD.
	own string
}

// Find returns the repositories beneath a folder, sorted by name. A repository is a folder with a
// .git folder or file, or a bare repository. What lies in a repository's work tree belongs to it:
// nothing is looked for there, so neither submodules nor nested clones are listed; if the folder
// itself is a repository it is the only one. A link is followed only if it leads to a repository outside
// of the folder. Notes say what could not be looked at.
func Find(ctx context.Context, dir string) (repos []Repo, notes []string, err error) {
	root, err := filepath.Abs(dir)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find repositories: %w", err)
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return nil, nil, fmt.Errorf("find repositories: %s is no folder", dir)
	}
	s := &search{ctx: ctx, root: root}
	if err := s.folder(root, "", 0); err != nil {
		return nil, nil, fmt.Errorf("find repositories: %w", err)
	}
	sort.Slice(s.repos, func(i, j int) bool { return s.repos[i].Name < s.repos[j].Name })
	if s.more > 0 {
		s.notes = append(s.notes, fmt.Sprintf("and %d more remarks of this kind", s.more))
	}
	return s.repos, s.notes, nil
}

// Open returns the repository of a folder: a work tree's root, its .git, or a bare repository.
func Open(dir string) (Repo, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Repo{}, fmt.Errorf("open repository: %w", err)
	}
	r, ok, err := at(dir)
	if err == nil && !ok {
		err = fmt.Errorf("%s is not the root of a git repository", dir)
	}
	if err != nil {
		return Repo{}, fmt.Errorf("open repository: %w", err)
	}
	r.Name = filepath.Base(dir)
	return r, nil
}

type search struct {
	ctx     context.Context
	root    string
	repos   []Repo
	notes   []string
	more    int
	folders int
}

func (s *search) note(format string, args ...any) {
	if len(s.notes) >= maxNotes {
		s.more++
		return
	}
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

func (s *search) folder(dir, name string, depth int) error {
	if s.folders++; s.folders > maxFolders {
		return fmt.Errorf("more than %d folders beneath %s; name a folder that holds little but repositories", maxFolders, s.root)
	}
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	r, ok, err := at(dir)
	if err != nil {
		s.note("left out %q: %v", dir, err)
		return nil
	}
	if ok {
		s.add(r, name)
		return nil
	}
	if depth >= maxDepth {
		s.note("left out %q: deeper than %d folders", dir, maxDepth)
		return nil
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		s.note("left out %q: %v", dir, bare(err))
		if depth == 0 {
			return err
		}
		return nil
	}
	for _, e := range list {
		path, sub := filepath.Join(dir, e.Name()), strings.TrimPrefix(name+"/"+e.Name(), "/")
		switch {
		case e.Name() == ".git":
		case e.IsDir():
			if err := s.folder(path, sub, depth+1); err != nil {
				return err
			}
		case e.Type()&fs.ModeSymlink != 0:
			s.link(path, sub)
		}
	}
	return nil
}

// link adds a repository that a link leads to, unless it is found without it.
func (s *search) link(path, name string) {
	to, err := filepath.EvalSymlinks(path)
	if err != nil || strings.HasPrefix(to+"/", s.root+"/") || strings.HasPrefix(s.root+"/", to+"/") {
		return
	}
	if info, err := os.Stat(to); err != nil || !info.IsDir() {
		return
	}
	if r, ok, err := at(to); err == nil && ok {
		s.add(r, name)
	}
}

func (s *search) add(r Repo, name string) {
	if r.Name = name; name == "" {
		r.Name = filepath.Base(s.root)
	}
	if !utf8.ValidString(r.Name) || strings.ContainsFunc(r.Name, unicode.IsControl) {
		s.note("left out %q: a repository's name is UTF-8 without control characters", r.Dir)
		return
	}
	s.repos = append(s.repos, r)
}

// at looks whether a folder is a repository.
func at(dir string) (Repo, bool, error) {
	dot := filepath.Join(dir, ".git")
	info, err := os.Lstat(dot)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !isGitDir(dir) {
			return Repo{}, false, nil
		}
		if filepath.Base(dir) == ".git" {
			return Repo{Dir: filepath.Dir(dir), GitDir: dir, own: dir}, true, nil
		}
		return Repo{Dir: dir, GitDir: dir, own: dir, Bare: true}, true, nil
	case err != nil:
		return Repo{}, false, bare(err)
	case info.Mode()&fs.ModeSymlink != 0:
		if dot, err = filepath.EvalSymlinks(dot); err != nil {
			return Repo{}, false, errors.New("its .git leads nowhere")
		}
		if info, err = os.Lstat(dot); err != nil {
			return Repo{}, false, bare(err)
		}
	}
	own := dot
	if info.Mode().IsRegular() {
		if own, err = gitFile(dot, dir); err != nil {
			return Repo{}, false, err
		}
	}
	common, err := commonDir(own)
	if err != nil {
		return Repo{}, false, err
	}
	if !isGitDir(common) {
		return Repo{}, false, nil // some folder with the name; what lies beneath is looked at
	}
	return Repo{Dir: dir, GitDir: common, own: own}, true, nil
}

// isGitDir asks what git itself asks.
func isGitDir(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, "HEAD")); err != nil {
		return false
	}
	for _, sub := range []string{"objects", "refs"} {
		if info, err := os.Stat(filepath.Join(dir, sub)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

// bare is an error without its path, which the caller names.
func bare(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
