package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// needs skips where a disk can't be made at all: no root, no loop devices, no mkfs.ext4.
func needs(t *testing.T) {
	t.Helper()
	testenv.Root(t)
	_, device := os.Stat("/dev/loop-control")
	_, tool := findMkfs()
	if err := errors.Join(device, tool); err != nil {
		if testenv.Required(testenv.NameRoot) {
			t.Fatal(err)
		}
		t.Skipf("needs loop devices and mkfs.ext4: %v", err)
	}
}

func create(t *testing.T, size int64, o Options) *Disk {
	t.Helper()
	needs(t)
	d, err := Create(t.Context(), filepath.Join(t.TempDir(), "d"), size, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func TestFillingEndsInNoSpace(t *testing.T) {
	d := create(t, 16<<20, Options{})
	if full, err := d.Full(); full || err != nil {
		t.Fatalf("Full of an empty disk: %v, %v", full, err)
	}
	err := os.WriteFile(filepath.Join(d.Work(), "big"), make([]byte, 32<<20), 0o600)
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("writing 32 MiB onto a disk of 16: %v", err)
	}
	if full, err := d.Full(); !full || err != nil {
		t.Fatalf("Full of a full disk: %v, %v", full, err)
	}
}

func TestFilesAreBounded(t *testing.T) {
	d := create(t, 16<<20, Options{Inodes: 256})
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = os.WriteFile(filepath.Join(d.Scratch(), fmt.Sprint(i)), nil, 0o600)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("1000 files on a disk of 256: %v", err)
	}
	if full, err := d.Full(); !full || err != nil {
		t.Fatalf("Full: %v, %v", full, err)
	}
}

func TestMountIsHarmless(t *testing.T) {
	d := create(t, Min, Options{})
	var st unix.Statfs_t
	if err := unix.Statfs(d.Dir, &st); err != nil {
		t.Fatal(err)
	}
	for _, flag := range []int64{unix.ST_NOSUID, unix.ST_NODEV, unix.ST_NOATIME} {
		if st.Flags&flag == 0 {
			t.Errorf("mount flags %x lack %x", st.Flags, flag)
		}
	}
	entries, err := os.ReadDir(d.Dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("a new disk holds %v, %v", entries, err)
	}
}

func TestCloseTwiceLeavesNothing(t *testing.T) {
	d := create(t, Min, Options{})
	open, err := os.Create(filepath.Join(d.Work(), "held")) // a busy disk goes, too
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	for range 2 {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	open.Close()
	if _, err := os.Lstat(d.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	wantNoTrace(t, d.path)
}

func TestSweep(t *testing.T) {
	needs(t)
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if _, err := Create(t.Context(), filepath.Join(dir, name), Min, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "mine"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Sweep(dir); err != nil {
			t.Fatal(err)
		}
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 1 || entries[0].Name() != "mine" {
		t.Errorf("after Sweep: %v", entries)
	}
	wantNoTrace(t, dir)
	if err := Sweep(filepath.Join(dir, "absent")); err != nil {
		t.Errorf("Sweep of an absent folder: %v", err)
	}
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	needs(t)
	path := filepath.Join(t.TempDir(), "d")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Create(ctx, path, Min, Options{}); err == nil {
		t.Fatal("Create with an ended context succeeded")
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if _, err := Create(t.Context(), path, Min-1, Options{}); err == nil || !strings.Contains(err.Error(), "smallest") {
		t.Errorf("Create of a tiny disk: %v", err)
	}
}

// wantNoTrace polls until no mount and no loop device names path: the kernel frees
// a detached device a moment after the last use.
func wantNoTrace(t *testing.T, path string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for {
		trace := traces(t, path)
		if trace == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left behind: %s", trace)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func traces(t *testing.T, path string) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), path) {
		return "a mount"
	}
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.HasPrefix(string(b), path) {
			return f
		}
	}
	return ""
}

func BenchmarkCreateClose(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("needs root")
	}
	dir := b.TempDir()
	for b.Loop() {
		d, err := Create(b.Context(), filepath.Join(dir, "d"), 4<<30, Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
