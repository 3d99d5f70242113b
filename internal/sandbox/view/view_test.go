package view

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// host is a folder with a step's root, workspace, a bind and something outside of all.
type host struct {
	dir    string
	mounts []Mount
}

func newHost(t testing.TB) host {
	t.Helper()
	h := host{dir: t.TempDir()}
	for _, d := range []string{"root/etc", "root/bin", "work/dir", "tools/sub", "tmp", "cache/there", "outside"} {
		must(t, os.MkdirAll(filepath.Join(h.dir, d), 0o755))
	}
	for _, f := range []string{"root/etc/passwd", "work/dir/file", "tools/tool", "outside/secret"} {
		must(t, os.WriteFile(filepath.Join(h.dir, f), []byte(f), 0o600))
	}
	at := func(name string) string { return filepath.Join(h.dir, name) }
	h.mounts = []Mount{{"/", at("root"), Layer}, {"/tmp", at("tmp"), Layer}, {"/proc", "", Reserved}, {"/opt/tools", at("tools"), ReadOnly}, {"/work", at("work"), Workspace}}
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h host) link(t testing.TB, to, name string) {
	t.Helper()
	must(t, os.Symlink(to, filepath.Join(h.dir, name)))
}

// names lists a folder and all beneath it.
func (h host) names(t testing.TB, dirs ...string) []string {
	t.Helper()
	var list []string
	for _, dir := range dirs {
		must(t, filepath.WalkDir(filepath.Join(h.dir, dir), func(path string, _ fs.DirEntry, err error) error {
			list = append(list, path)
			return err
		}))
	}
	return list
}

func (h host) place(paths ...string) (*Placed, error) {
	var files []sandbox.File
	for _, p := range paths {
		files = append(files, sandbox.File{Path: p, Data: []byte(p)})
	}
	return Place(h.mounts, filepath.Join(h.dir, "private"), []sandbox.Cache{{Source: filepath.Join(h.dir, "cache"), Path: "/cache"}}, files)
}

func TestPlace(t *testing.T) {
	for _, c := range []struct{ path, target, fault string }{
		{path: "/etc/passwd", target: "/etc/passwd"},
		{path: "/new/dir/x", target: "/new/dir/x"},
		{path: "/tmp/a/x", target: "/tmp/a/x"},
		{path: "/work/dir/file", target: "/work/dir/file"},
		{path: "/work/a/b/x", target: "/work/a/b/x"},
		{path: "/lib/x", target: "/usr/lib/x"},
		{path: "/out/x", target: "/outside-name/x"},
		{path: "/work/up/x", target: "/etc/x"},
		{path: "/work/tolib/x", target: "/usr/lib/x"},
		{path: "/opt/tools/tool", target: "/opt/tools/tool"},
		{path: "/opt/x", target: "/opt/x"},
		{path: "/opt/tools/new", fault: "read-only"},
		{path: "/opt/tools/sub/new", fault: "read-only"},
		{path: "/work/totools/new", fault: "read-only"},
		{path: "/cache/x", fault: "cache folder"},
		{path: "/cache", fault: "already"},
		{path: "/proc/1/x", fault: "not the image's"},
		{path: "/work/proc/x", fault: "not the image's"},
		{path: "/etc/passwd/x", fault: "not a folder"},
		{path: "/work", fault: "folder"},
		{path: "/loop/x", fault: "too many"},
		{path: "/dangling/x", fault: "does not exist"},
		{path: "x", fault: "absolute"},
		{path: "/work/../x", fault: "without"},
		{path: "/work" + strings.Repeat("/d", 100), fault: "too many"},
	} {
		t.Run(strings.ReplaceAll(c.path[:min(len(c.path), 30)], "/", "_"), func(t *testing.T) {
			h := newHost(t)
			for name, to := range map[string]string{"root/lib": "usr/lib", "root/out": "/outside-name", "root/loop": "loop", "root/dangling": "no/../../such",
				"work/up": "../../../../etc", "work/tolib": "/lib", "work/totools": "/opt/tools", "work/proc": "/proc"} {
				h.link(t, to, name)
			}
			kept := []string{"work", "tools", "outside", "cache"}
			before := h.names(t, kept...)
			p, err := h.place(c.path)
			var fault *Fault
			switch {
			case c.fault != "":
				if !errors.As(err, &fault) || !strings.Contains(fault.Reason, c.fault) || fault.Path != c.path {
					t.Errorf("got %v, want a fault with %q", err, c.fault)
				}
			case err != nil:
				t.Fatal(err)
			default:
				b := p.Binds[1]
				got, err := os.ReadFile(b.Source)
				if b.Target != c.target || !b.ReadOnly || string(got) != c.path || err != nil {
					t.Errorf("got %+v with %q (%v), want %s", b, got, err, c.target)
				}
				if info, err := os.Stat(b.Source); err != nil || info.Mode() != 0o444 {
					t.Errorf("mode %v, %v", info.Mode(), err)
				}
				m, rel := p.tree.covering(b.Target)
				if _, err := os.Lstat(filepath.Join(m.Source, rel)); err != nil {
					t.Errorf("no mount point: %v", err)
				}
			}
			for range 2 {
				must(t, p.Remove())
			}
			if after := h.names(t, kept...); !slices.Equal(before, after) {
				t.Errorf("was %q, is %q", before, after)
			}
			if _, err := os.Lstat(filepath.Join(h.dir, "private")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the files' bytes are left: %v", err)
			}
		})
	}
}

// TestRemoveTakesOursOnly: what the step put at or beside a mount point meanwhile stays.
func TestRemoveTakesOursOnly(t *testing.T) {
	h := newHost(t)
	p, err := h.place("/work/a/b/x", "/work/a/y", "/work/c/z")
	must(t, err)
	work := filepath.Join(h.dir, "work")
	must(t, os.WriteFile(filepath.Join(work, "a/b/mine"), nil, 0o644))
	must(t, os.Rename(filepath.Join(work, "c"), filepath.Join(work, "moved")))
	must(t, os.Rename(filepath.Join(work, "a/y"), filepath.Join(h.dir, "stolen"))) // no step can
	must(t, os.Symlink(filepath.Join(h.dir, "outside/secret"), filepath.Join(work, "a/y")))
	must(t, p.Remove())
	var got []string
	for _, n := range h.names(t, "work") {
		got = append(got, strings.TrimPrefix(n, work))
	}
	if want := []string{"", "/a", "/a/b", "/a/b/mine", "/a/y", "/dir", "/dir/file", "/moved"}; !slices.Equal(got, want) {
		t.Errorf("left is %q, want %q", got, want)
	}
}

func TestMissingSourceIsOurFault(t *testing.T) {
	h := newHost(t)
	_, err := Place(h.mounts, filepath.Join(h.dir, "private"), nil, []sandbox.File{{Path: "/x", Source: filepath.Join(h.dir, "absent")}})
	var fault *Fault
	if err == nil || errors.As(err, &fault) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Lstat(filepath.Join(h.dir, "private")); err == nil {
		t.Error("left behind")
	}
}

// FuzzPlace plays a hostile image and workspace: nothing is made outside of them, and the workspace is
// afterwards what it was.
func FuzzPlace(f *testing.F) {
	f.Add("/work/a/b", "a", "../../outside", "b", "/work/a")
	f.Add("/x/y", "x", "/x", "x", "../work")
	f.Add("/opt/tools/new", "opt", "..", "tools", "/opt/tools/../../outside")
	f.Fuzz(func(t *testing.T, path, name1, to1, name2, to2 string) {
		h := newHost(t)
		for i, dir := range []string{"root", "work"} {
			name, to := []string{name1, name2}[i], []string{to1, to2}[i]
			if filepath.IsLocal(name) && !strings.Contains(name, "/") {
				_ = os.Symlink(to, filepath.Join(h.dir, dir, name)) // a name or a target may be impossible
			}
		}
		kept := []string{"work", "tools", "outside", "cache"}
		before, others := h.names(t, kept...), h.names(t, kept[1:]...)
		p, _ := h.place(path) // whether it can be shown or not
		if after := h.names(t, kept[1:]...); !slices.Equal(others, after) {
			t.Errorf("made outside: %q", after)
		}
		must(t, p.Remove())
		if after := h.names(t, kept...); !slices.Equal(before, after) {
			t.Errorf("was %q, is %q", before, after)
		}
		top, err := os.ReadDir(h.dir)
		if err != nil || len(top) != 6 {
			t.Errorf("made beside: %v, %v", top, err)
		}
	})
}
