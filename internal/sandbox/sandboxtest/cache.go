package sandboxtest

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// cacheTests are folders that sandboxes share.
func (s *suite) cacheTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"Kept":       s.cacheKept,
		"Together":   s.cacheTogether,
		"Full":       s.cacheFull,
		"Programs":   s.cachePrograms,
		"Links":      s.cacheLinks,
		"NoFiles":    s.cacheNoFiles,
		"Refused":    s.cacheRefused,
		"SeveralOne": s.cacheSeveral,
	}
}

// cacheFolder makes a bounded folder to share.
func cacheFolder(t *testing.T, size int64) string {
	t.Helper()
	d, err := disk.Create(t.Context(), filepath.Join(t.TempDir(), "cache"), size, disk.Options{})
	must(t, err)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d.Work()
}

// cacheKept: what one sandbox wrote, its later steps and the next sandbox read.
func (s *suite) cacheKept(t *testing.T) {
	folder := cacheFolder(t, disk.Min)
	first := s.open(t, cache(folder, "/root/.cache/tool"))
	first.run(0, "write", "/root/.cache/tool/x", "kept")
	first.says("kept", "cat", "/root/.cache/tool/x")
	must(t, first.Close(t.Context()))
	second := s.open(t, cache(folder, "/opt/elsewhere"))
	second.says("kept", "cat", "/opt/elsewhere/x")
	if left := snapshot(t, second.spec.Workspace); left != "" {
		t.Errorf("in the workspace: %s", left)
	}
	s.open(t).run(3, "cat", "/root/.cache/tool/x")
}

// cacheTogether: two sandboxes see each other's changes at once.
func (s *suite) cacheTogether(t *testing.T) {
	folder := cacheFolder(t, disk.Min)
	a, b := s.open(t, cache(folder, "/cache")), s.open(t, cache(folder, "/cache"))
	a.run(0, "write", "/cache/x", "by a")
	b.says("by a", "cat", "/cache/x")
	for i, text := range []string{"changed by b", "and again", "a longer text than before"} {
		b.run(0, "write", "/cache/x", text)
		a.says(text, "cat", "/cache/x")
		a.run(0, "write", "/cache/n"+itoa(i), text)
		b.says(text, "cat", "/cache/n"+itoa(i))
	}
	b.run(0, "rename", "/cache/x", "/cache/y")
	a.run(3, "cat", "/cache/x")
	a.says("a longer text than before", "cat", "/cache/y")
	s.cacheWatched(t, a, b)
}

// cacheWatched: a step sees what a running step of another sandbox does meanwhile.
func (s *suite) cacheWatched(t *testing.T, a, b *box) {
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := a.Run(ctx, a.step("beat", "/cache/beats"), io.Discard, io.Discard)
		ended <- err
	}()
	seen := false
	for end := time.Now().Add(patience); !seen && time.Now().Before(end); {
		seen = strings.TrimSpace(b.do(b.step("growing", "/cache/beats")).stdout) == "true"
	}
	if !seen {
		t.Error("a file that another sandbox appends to does not grow")
	}
	cancel(glovebox.ErrCanceled)
	if err := <-ended; !errors.Is(err, glovebox.ErrCanceled) {
		t.Errorf("the step that was ended: %v", err)
	}
}

// cacheFull: a full cache is nobody's trouble but its users'.
func (s *suite) cacheFull(t *testing.T) {
	folder := cacheFolder(t, 8<<20)
	b := s.open(t, cache(folder, "/cache"))
	b.run(28, "fill", "/cache/big", itoa(64<<20))
	b.run(0, "fill", "/work/some", itoa(4<<20))
	if full, err := b.disk.Full(); full || err != nil {
		t.Errorf("the job's own disk is full: %v, %v", full, err)
	}
	other := s.open(t, cache(cacheFolder(t, 8<<20), "/cache"))
	other.run(0, "fill", "/cache/some", itoa(2<<20))
}

// cachePrograms: what lies in a cache can be executed, with no more rights than its caller has.
func (s *suite) cachePrograms(t *testing.T) {
	b := s.open(t, cache(cacheFolder(t, 32<<20), "/cache"))
	b.run(0, "copyself", "/cache/suid", "4755")
	b.run(0, "write", "/cache/script", "#!/bin/testprog cat\nin the script")
	b.run(0, "chmod", "/cache/script", "755")
	step := b.step()
	step.Argv = []string{"/cache/script"}
	if o := b.do(step); o.Code != 0 || !strings.Contains(o.stdout, "in the script") {
		t.Errorf("a script in the cache: %+v", o)
	}
	if o := b.run(0, "suid", "/cache/suid"); strings.TrimSpace(o.stdout) != "1000 1000" {
		t.Errorf("a set-user-id program in the cache runs as (real, effective) %s", o.stdout)
	}
	var root unix.Stat_t
	must(t, unix.Stat("/", &root))
	if o := b.do(b.step("mknod", "/cache/dev", itoa(int(unix.Major(root.Dev))), itoa(int(unix.Minor(root.Dev))))); strings.Contains(o.stdout, "opened") {
		t.Error("a step opened a device in the cache")
	}
}

// cacheLinks: neither the image's links nor those in a cache lead to the host.
func (s *suite) cacheLinks(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "secret"), []byte(canary), 0o644))
	root := t.TempDir()
	must(t, os.Chmod(root, 0o755))
	for _, dir := range []string{"bin", "etc", "tmp"} {
		must(t, os.Mkdir(filepath.Join(root, dir), 0o755))
	}
	must(t, os.Link(filepath.Join(s.rootfs, "bin/testprog"), filepath.Join(root, "bin/testprog")))
	must(t, os.Symlink(outside, filepath.Join(root, "evil")))
	must(t, os.Symlink("/work/sub", filepath.Join(root, "inwork")))
	b := s.open(t, rootfs(root), cache(cacheFolder(t, disk.Min), "/evil/cache"))
	b.run(0, "write", "/evil/cache/x", "text")
	b.run(0, "link", filepath.Join(outside, "secret"), "/evil/cache/link")
	b.run(3, "cat", "/evil/cache/link")
	b.says("text", "cat", "/evil/cache/x")
	in := s.open(t, rootfs(root), cache(cacheFolder(t, disk.Min), "/inwork/cache"))
	if o := in.do(in.step("exit", "0")); o.Code != sandbox.ExitFault || snapshot(t, in.spec.Workspace) != "" {
		t.Errorf("a cache that leads into the workspace: %+v", o)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

// cacheNoFiles: a step's file is never made in a cache, where others would find it.
func (s *suite) cacheNoFiles(t *testing.T) {
	folder := cacheFolder(t, disk.Min)
	b := s.open(t, cache(folder, "/cache"))
	b.run(0, "write", "/cache/there", "text")
	if o := b.do(b.stepWith([]sandbox.File{shown("/cache/new")}, "exit", "0")); o.Code != sandbox.ExitFault {
		t.Errorf("a new file in a cache: exit %d", o.Code)
	}
	if o := b.do(b.stepWith([]sandbox.File{shown("/cache/there")}, "cat", "/cache/there")); o.stdout != mark {
		t.Errorf("a covered file in a cache: %+v", o)
	}
	if got := snapshot(t, folder); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"text"`) {
		t.Errorf("the cache holds %s", got)
	}
}

// cacheRefused: places where no cache can be are refused before anything runs.
func (s *suite) cacheRefused(t *testing.T) {
	folder := t.TempDir()
	for _, paths := range [][]string{{"relative"}, {"/"}, {"/work"}, {"/work/x"}, {"/proc"}, {"/dev/x"}, {"/sys"}, {"/etc"}, {"/a/../b"}, {"/a\x00"}, {"/a", "/a"}, {"/a", "/a/b"}} {
		b := s.prepare(t)
		for _, p := range paths {
			b.spec.Caches = append(b.spec.Caches, sandbox.Cache{Source: folder, Path: p})
		}
		if sb, err := s.Runtime.Create(t.Context(), b.spec); !errors.Is(err, glovebox.ErrUnsupported) {
			t.Errorf("%q: %v", paths, err)
			if err == nil {
				must(t, sb.Close(t.Context()))
			}
		}
	}
}

// cacheSeveral: several folders in one sandbox, and one folder at two places.
func (s *suite) cacheSeveral(t *testing.T) {
	one, two := cacheFolder(t, disk.Min), cacheFolder(t, disk.Min)
	b := s.open(t, cache(one, "/tmp/one"), cache(two, "/opt/two"), cache(one, "/again"))
	b.run(0, "write", "/tmp/one/x", "1")
	b.run(0, "write", "/opt/two/x", "2")
	b.says("1", "cat", "/again/x")
	b.says("2", "cat", "/opt/two/x")
}
