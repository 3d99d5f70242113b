package workspace

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// rawAttributes win over every .gitattributes of the tree: contents are taken as they are.
const rawAttributes = "* !text !eol !crlf !working-tree-encoding !ident !filter !diff !merge !export-subst\n"

// makeTrusted makes the git directory that the diff is computed with. It borrows the
// snapshot's objects and is never shown to a step.
func (w *Workspace) makeTrusted() error {
	config := "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
	if len(w.Commit) == 64 {
		config = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = sha256\n"
	}
	return makeGitDir(w.GitDir, map[string]string{
		"HEAD":                    "ref: refs/heads/none\n",
		"config":                  config,
		"shallow":                 w.Commit + "\n",
		"info/attributes":         rawAttributes,
		"objects/info/alternates": filepath.Join(w.snapshot.dir, "objects") + "\n",
	})
}

// makeThrowAway makes the .git that steps see: one commit, detached, with an index that
// makes "git status" fast. Nothing reads it again.
func (w *Workspace) makeThrowAway() error {
	config := "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\tautocrlf = false\n" +
		// Inode numbers and change times look different inside a sandbox.
		"\tcheckStat = minimal\n\ttrustctime = false\n"
	if len(w.Commit) == 64 {
		config = strings.Replace(config, "repositoryformatversion = 0", "repositoryformatversion = 1", 1) + "[extensions]\n\tobjectFormat = sha256\n"
	}
	dir := filepath.Join(w.Root, ".git")
	err := makeGitDir(dir, map[string]string{
		"HEAD":            w.Commit + "\n",
		"config":          config,
		"shallow":         w.Commit + "\n",
		"info/attributes": rawAttributes,
	})
	if err != nil {
		return err
	}
	packs, err := filepath.Glob(filepath.Join(w.snapshot.dir, "objects", "pack", "pack-*"))
	if err != nil {
		return err
	}
	for _, pack := range packs {
		if err := copyFile(pack, filepath.Join(dir, "objects", "pack", filepath.Base(pack))); err != nil {
			return err
		}
	}
	return writeIndex(filepath.Join(dir, "index"), w.entries, w.stamps)
}

func makeGitDir(dir string, files map[string]string) error {
	for _, sub := range []string{"objects/pack", "objects/info", "refs/heads", "refs/tags", "info"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyFile copies by the kernel's own copying where the file systems can. It never links: a
// step may write to what it sees.
func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	if _, err = io.Copy(dst, src); err != nil {
		err = fmt.Errorf("copy pack: %w", err)
	}
	return errors.Join(err, dst.Close())
}
