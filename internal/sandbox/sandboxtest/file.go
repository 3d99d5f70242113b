package sandboxtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// fileTests are files that one step sees.
func (s *suite) fileTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"Shown":            s.filesShown,
		"ReadOnly":         s.filesReadOnly,
		"BeneathBinds":     s.filesBeneathBinds,
		"Faults":           s.fileFaults,
		"HostileImage":     s.filesHostileImage,
		"HostileWorkspace": s.filesHostileWorkspace,
		"FolderMoved":      s.filesFolderMoved,
		"Many":             s.filesMany,
	}
}

// mark is in every file that is shown: it must be nowhere afterwards.
const mark = "shown for one step"

func shown(path string) sandbox.File { return sandbox.File{Path: path, Data: []byte(mark)} }

func (b *box) stepWith(files []sandbox.File, args ...string) sandbox.Step {
	step := b.step(args...)
	step.Files = files
	return step
}

// snapshot describes every name in a tree.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := ""
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(b[:min(len(b), 100)])
		case info.Mode()&fs.ModeSymlink != 0:
			text, _ = os.Readlink(path)
		}
		fmt.Fprintf(&out, "%s %v %q\n", strings.TrimPrefix(path, dir), info.Mode(), text)
		return nil
	}))
	return out.String()
}

// wantUnchanged fails for a workspace that is not as it was, and for bytes of the shown files anywhere else.
func (b *box) wantUnchanged(before string) {
	b.t.Helper()
	must(b.t, b.Sync(b.t.Context()))
	if after := snapshot(b.t, b.spec.Workspace); after != before {
		b.t.Errorf("the workspace was\n%s\nand is\n%s", before, after)
	}
	for _, dir := range []string{b.disk.Dir, b.spec.State} {
		for line := range strings.Lines(snapshot(b.t, dir)) {
			if strings.Contains(line, mark) {
				b.t.Errorf("left behind in %s: %s", dir, line)
			}
		}
	}
}

func (s *suite) filesShown(t *testing.T) {
	b := s.open(t)
	must(t, os.Mkdir(filepath.Join(b.spec.Workspace, "dir"), 0o755))
	must(t, os.WriteFile(filepath.Join(b.spec.Workspace, "dir", "there"), []byte("before"), 0o600))
	host := filepath.Join(t.TempDir(), "source")
	must(t, os.WriteFile(host, []byte(mark), 0o600))
	before := snapshot(t, b.spec.Workspace)
	paths := []string{"/opt/new/deep/file", "/etc/passwd", "/etc/hosts", "/top", "/newtop/sub/file", "/tmp/file", "/tmp/sub/file", "/work/file", "/work/new/sub/file", "/work/dir/there", "/work/dir/other"}
	files := []sandbox.File{{Path: "/usr/bin/host-file", Source: host}}
	for _, p := range paths {
		files = append(files, shown(p))
	}
	paths = append(paths, "/usr/bin/host-file")
	for _, user := range [][]string{nil, {"as1000"}} { // a file of mode 0600 is root's alone
		o := b.do(b.stepWith(files, append(append(user, "read"), paths...)...))
		for _, p := range paths {
			if !strings.Contains(o.stdout, p+` "`+mark+`"`) {
				t.Errorf("%s is not shown: exit %d\n%s%s", p, o.Code, o.stdout, o.stderr)
			}
		}
		b.wantUnchanged(before)
	}
	o := b.run(0, append([]string{"read"}, paths...)...)
	if strings.Contains(o.stdout, mark) || !strings.Contains(o.stdout, `"before"`) {
		t.Errorf("a later step sees\n%s", o.stdout)
	}
	b.wantUnchanged(before)
}

func (s *suite) filesReadOnly(t *testing.T) {
	b := s.open(t)
	before := snapshot(t, b.spec.Workspace)
	tool := sandbox.File{Path: "/opt/bin/tool", Data: []byte("#!/bin/testprog cat\n" + mark), Executable: true}
	files := []sandbox.File{shown("/opt/file"), shown("/work/file"), tool}
	for _, f := range files {
		o := b.do(b.stepWith(files, "write", f.Path, "changed"))
		if o.Code != 3 || !strings.Contains(o.stderr, "read-only") {
			t.Errorf("writing to %s: exit %d, %s", f.Path, o.Code, o.stderr)
		}
		want := "-r--r--r--"
		if f.Executable {
			want = "-r-xr-xr-x"
		}
		if o := b.do(b.stepWith(files, "stat", f.Path)); !strings.HasPrefix(o.stdout, want) {
			t.Errorf("%s has mode %s, want %s", f.Path, o.stdout, want)
		}
	}
	step := b.stepWith(files)
	step.Argv = []string{"/opt/bin/tool"}
	if o := b.do(step); o.Code != 0 || !strings.Contains(o.stdout, mark) {
		t.Errorf("running a shown script: %+v", o)
	}
	b.wantUnchanged(before)
}

// filesBeneathBinds: what a read-only folder of the image holds can be covered; nothing is made in it.
func (s *suite) filesBeneathBinds(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "tool"), []byte("bound"), 0o644))
	b := s.open(t, bind(dir, "/opt/tools"))
	before := snapshot(t, dir)
	if o := b.do(b.stepWith([]sandbox.File{shown("/opt/tools/tool")}, "cat", "/opt/tools/tool")); o.stdout != mark {
		t.Errorf("a covered file: %+v", o)
	}
	b.says("bound", "cat", "/opt/tools/tool")
	for _, p := range []string{"/opt/tools/new", "/opt/tools/sub/new"} {
		if o := b.do(b.stepWith([]sandbox.File{shown(p)}, "cat", p)); o.Code != sandbox.ExitFault || !strings.Contains(o.stderr, "read-only") {
			t.Errorf("a new file beneath a bind: %+v", o)
		}
	}
	if after := snapshot(t, dir); after != before {
		t.Errorf("the host's folder was\n%s\nand is\n%s", before, after)
	}
}

func (s *suite) fileFaults(t *testing.T) {
	b := s.open(t)
	must(t, unix.Mkfifo(filepath.Join(b.spec.Workspace, "pipe"), 0o644))
	before := snapshot(t, b.spec.Workspace)
	for name, paths := range map[string][]string{
		"relative": {"work/x"}, "unclean": {"/opt/../x"}, "root": {"/"}, "control": {"/opt/a\nb"}, "long": {"/" + strings.Repeat("a", 300)},
		"kernel": {"/proc/x"}, "device": {"/dev/null"}, "sys": {"/sys/x/y"}, "folder": {"/opt"}, "workspace": {"/work"},
		"beneath a file": {"/etc/passwd/x"}, "twice": {"/work/x", "/work/x"}, "deep": {"/work" + strings.Repeat("/d", 200)},
		"pipe": {"/work/pipe"}, "in each other": {"/work/y", "/work/y/z"},
	} {
		var files []sandbox.File
		for _, p := range append([]string{"/work/good/one"}, paths...) { // is taken away again
			files = append(files, shown(p))
		}
		if o := b.do(b.stepWith(files, "exit", "0")); o.Code != sandbox.ExitFault || !strings.Contains(o.stderr, "glovebox: can't show") {
			t.Errorf("%s: exit %d, %q", name, o.Code, o.stderr)
		}
		b.wantUnchanged(before)
	}
	b.run(0, "exit", "0")
}

// filesHostileImage: links of the image lead to places in the step's root, never out of it.
func (s *suite) filesHostileImage(t *testing.T) {
	outside := t.TempDir()
	up := strings.Repeat("../", 40) + outside[1:]
	image := func(links map[string]string) string {
		root := t.TempDir()
		must(t, os.Chmod(root, 0o755))
		for _, dir := range []string{"bin", "etc", "tmp", "opt"} {
			must(t, os.Mkdir(filepath.Join(root, dir), 0o755))
		}
		must(t, os.Link(filepath.Join(s.rootfs, "bin/testprog"), filepath.Join(root, "bin/testprog")))
		for name, to := range links {
			must(t, os.RemoveAll(filepath.Join(root, name)))
			must(t, os.Symlink(to, filepath.Join(root, name)))
		}
		return root
	}
	b := s.open(t, rootfs(image(map[string]string{"abs": outside, "opt/rel": up, "opt/file": up + "/file", "loop": "loop", "self": "/proc/self", "lnk": "opt"})))
	for _, p := range []string{"/abs/x", "/abs/sub/x", "/opt/rel/x", "/opt/file", "/lnk/x"} {
		if o := b.do(b.stepWith([]sandbox.File{shown(p)}, "cat", p)); o.stdout != mark {
			t.Errorf("%s: exit %d, %s", p, o.Code, o.stderr)
		}
	}
	for _, p := range []string{"/loop/x", "/self/root/x", "/self/cwd/x"} {
		if o := b.do(b.stepWith([]sandbox.File{shown(p)}, "cat", p)); o.Code != sandbox.ExitFault {
			t.Errorf("%s: exit %d, %s", p, o.Code, o.stderr)
		}
	}
	etc := s.open(t, rootfs(image(map[string]string{"etc": up, "tmp": outside})))
	for _, p := range []string{"/etc/x", "/tmp/x"} { // whether that step can run or not
		_, _ = etc.Run(t.Context(), etc.stepWith([]sandbox.File{shown(p)}, "cat", p), new(bytes.Buffer), new(bytes.Buffer))
	}
	if left := snapshot(t, outside); left != "" {
		t.Errorf("made outside of the step's root:\n%s", left)
	}
}

// filesHostileWorkspace: links that a step left in the workspace are the next step's way, not the host's.
func (s *suite) filesHostileWorkspace(t *testing.T) {
	outside := t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "file"), []byte(canary), 0o666))
	host := snapshot(t, outside)
	b := s.open(t)
	for name, to := range map[string]string{
		"dir": outside, "file": filepath.Join(outside, "file"), "new": filepath.Join(outside, "new"),
		"up": strings.Repeat("../", 40) + outside[1:], "etc": "/etc", "state": b.spec.State, "loop": "/work/loop",
	} {
		b.run(0, "link", to, "/work/"+name)
	}
	before := snapshot(t, b.spec.Workspace)
	for _, p := range []string{"/work/dir/x", "/work/dir/file", "/work/file", "/work/new", "/work/up/x", "/work/etc/passwd", "/work/state/x"} {
		if o := b.do(b.stepWith([]sandbox.File{shown(p)}, "cat", p)); o.stdout != mark {
			t.Errorf("%s: exit %d, %q, %s", p, o.Code, o.stdout, o.stderr)
		}
		b.wantUnchanged(before)
	}
	if o := b.do(b.stepWith([]sandbox.File{shown("/work/loop/x")}, "exit", "0")); o.Code != sandbox.ExitFault {
		t.Errorf("a loop: exit %d", o.Code)
	}
	if after := snapshot(t, outside); after != host {
		t.Errorf("the host's folder was\n%s\nand is\n%s", host, after)
	}
}

// filesFolderMoved: mount points are taken away wherever the step moved them; what it wrote beside them stays.
func (s *suite) filesFolderMoved(t *testing.T) {
	b := s.open(t)
	files := []sandbox.File{shown("/work/new/sub/file")}
	b.do(b.stepWith(files, "rename", "/work/new", "/work/moved"))
	must(t, b.Sync(t.Context()))
	if left := snapshot(t, b.spec.Workspace); strings.Contains(left, "file") {
		t.Errorf("left behind: %s", left)
	}
	if o := b.do(b.stepWith(files, "write", "/work/new/sub/mine", "text")); o.Code != 0 {
		t.Errorf("writing beside a file: %+v", o)
	}
	b.says("text", "cat", "/work/new/sub/mine")
	if left := snapshot(t, b.spec.Workspace); strings.Contains(left, "file") {
		t.Errorf("left behind: %s", left)
	}
	for _, args := range [][]string{{"rename", "/work/new/sub/file", "/work/stolen"}, {"write", "/work/new/sub/file", "x"}} {
		if o := b.do(b.stepWith(files, args...)); o.Code == 0 {
			t.Errorf("%v: done", args)
		}
	}
	b.run(3, "cat", "/work/new/sub/file")
}

func (s *suite) filesMany(t *testing.T) {
	b := s.open(t)
	before := snapshot(t, b.spec.Workspace)
	var files []sandbox.File
	var paths []string
	for i := range sandbox.MaxFiles {
		p := fmt.Sprintf("/work/many/%d", i)
		files, paths = append(files, shown(p)), append(paths, p)
	}
	if o := b.do(b.stepWith(files, append([]string{"read"}, paths...)...)); strings.Count(o.stdout, mark) != len(paths) {
		t.Errorf("%d files of %d, exit %d, %.500s", strings.Count(o.stdout, mark), len(paths), o.Code, o.stderr)
	}
	if o := b.do(b.stepWith(append(files, shown("/work/more")), "exit", "0")); o.Code != sandbox.ExitFault {
		t.Errorf("one more: exit %d", o.Code)
	}
	b.wantUnchanged(before)
}
