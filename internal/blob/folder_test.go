package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

func openFolder(t *testing.T) (*Folder, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "blobs")
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, dir
}

func read(t *testing.T, f *Folder, key string, offset int64) string {
	t.Helper()
	r, _, err := f.Open(t.Context(), key, offset)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestKeysCannotEscape(t *testing.T) {
	f, dir := openFolder(t)
	for _, key := range []string{"", ".", "..", "../x", "a/../x", "/etc/x", "a//b", "a/./b", "a/", "a\x00b", "a\\b", "a\nb", "\xff", "~put/x", "a~", "a~/b", strings.Repeat("k", 300), strings.Repeat("k/", 600) + "k"} {
		if _, err := f.Put(t.Context(), key, strings.NewReader("x")); err == nil {
			t.Errorf("Put %.20q was accepted", key)
		}
		if _, err := f.Append(t.Context(), key, 0, []byte("x")); err == nil {
			t.Errorf("Append %.20q was accepted", key)
		}
		if _, _, err := f.Open(t.Context(), key, 0); err == nil {
			t.Errorf("Open %.20q was accepted", key)
		}
		if err := f.DeletePrefix(t.Context(), key); err == nil {
			t.Errorf("DeletePrefix %.20q was accepted", key)
		}
	}
	// A link planted in the folder does not lead out of it.
	secret := filepath.Join(t.TempDir(), "secret~")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(secret), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Open(t.Context(), "link/secret", 0); err == nil {
		t.Error("a link out of the folder was followed")
	}
	if _, err := f.Put(t.Context(), "link/new", strings.NewReader("x")); err == nil {
		t.Error("a blob was written through a link out of the folder")
	}
}

func TestPutIsWholeOrNothing(t *testing.T) {
	f, dir := openFolder(t)
	if n, err := f.Put(t.Context(), "a/b", strings.NewReader("first")); err != nil || n != 5 {
		t.Fatal(n, err)
	}
	old, size, err := f.Open(t.Context(), "a/b", 1)
	if err != nil || size != 5 {
		t.Fatal(size, err)
	}
	defer old.Close()
	broken := io.MultiReader(strings.NewReader("sec"), errReader{})
	if _, err := f.Put(t.Context(), "a/b", broken); !errors.Is(err, errBroken) {
		t.Fatalf("a broken body: %v", err)
	}
	if got := read(t, f, "a/b", 0); got != "first" {
		t.Errorf("after a broken Put: %q", got)
	}
	if _, err := f.Put(t.Context(), "a/b", strings.NewReader("second")); err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(old); string(b) != "irst" {
		t.Errorf("reader of the old bytes got %q", b)
	}
	left, err := os.ReadDir(filepath.Join(dir, temporary))
	if err != nil || len(left) != 0 {
		t.Errorf("unfinished files left: %v %v", left, err)
	}
}

var errBroken = errors.New("broken")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

func TestAppendAtOffset(t *testing.T) {
	f, _ := openFolder(t)
	steps := []struct {
		offset int64
		data   string
		end    int64
		err    error
		want   string
	}{
		{0, "one\n", 4, nil, "one\n"},
		{0, "one\n", 4, nil, "one\n"},                     // resent
		{4, "two\n", 8, nil, "one\ntwo\n"},                //
		{4, "two\nthree\n", 14, nil, "one\ntwo\nthree\n"}, // overlapping
		{15, "gap\n", 14, glovebox.ErrOffset, "one\ntwo\nthree\n"},
		{14, "", 14, nil, "one\ntwo\nthree\n"},
	}
	for i, s := range steps {
		end, err := f.Append(t.Context(), "log/1", s.offset, []byte(s.data))
		if end != s.end || !errors.Is(err, s.err) {
			t.Fatalf("step %d: end %d, err %v", i, end, err)
		}
		if got := read(t, f, "log/1", 0); got != s.want {
			t.Fatalf("step %d: %q", i, got)
		}
	}
	if got := read(t, f, "log/1", 8); got != "three\n" {
		t.Errorf("from 8: %q", got)
	}
	if got := read(t, f, "log/1", 99); got != "" {
		t.Errorf("beyond the end: %q", got)
	}
	if _, err := f.Append(t.Context(), "log/1", -1, nil); err == nil {
		t.Error("a negative offset was accepted")
	}
}

func TestConcurrentResendsWriteOnce(t *testing.T) {
	f, _ := openFolder(t)
	line := bytes.Repeat([]byte("x"), 1000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 50 {
				for {
					_, err := f.Append(context.Background(), "log", int64(i*1000), line)
					if err == nil {
						break
					}
					if !errors.Is(err, glovebox.ErrOffset) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if size, err := f.Size(t.Context(), "log"); err != nil || size != 50_000 {
		t.Errorf("size %d, %v", size, err)
	}
}

func TestListAndDelete(t *testing.T) {
	f, _ := openFolder(t)
	for _, key := range []string{"j1/1/diff", "j1/1/outputs/a", "j1/1/outputs/a/b", "j10/1/diff", "j1"} {
		if _, err := f.Put(t.Context(), key, strings.NewReader(key)); err != nil {
			t.Fatal(err)
		}
	}
	list, err := f.List(t.Context(), "j1")
	if err != nil || len(list) != 4 || list[0].Key != "j1" || list[3].Key != "j1/1/outputs/a/b" {
		t.Fatalf("%v %v", list, err)
	}
	if err := f.Delete(t.Context(), "j1/1/outputs/a"); err != nil {
		t.Fatal(err)
	}
	if got := read(t, f, "j1/1/outputs/a/b", 0); got != "j1/1/outputs/a/b" {
		t.Error("a neighbour was removed")
	}
	if err := f.DeletePrefix(t.Context(), "j1"); err != nil {
		t.Fatal(err)
	}
	if list, err := f.List(t.Context(), "j1"); err != nil || len(list) != 0 {
		t.Errorf("left: %v %v", list, err)
	}
	if _, _, err := f.Open(t.Context(), "j1/1/diff", 0); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("a removed blob: %v", err)
	}
	if got := read(t, f, "j10/1/diff", 0); got != "j10/1/diff" {
		t.Error("a name with the same beginning was removed")
	}
}
