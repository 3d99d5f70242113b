package workspace

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// tree lists what lies beneath a folder: names, kinds, executable bits and contents.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if d.Name() == ".git" {
				return filepath.SkipDir
			}
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			all[rel] = fmt.Sprintf("file %v %q", info.Mode()&0o100 != 0, data)
		case info.Mode()&os.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			all[rel] = "link " + target
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// applied clones the source at a commit, applies the diff and returns the clone.
func applied(t *testing.T, s *source, commit, diff string) string {
	t.Helper()
	dir := t.TempDir()
	opts := git.Options{Dir: dir, Transports: []string{"file"}}
	for _, args := range [][]string{
		{"clone", "-q", "--no-checkout", "--upload-pack=" + git.LocalUploadPack, "--", s.path, dir},
		{"config", "core.bare", "false"},
	} {
		if err := git.Run(t.Context(), opts, args...); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, ".git/info/attributes"), []byte(rawAttributes), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"checkout", "-q", "--detach", commit}, {"apply", "--index", "--whitespace=nowarn", "--", diff}} {
		if err := git.Run(t.Context(), opts, args...); err != nil {
			t.Fatal(err)
		}
	}
	out, err := git.Output(t.Context(), opts, "status", "--porcelain", "--ignored")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\n"), "\n") {
		if line != "" && line[1] != ' ' {
			t.Errorf("the index is not the tree: %q", line)
		}
	}
	return dir
}

// sameTree fails unless the diff, applied to a fresh clone, gives what the steps left.
func sameTree(t *testing.T, s *source, w *Workspace, without ...string) *Diff {
	t.Helper()
	d, notes, err := w.Diff(t.Context(), 0)
	if err != nil {
		t.Fatal(err, notes)
	}
	want := tree(t, w.Root)
	for _, path := range without {
		delete(want, path)
	}
	if d == nil {
		t.Fatal("no diff")
	}
	got := tree(t, applied(t, s, w.Commit, d.Path))
	for path, v := range want {
		if got[path] != v {
			t.Errorf("%q: %s, want %s", path, got[path], v)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok {
			t.Errorf("%q is too much", path)
		}
	}
	return d
}

// do runs file operations in a tree and fails the test on the first error.
func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func put(w *Workspace, name, content string) error {
	path := filepath.Join(w.Root, name)
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644))
}

func TestDiffIsByteRight(t *testing.T) {
	s := newSource(t)
	s.write("plain.txt", "one\ntwo\nthree\nfour\nfive\nsix\n")
	s.write("move.txt", strings.Repeat("a line to be recognized\n", 40))
	s.write("crlf.txt", "a\r\nb\r\n")
	s.write("bin", "\x00\x01\x02\xff")
	s.write("empty", "")
	s.write("gone.txt", "x\n")
	s.write("dir/file", "x\n")
	s.write("tobelink", "x\n")
	s.write("mode.sh", "#!/bin/sh\n")
	s.write("no newline", "end")
	s.write("utf16.txt", "h\x00i\x00")
	s.write("lat\xe9in", "x")
	s.write(".gitattributes", "*.txt text eol=crlf\nutf16.txt working-tree-encoding=UTF-16LE\n*.sh ident filter=evil diff=evil\n* -diff\n")
	s.write(".gitignore", "*.log\nbuild/\n/only-root\n!keep.log\n")
	s.write("tracked.log", "x\n")
	do(t, os.Symlink("plain.txt", filepath.Join(s.path, "link")))
	w := prepare(t, options(t, newCache(t), s.path, s.commit()))
	at := func(name string) string { return filepath.Join(w.Root, name) }
	do(t,
		put(w, "plain.txt", "one\ntwo\nTHREE\nfour\nfive\nsix\n"),
		os.Rename(at("move.txt"), at("moved to \"here\"\n.txt")),
		put(w, "crlf.txt", "a\r\nB\r\n"),
		put(w, "bin", "\x00\x01\x03\xff$Id$"),
		put(w, "new empty", ""),
		os.Remove(at("gone.txt")),
		os.RemoveAll(at("dir")), put(w, "dir", "now a file"),
		os.Remove(at("tobelink")), os.Symlink("/etc/passwd", at("tobelink")),
		os.Chmod(at("mode.sh"), 0o755),
		put(w, "no newline", "end\nof"),
		put(w, "utf16.txt", "h\x00o\x00"),
		os.Remove(at("lat\xe9in")), put(w, "sub/\xff\xfe\t", "x"),
		os.Remove(at("link")), put(w, "link/now/a/folder", "x"),
		put(w, "tracked.log", "changed\n"), put(w, "new.log", "ignored"), put(w, "keep.log", "kept"), put(w, "build/x", "ignored"),
		put(w, "sub/only-root", "kept"), put(w, "only-root", "ignored"), put(w, ":(top)magic", "x"),
		put(w, "-dash", "x"), put(w, "new.txt", "a\r\nb\n"),
	)
	d := sameTree(t, s, w, "new.log", "build/x", "only-root")
	text, err := os.ReadFile(d.Path)
	do(t, err)
	if !strings.Contains(string(text), "rename from move.txt") || d.Files == 0 || d.Insertions == 0 {
		t.Errorf("%+v", d.Diff)
	}
	if strings.Contains(string(text), "GIT binary patch\nliteral 0") {
		t.Error("odd patch")
	}
}

// TestRandomChanges makes random trees and changes of them; each diff must give the tree again.
func TestRandomChanges(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		s := newSource(t)
		random := func(root string, n int) {
			names := []string{"a", "b", "c.txt", "d e", "ä", "\xf0", "x\ny"}
			for range n {
				name := names[rnd.IntN(len(names))]
				for range rnd.IntN(3) {
					name = filepath.Join(names[rnd.IntN(len(names))], name)
				}
				path := filepath.Join(root, name)
				switch rnd.IntN(6) {
				case 0:
					_ = os.RemoveAll(path)
				case 1:
					_ = os.RemoveAll(path)
					_ = os.Symlink(names[rnd.IntN(len(names))], path)
				case 2:
					_ = os.Chmod(path, 0o755)
				default:
					// A random change may be impossible in a random tree; what happened is what is compared.
					_ = os.MkdirAll(filepath.Dir(path), 0o755)
					if info, err := os.Lstat(path); err == nil && info.Mode()&os.ModeSymlink != 0 {
						_ = os.Remove(path)
					}
					content := make([]byte, rnd.IntN(300))
					for i := range content {
						content[i] = "ab\n\r\x00é"[rnd.IntN(7)]
					}
					_ = os.WriteFile(path, content, 0o644)
				}
			}
		}
		random(s.path, 30)
		s.write("always", "x")
		w := prepare(t, options(t, newCache(t), s.path, s.commit()))
		random(w.Root, 25)
		do(t, put(w, "always", "changed"))
		sameTree(t, s, w)
	}
}

func TestNoChangeNoDiff(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	opts := options(t, newCache(t), s.path, s.commit())
	opts.Files = []glovebox.File{{Path: "brought/along.sh", Content: "x", Executable: true}}
	w := prepare(t, opts)
	if d, notes, err := w.Diff(t.Context(), 0); d != nil || err != nil || len(notes) != 0 {
		t.Fatal(d, notes, err)
	}
	do(t, os.Chtimes(filepath.Join(w.Root, "a"), w.laid, w.laid)) // touched, not changed
	if d, _, err := w.Diff(t.Context(), 0); d != nil || err != nil {
		t.Fatal(d, err)
	}
	do(t, put(w, "brought/along.sh", "changed"))
	if d, _, err := w.Diff(t.Context(), 0); d == nil || d.Files != 1 || err != nil {
		t.Fatal(d, err)
	}
}

func TestSecretlyChangedFileIsSeen(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	w := prepare(t, options(t, newCache(t), s.path, s.commit()))
	path := filepath.Join(w.Root, "a")
	info, err := os.Stat(path)
	do(t, err, os.WriteFile(path, []byte("y"), 0o644), os.Chtimes(path, info.ModTime(), info.ModTime()))
	if d, _, err := w.Diff(t.Context(), 0); d == nil || err != nil {
		t.Fatal("a change of equal size with its time put back", err)
	}
}

func TestPoisonedTree(t *testing.T) {
	s := newSource(t)
	s.write("a", "x\n")
	s.write("sub/b", "x\n")
	w := prepare(t, options(t, newCache(t), s.path, s.commit()))
	mark := filepath.Join(t.TempDir(), "mark")
	evil := "[core]\n\tfsmonitor = touch " + mark + "\n\thooksPath = .\n[filter \"x\"]\n\tclean = touch " + mark + "\n[diff]\n\texternal = touch " + mark + "\n"
	at := func(name string) string { return filepath.Join(w.Root, name) }
	outside := filepath.Join(t.TempDir(), "secret")
	do(t, os.WriteFile(outside, []byte("TOPSECRET"), 0o600))
	do(t,
		os.WriteFile(at(".git/config"), []byte(evil), 0o644),
		put(w, "a", "changed\n"), put(w, ".gitattributes", "* filter=x diff=x\n"),
		put(w, "nested/.git/config", evil), put(w, "nested/.git/HEAD", "ref: refs/heads/x\n"), put(w, "nested/file", "in a nested repository\n"),
		put(w, "gitfile/.git", "gitdir: "+s.path+"/.git\n"),
		put(w, "case/.GIT/config", evil), put(w, "short/GIT~1/config", evil), put(w, "hfs/.g\u200cit/config", evil), put(w, "ntfs/.git . /config", evil),
		os.RemoveAll(at("sub")), os.Symlink(filepath.Dir(outside), at("sub")),
		os.Symlink(outside, at("stolen")),
		os.Symlink(outside, at("nested/.gitignore")),
		os.Symlink("x", at(".gitmodules.not")),
		unix.Mkfifo(at("pipe"), 0o644),
	)
	d, notes, err := w.Diff(t.Context(), 0)
	do(t, err)
	text, err := os.ReadFile(d.Path)
	do(t, err)
	if strings.Contains(string(text), "TOPSECRET") {
		t.Error("a link was followed out of the tree")
	}
	if strings.Contains(string(text), "fsmonitor") || strings.Contains(string(text), "Subproject") {
		t.Error("a git directory is in the diff")
	}
	if !strings.Contains(string(text), "in a nested repository") {
		t.Error("the files of the nested repository are missing")
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the tree ran a program")
	}
	if all := strings.Join(notes, "\n"); !strings.Contains(all, "pipe") || !strings.Contains(all, "nested/.git") {
		t.Errorf("remarks: %s", all)
	}
	applied(t, s, w.Commit, d.Path)
	outputs, notes, err := w.Outputs(t.Context(), []string{"**"}, OutputLimits{})
	do(t, err)
	for _, o := range outputs {
		if o.Name == "stolen" || o.Name == "pipe" || strings.HasPrefix(o.Name, "sub/") {
			t.Errorf("output %s", o.Name)
		}
	}
	if len(notes) == 0 {
		t.Error("no remarks on what was left out")
	}
}

func TestWorkspaceReplaced(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	for name, replace := range map[string]func(root string) error{
		"removed": os.RemoveAll,
		"link":    func(root string) error { return errors.Join(os.RemoveAll(root), os.Symlink("/etc", root)) },
		"folder":  func(root string) error { return errors.Join(os.Rename(root, root+"2"), os.Mkdir(root, 0o755)) },
	} {
		w := prepare(t, options(t, newCache(t), s.path, s.commit()))
		do(t, replace(w.Root))
		var fault *Fault
		if _, _, err := w.Diff(t.Context(), 0); !errors.As(err, &fault) {
			t.Errorf("%s: diff: %v", name, err)
		}
		if _, _, err := w.Outputs(t.Context(), []string{"**"}, OutputLimits{}); !errors.As(err, &fault) {
			t.Errorf("%s: outputs: %v", name, err)
		}
	}
}

func TestBounds(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	commit := s.commit()
	cache := newCache(t)
	var fault *Fault
	w := prepare(t, options(t, cache, s.path, commit))
	do(t, put(w, "big", strings.Repeat("line of text that does not repeat so much\n", 1000)))
	if _, _, err := w.Diff(t.Context(), 20_000); !errors.As(err, &fault) || !strings.Contains(fault.Reason, "diff is larger") {
		t.Errorf("%v", err)
	}
	do(t, os.Truncate(filepath.Join(w.Root, "big"), 10<<30))
	if _, _, err := w.Diff(t.Context(), 1<<20); !errors.As(err, &fault) {
		t.Errorf("sparse file of 10 GiB: %v", err)
	}
	do(t, os.Remove(filepath.Join(w.Root, "big")))
	deep := w.Root
	for range maxDepth + 10 {
		deep = filepath.Join(deep, "d")
	}
	do(t, os.MkdirAll(deep, 0o755))
	if _, notes, err := w.Diff(t.Context(), 0); err != nil || len(notes) != 1 {
		t.Errorf("deep tree: %v %v", notes, err)
	}
	for i := range 20 {
		do(t, put(w, fmt.Sprint("out/", i), "x"))
	}
	if _, _, err := w.Outputs(t.Context(), []string{"out/*"}, OutputLimits{Files: 10}); !errors.As(err, &fault) {
		t.Errorf("too many outputs: %v", err)
	}
	if got, notes, err := w.Outputs(t.Context(), []string{"./out/1*", "none/*"}, OutputLimits{}); err != nil || len(got) != 11 || len(notes) != 2 {
		t.Errorf("%d outputs, %v, %v", len(got), notes, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := w.Diff(ctx, 0); err == nil && len(fault.Reason) == 0 {
		t.Error("canceled, but no error")
	}
}

func TestSecondPreparationFetchesNothing(t *testing.T) {
	s := newSource(t)
	noise := make([]byte, 1<<20)
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	s.write("big", string(noise))
	first := s.commit()
	cache := newCache(t)
	if w := prepare(t, options(t, cache, s.path, first)); !w.Fetched {
		t.Error("the first preparation fetched nothing")
	}
	if w := prepare(t, options(t, cache, s.path, first)); w.Fetched {
		t.Error("the second preparation fetched")
	}
	s.write("small", "x")
	second := s.commit()
	w := prepare(t, options(t, cache, s.path, second))
	if _, err := os.Stat(filepath.Join(w.Root, "small")); err != nil || !w.Fetched {
		t.Error(err)
	}
	packs, err := filepath.Glob(filepath.Join(cache.opts.Dir, "*", "repo.git", "objects", "pack", "*.pack"))
	do(t, err)
	var sizes []int64
	for _, p := range packs {
		info, err := os.Stat(p)
		do(t, err)
		sizes = append(sizes, info.Size())
	}
	slices.Sort(sizes)
	if len(sizes) != 2 || sizes[0] > 10_000 {
		t.Errorf("packs of %v bytes: more than the change moved", sizes)
	}
}

func TestPruneKeepsWhatIsUsed(t *testing.T) {
	cache := newCache(t)
	cache.opts.MaxBytes = 1
	one, two := newSource(t), newSource(t)
	one.write("a", "x")
	two.write("a", "y")
	idle := prepare(t, options(t, cache, one.path, one.commit()))
	idleDir := idle.snapshot.dir
	do(t, idle.Close())
	used := prepare(t, options(t, cache, two.path, two.commit()))
	do(t, put(used, "a", "changed"))
	if _, err := os.Stat(idleDir); err == nil {
		t.Error("the unused snapshot was kept")
	}
	if d, _, err := used.Diff(t.Context(), 0); d == nil || err != nil {
		t.Error(d, err)
	}
	again := prepare(t, options(t, cache, one.path, one.git("rev-parse", "HEAD")))
	if !again.Fetched {
		t.Error("where from?")
	}
}

func TestConcurrentPreparations(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	commit, cache := s.commit(), newCache(t)
	errs := make(chan error, 6)
	for range cap(errs) {
		opts := options(t, cache, s.path, commit)
		go func() {
			w, err := Prepare(t.Context(), opts)
			if err == nil {
				err = w.Close()
			}
			errs <- err
		}()
	}
	for range cap(errs) {
		do(t, <-errs)
	}
}

func TestDamagedSnapshotIsMadeAgain(t *testing.T) {
	s := newSource(t)
	s.write("a", "content")
	commit, cache := s.commit(), newCache(t)
	w := prepare(t, options(t, cache, s.path, commit))
	data := filepath.Join(w.snapshot.dir, "data")
	do(t, w.Close(), os.Truncate(data, 3))
	w = prepare(t, options(t, cache, s.path, commit))
	if got, err := os.ReadFile(filepath.Join(w.Root, "a")); string(got) != "content" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestStepsCannotReachTheCache(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	commit, cache := s.commit(), newCache(t)
	w := prepare(t, options(t, cache, s.path, commit))
	err := filepath.WalkDir(w.Root, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		if st.Nlink != 1 {
			t.Errorf("%s has %d links", path, st.Nlink)
		}
		return nil
	})
	do(t, err)
	if _, err := os.Stat(filepath.Join(w.Root, ".git/objects/info/alternates")); err == nil {
		t.Error("the steps' git borrows objects")
	}
}

func TestFilesStayBeneathTheRoot(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	outside := t.TempDir()
	do(t, os.Symlink(outside, filepath.Join(s.path, "out")), os.Symlink(filepath.Join(outside, "f"), filepath.Join(s.path, "file")))
	commit, cache := s.commit(), newCache(t)
	for _, path := range []string{"../x", "/x", "out/x", ".git/config", "a/../../x", ".GIT/x", ""} {
		opts := options(t, cache, s.path, commit)
		opts.Files = []glovebox.File{{Path: path, Content: "x"}}
		if w, err := Prepare(t.Context(), opts); err == nil {
			t.Errorf("%q was written", path)
			do(t, w.Close())
		}
	}
	opts := options(t, cache, s.path, commit)
	opts.Files = []glovebox.File{{Path: "file", Base64: "aGk="}}
	prepare(t, opts)
	if left, _ := os.ReadDir(outside); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
}

func TestForgedTreesAreRefused(t *testing.T) {
	for _, path := range []string{"../x", "a//b", "/abs", ".git/config", "a/.GIT/config", "./a", "a/..", ""} {
		line := "100644 blob 0123456789012345678901234567890123456789       1\t" + path + "\x00"
		if _, err := parseEntries([]byte(line)); err == nil {
			t.Errorf("%q was taken", path)
		}
	}
}

func FuzzParseEntries(f *testing.F) {
	f.Add([]byte("100644 blob 0123456789012345678901234567890123456789       1\ta\x00160000 commit 01 -\tsub\x00"))
	f.Fuzz(func(t *testing.T, list []byte) {
		entries, err := parseEntries(list)
		if err != nil {
			return
		}
		for _, e := range entries {
			if !filepath.IsLocal(e.path) || git.IsDotGit(strings.Split(e.path, "/")[0]) || e.size < 0 {
				t.Fatalf("%+v", e)
			}
		}
	})
}
