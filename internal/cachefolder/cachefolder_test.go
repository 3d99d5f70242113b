package cachefolder

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"go.uber.org/goleak"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/disk"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// holderVariable tells the test binary, executed again, to hold a folder until it is killed.
const holderVariable = "GLOVEBOX_CACHEFOLDER_HOLD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(holderVariable); dir != "" {
		hold(dir)
	}
	goleak.VerifyTestMain(m)
}

func hold(dir string) {
	s, err := Open(Options{Dir: dir, Size: 8 << 20})
	if err == nil {
		var folder string
		if folder, _, err = s.Acquire(context.Background(), "t", "n"); err == nil {
			err = os.WriteFile(filepath.Join(folder, "x"), []byte("by the killed"), 0o644)
		}
	}
	fmt.Println("holding", err)
	select {}
}

// store opens a store in a new folder, or in the one given. Afterwards nothing may be mounted.
func store(t *testing.T, o Options) (*Store, *bytes.Buffer) {
	t.Helper()
	testenv.Root(t)
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("needs loop devices: %v", err)
	}
	if o.Dir == "" {
		o.Dir = filepath.Join(t.TempDir(), "caches")
	}
	if o.Size == 0 {
		o.Size = 8 << 20
	}
	var log bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s, err := Open(o)
	must(t, err)
	t.Cleanup(func() {
		must(t, s.Sweep(context.Background()))
		must(t, s.Close())
		mounts, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil || strings.Contains(string(mounts), o.Dir) {
			t.Errorf("something is still mounted in %s (%v)", o.Dir, err)
		}
	})
	return s, &log
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func acquire(t *testing.T, s *Store, tenant, name string) (string, func()) {
	t.Helper()
	folder, release, err := s.Acquire(t.Context(), tenant, name)
	must(t, err)
	t.Cleanup(release)
	return folder, release
}

func put(t *testing.T, folder, name, text string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
}

func want(t *testing.T, folder, name, text string) {
	t.Helper()
	if got, err := os.ReadFile(filepath.Join(folder, name)); string(got) != text {
		t.Errorf("%s holds %q (%v), want %q", name, got, err, text)
	}
}

func wantEmpty(t *testing.T, folder string) {
	t.Helper()
	if entries, err := os.ReadDir(folder); err != nil || len(entries) != 0 {
		t.Errorf("a new folder holds %v (%v)", entries, err)
	}
}

func isMounted(t *testing.T, f folder) bool {
	t.Helper()
	mounted, err := disk.Mounted(f.mnt())
	must(t, err)
	return mounted
}

func TestKeptBetweenUses(t *testing.T) {
	s, log := store(t, Options{})
	folder, release := acquire(t, s, "t", "npm")
	wantEmpty(t, folder)
	put(t, folder, "x", "kept")
	var st unix.Statfs_t
	must(t, unix.Statfs(folder, &st))
	if st.Flags&unix.ST_NOSUID == 0 || st.Flags&unix.ST_NODEV == 0 {
		t.Errorf("mount flags %x", st.Flags)
	}
	release()
	release()
	if isMounted(t, s.folder("t", "npm")) {
		t.Error("still mounted after the last use")
	}
	must(t, s.Close())
	if state, err := s.folder("t", "npm").read(); err != nil || state.Boot != "" {
		t.Errorf("what was written out is still in doubt: %+v, %v", state, err)
	}
	s.boot = "the next"
	folder, _ = acquire(t, s, "t", "npm")
	want(t, folder, "x", "kept")
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
}

func TestSharedByStores(t *testing.T) {
	one, _ := store(t, Options{})
	two, _ := store(t, Options{Dir: one.opts.Dir}) // to the kernel's locks it is another process
	a, releaseA := acquire(t, one, "t", "n")
	b, releaseB := acquire(t, two, "t", "n")
	put(t, a, "x", "by one")
	want(t, b, "x", "by one")
	releaseA()
	put(t, b, "y", "by two")
	if _, err := two.List(t.Context()); err != nil {
		t.Error(err)
	}
	if err := one.Remove(t.Context(), "t", "n"); !errors.Is(err, glovebox.ErrConflict) {
		t.Errorf("removing a folder in use: %v", err)
	}
	must(t, one.Sweep(t.Context()))
	want(t, b, "y", "by two")
	releaseB()
	if isMounted(t, one.folder("t", "n")) {
		t.Error("still mounted after the last use")
	}
}

// TestTenantsApart: no tenant reaches another's folder, whatever names it gives.
func TestTenantsApart(t *testing.T) {
	s, _ := store(t, Options{})
	seen := map[string]string{}
	for _, pair := range [][2]string{{"a", "bc"}, {"ab", "c"}, {"", "abc"}, {"a", "../b"}, {"a/..", "b"}, {"b", "b"}, {"..", ".."}, {"a\x00", "b"}, {"a", "\x00b"}, {"a", strings.Repeat("n", maxName)}} {
		folder, release := acquire(t, s, pair[0], pair[1])
		wantEmpty(t, folder)
		put(t, folder, "mine", "x")
		if other, ok := seen[folder]; ok || filepath.Dir(filepath.Dir(filepath.Dir(folder))) != filepath.Join(s.opts.Dir, "folders") {
			t.Errorf("%q has the folder %s, as %q", pair, folder, other)
		}
		seen[folder] = fmt.Sprintf("%q", pair)
		release()
	}
	for _, name := range []string{"", strings.Repeat("n", maxName+1)} {
		if _, _, err := s.Acquire(t.Context(), "a", name); err == nil {
			t.Errorf("a name of %d bytes was taken", len(name))
		}
	}
	info, err := os.Stat(s.opts.Dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the store has mode %v, %v", info.Mode(), err)
	}
}

func TestFull(t *testing.T) {
	s, _ := store(t, Options{})
	a, _ := acquire(t, s, "t", "a")
	b, _ := acquire(t, s, "t", "b")
	if err := os.WriteFile(filepath.Join(a, "big"), make([]byte, 16<<20), 0o644); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("16 MiB in a folder of 8: %v", err)
	}
	put(t, b, "x", "fits")
}

// TestDoubtfulIsReplaced: whatever became of a folder's bytes, the next job gets a folder.
func TestDoubtfulIsReplaced(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, f folder){
		"superblock": func(t *testing.T, f folder) { overwrite(t, f.image(), 1024, make([]byte, 1024)) },
		"noise":      func(t *testing.T, f folder) { overwrite(t, f.image(), 1024+0x3c, bytes.Repeat([]byte{0xa5}, 1<<20)) },
		"groups":     func(t *testing.T, f folder) { overwrite(t, f.image(), 4096, bytes.Repeat([]byte{0xff}, 4096)) },
		"empty":      func(t *testing.T, f folder) { must(t, os.Truncate(f.image(), 0)) },
		"cut":        func(t *testing.T, f folder) { must(t, os.Truncate(f.image(), 100<<10)) },
		"unclean":    func(t *testing.T, f folder) { overwrite(t, f.image(), 1024+0x3a, []byte{0, 0}) },
		"errors":     func(t *testing.T, f folder) { overwrite(t, f.image(), 1024+0x3a, []byte{3, 0}) },
		"state": func(t *testing.T, f folder) {
			must(t, os.WriteFile(filepath.Join(f.path, "state.json"), []byte("{"), 0o600))
		},
		"power loss": func(t *testing.T, f folder) { must(t, f.write(state{Boot: "another", Mounts: 3})) },
	} {
		t.Run(name, func(t *testing.T) {
			s, log := store(t, Options{})
			folder, release := acquire(t, s, "t", "n")
			put(t, folder, "x", "old")
			release()
			must(t, s.Close())
			f := s.folder("t", "n")
			spoil(t, f)
			folder, release = acquire(t, s, "t", "n")
			wantEmpty(t, folder)
			put(t, folder, "x", "new")
			release()
			folder, _ = acquire(t, s, "t", "n")
			want(t, folder, "x", "new")
			if strings.Count(log.String(), "replaced by an empty one") != 1 {
				t.Errorf("log: %s", log)
			}
		})
	}
}

func overwrite(t *testing.T, path string, at int64, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(b, at)
	must(t, errors.Join(err, f.Close()))
}

// TestReadOnlyIsReplaced: the kernel makes a file system with errors read-only.
func TestReadOnlyIsReplaced(t *testing.T) {
	s, _ := store(t, Options{})
	first, release := acquire(t, s, "t", "n")
	put(t, first, "x", "old")
	must(t, unix.Mount("", s.folder("t", "n").mnt(), "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""))
	second, _ := acquire(t, s, "t", "n")
	wantEmpty(t, second)
	put(t, second, "x", "new")
	release()
	want(t, second, "x", "new")
}

// TestHeldOpenIsOneFileSystem: a folder that somebody still uses after it was unmounted is mounted again as the
// same file system; two over one image would destroy each other.
func TestHeldOpenIsOneFileSystem(t *testing.T) {
	s, log := store(t, Options{})
	folder, release := acquire(t, s, "t", "n")
	open, err := os.Create(filepath.Join(folder, "x"))
	must(t, err)
	defer open.Close()
	release()
	if isMounted(t, s.folder("t", "n")) {
		t.Fatal("still mounted")
	}
	again, _ := acquire(t, s, "t", "n")
	_, err = open.WriteString("by the one before")
	must(t, err)
	want(t, again, "x", "by the one before")
	must(t, open.Close())
	if log.Len() > 0 {
		t.Errorf("log: %s", log)
	}
}

// TestKilled: what a killed process held is found mounted, and is good.
func TestKilled(t *testing.T) {
	for _, sweep := range []bool{false, true} {
		s, log := store(t, Options{})
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), holderVariable+"="+s.opts.Dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		line, err := bufio.NewReader(out).ReadString('\n')
		if line != "holding <nil>\n" {
			t.Errorf("the other process says %q (%v)", line, err)
		}
		list, err := s.List(t.Context())
		if err != nil || len(list) != 1 || !list[0].InUse || list[0].Tenant != "t" || list[0].Name != "n" {
			t.Errorf("while it lives: %+v, %v", list, err)
		}
		must(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed
		f := s.folder("t", "n")
		if !isMounted(t, f) {
			t.Error("the kernel unmounted it")
		}
		if sweep {
			must(t, s.Sweep(t.Context()))
			if isMounted(t, f) {
				t.Error("Sweep left it mounted")
			}
		}
		folder, release := acquire(t, s, "t", "n")
		want(t, folder, "x", "by the killed")
		release()
		if isMounted(t, f) || log.Len() > 0 {
			t.Errorf("mounted, or log: %s", log)
		}
	}
}

func TestLeastRecentlyUsedGo(t *testing.T) {
	s, log := store(t, Options{Size: 16 << 20, Total: 24 << 20})
	use := func(name string) func() {
		folder, release := acquire(t, s, "t", name)
		if _, err := os.Lstat(filepath.Join(folder, "big")); err != nil {
			must(t, os.WriteFile(filepath.Join(folder, "big"), bytes.Repeat([]byte{1}, 6<<20), 0o644))
			unix.Sync()
		}
		return release
	}
	old := time.Now().Add(-time.Hour)
	for i, name := range []string{"a", "b", "c"} {
		use(name)()
		must(t, os.Chtimes(s.folder("t", name).use(), old, old.Add(time.Duration(i)*time.Minute)))
	}
	holdA := use("a") // the oldest by time above, but in use
	use("d")()
	names := func() string {
		list, err := s.List(t.Context())
		must(t, err)
		var out []string
		for _, f := range list {
			out = append(out, f.Name)
		}
		return strings.Join(out, " ")
	}
	if got := names(); got != "d a c" {
		t.Errorf("kept are %q, want all but b\n%s", got, log)
	}
	holdA()
	must(t, s.Remove(t.Context(), "t", "c"))
	if err := s.Remove(t.Context(), "t", "c"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("removing what is not there: %v", err)
	}
	if got := names(); got != "a d" {
		t.Errorf("kept are %q", got)
	}
}

// TestManyAtOnce: users come and go, in two stores, and nobody loses a byte.
func TestManyAtOnce(t *testing.T) {
	one, log := store(t, Options{})
	two, _ := store(t, Options{Dir: one.opts.Dir})
	var users sync.WaitGroup
	for u := range 8 {
		users.Go(func() {
			s := []*Store{one, two}[u%2]
			for i := range 5 {
				folder, release, err := s.Acquire(t.Context(), "t", fmt.Sprint("n", i%2))
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d-%d", u, i)), []byte("x"), 0o644); err != nil {
					t.Error(err)
				}
				release()
			}
		})
	}
	users.Wait()
	files := 0
	for _, name := range []string{"n0", "n1"} {
		folder, release := acquire(t, one, "t", name)
		entries, err := os.ReadDir(folder)
		must(t, err)
		files += len(entries)
		release()
	}
	if files != 40 || log.Len() > 0 {
		t.Errorf("%d files of 40; log: %s", files, log)
	}
}

func TestAcquireEndsWithItsContext(t *testing.T) {
	s, _ := store(t, Options{})
	unlock, err := s.lock(t.Context())
	must(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(glovebox.ErrCanceled)
	if _, _, err := s.Acquire(ctx, "t", "n"); !errors.Is(err, glovebox.ErrCanceled) {
		t.Errorf("got %v", err)
	}
	unlock()
	if list, err := s.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("made %+v, %v", list, err)
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("needs root")
	}
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for b.Loop() {
		_, release, err := s.Acquire(b.Context(), "t", "n")
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
}
