package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestKeptWorkspaceIsHarmless: what a step left set-user-ID, in a folder that all may write, is neither on the host.
func TestKeptWorkspaceIsHarmless(t *testing.T) {
	disk := folder(t.TempDir())
	if err := os.MkdirAll(filepath.Join(disk.Work(), "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	planted := filepath.Join(disk.Work(), "sub", "shell")
	outside := filepath.Join(t.TempDir(), "outside")
	for _, path := range []string{planted, outside} {
		if err := os.WriteFile(path, []byte("x"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755|fs.ModeSetuid|fs.ModeSetgid); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(disk.Work(), "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(disk.Work(), 0o777); err != nil {
		t.Fatal(err)
	}
	kept := t.TempDir()
	if err := (keptDisk{disk, kept}).Close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{
		kept: 0o700 | fs.ModeDir, filepath.Join(kept, "sub", "shell"): 0o755, outside: 0o755 | fs.ModeSetuid | fs.ModeSetgid,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", path, info.Mode(), err, want)
		}
	}
	if target, err := os.Readlink(filepath.Join(kept, "link")); err != nil || target != outside {
		t.Errorf("link: %q, %v", target, err)
	}
}
