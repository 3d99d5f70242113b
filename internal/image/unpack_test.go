package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// layer makes an uncompressed layer.
func layer(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, h := range headers {
		text := h.Uname // carries the content in these tests
		h.Uname = ""
		if h.Typeflag == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		h.Size = int64(len(text))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func dir(name string) tar.Header        { return tar.Header{Name: name, Typeflag: tar.TypeDir} }
func file(name, text string) tar.Header { return tar.Header{Name: name, Uname: text, Mode: 0o644} }
func symlink(name, to string) tar.Header {
	return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeSymlink}
}
func hardlink(name, to string) tar.Header {
	return tar.Header{Name: name, Linkname: to, Typeflag: tar.TypeLink}
}
func whiteoutOf(name string) tar.Header {
	return tar.Header{Name: filepath.Dir(name) + "/.wh." + filepath.Base(name)}
}
func special(name string, k byte) tar.Header {
	return tar.Header{Name: name, Typeflag: k, Devmajor: 1, Devminor: 1}
}

// unpack extracts layers into a folder beside one that nothing may touch.
func unpack(t testing.TB, layers ...[]byte) (tree string, err error) {
	t.Helper()
	parent := t.TempDir()
	if err := os.Mkdir(filepath.Join(parent, "outside"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(parent, "outside", "passwd"), []byte("host"), 0o644); err != nil {
		t.Fatal(err)
	}
	x, err := newExtraction(filepath.Join(parent, "rootfs"), 1<<20, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	for _, l := range layers {
		if err = x.layer(bytes.NewReader(l)); err != nil {
			break
		}
	}
	if err == nil {
		err = x.finish()
	}
	got, rerr := os.ReadFile(filepath.Join(parent, "outside", "passwd"))
	if entries, _ := os.ReadDir(filepath.Join(parent, "outside")); string(got) != "host" || rerr != nil || len(entries) != 1 {
		t.Errorf("a layer reached outside of its tree: %q, %v, %v", got, rerr, entries)
	}
	if entries, _ := os.ReadDir(parent); len(entries) != 2 {
		t.Errorf("a layer wrote beside its tree: %v", entries)
	}
	return x.path, err
}

// list names what is in a tree but for the folders that finish makes.
func list(t *testing.T, tree string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(tree, path)
		if err == nil && !slices.Contains([]string{".", "proc", "sys", "dev", "work", "etc", "root", "tmp"}, rel) {
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestUnpack(t *testing.T) {
	for name, c := range map[string]struct {
		layers [][]byte
		want   string // names in order
		err    string
	}{
		"plain":                 {layers: [][]byte{layer(t, dir("a"), file("a/b", "1"), symlink("a/l", "b"), hardlink("a/h", "a/b"))}, want: "a a/b a/h a/l"},
		"parents are made":      {layers: [][]byte{layer(t, file("a/b/c", "1"))}, want: "a a/b a/b/c"},
		"leading slash and ./":  {layers: [][]byte{layer(t, file("/a", "1"), file("./b", "2"), dir("./"))}, want: "a b"},
		"dots":                  {layers: [][]byte{layer(t, file("../outside/passwd", "x"))}, err: "leads out"},
		"dots inside":           {layers: [][]byte{layer(t, file("a/../../outside/passwd", "x"))}, err: "leads out"},
		"through a link":        {layers: [][]byte{layer(t, symlink("l", "../outside"), file("l/passwd", "x"))}, err: "not a directory"},
		"through a link inside": {layers: [][]byte{layer(t, dir("outside"), symlink("l", "../../../outside"), file("l/passwd", "x"))}, want: "l outside outside/passwd"},
		"through an absolute link": {layers: [][]byte{layer(t, symlink("run", "/var/run"), dir("var"), dir("var/run"), file("run/x", "1"))},
			want: "run var var/run var/run/x"},
		"folder becomes link between layers": {layers: [][]byte{layer(t, dir("etc"), file("etc/passwd", "1")), layer(t, symlink("etc", "../outside")), layer(t, file("etc/passwd", "x"))},
			err: "not a directory"},
		"folder becomes absolute link between layers": {layers: [][]byte{layer(t, dir("real"), dir("conf"), file("conf/a", "1")), layer(t, symlink("conf", "/real")), layer(t, file("conf/passwd", "x"))},
			want: "conf real real/passwd"},
		"file over link":        {layers: [][]byte{layer(t, symlink("f", "../outside/passwd")), layer(t, file("f", "x"))}, want: "f"},
		"folder over link":      {layers: [][]byte{layer(t, symlink("d", "../outside")), layer(t, dir("d"), file("d/passwd", "x"))}, want: "d d/passwd"},
		"hard link out":         {layers: [][]byte{layer(t, hardlink("h", "../outside/passwd"))}, err: "leads out"},
		"hard link via link":    {layers: [][]byte{layer(t, symlink("l", "../outside"), hardlink("h", "l/passwd"), file("h", "x"))}, err: "hard link"},
		"hard link to link":     {layers: [][]byte{layer(t, symlink("l", "../outside/passwd"), hardlink("h", "l"), file("h", "x"))}, want: "h l"},
		"hard link to folder":   {layers: [][]byte{layer(t, dir("d"), hardlink("h", "d"))}, err: "not a file"},
		"devices are left out":  {layers: [][]byte{layer(t, special("b", tar.TypeBlock), special("c", tar.TypeChar), special("p", tar.TypeFifo), file("f", "1"))}, want: "f"},
		"whiteout":              {layers: [][]byte{layer(t, file("a/b", "1"), file("a/c", "2")), layer(t, whiteoutOf("a/b"))}, want: "a a/c"},
		"whiteout of a folder":  {layers: [][]byte{layer(t, file("a/b/c", "1"), file("x", "2")), layer(t, whiteoutOf("a"))}, want: "x"},
		"whiteout then anew":    {layers: [][]byte{layer(t, file("a/old", "1")), layer(t, whiteoutOf("a"), file("a/new", "2"))}, want: "a a/new"},
		"anew then whiteout":    {layers: [][]byte{layer(t, file("a/old", "1")), layer(t, file("a/new", "2"), whiteoutOf("a"))}, want: "a a/new"},
		"opaque":                {layers: [][]byte{layer(t, file("a/old", "1"), file("a/d/old", "1")), layer(t, file("a/new", "2"), file("a/d/new", "2"), tar.Header{Name: "a/.wh..wh..opq"})}, want: "a a/d a/d/new a/new"},
		"whiteout of nothing":   {layers: [][]byte{layer(t, whiteoutOf("a/b"))}, want: "a"},
		"whiteout of dots":      {layers: [][]byte{layer(t, tar.Header{Name: "a/.wh..."})}, err: "whiteout"},
		"whiteout through link": {layers: [][]byte{layer(t, symlink("l", "../outside")), layer(t, whiteoutOf("l/passwd"))}, err: "not a directory"},
		"aufs records":          {layers: [][]byte{layer(t, tar.Header{Name: ".wh..wh.plnk", Typeflag: tar.TypeDir}, file(".wh..wh.plnk/x", "1"), file("a", "1"))}, want: "a"},
		"not UTF-8":             {layers: [][]byte{layer(t, tar.Header{Name: "a\xff\xfe", Uname: "1", Format: tar.FormatGNU})}, want: "a\xff\xfe"},
		"begins with a dash":    {layers: [][]byte{layer(t, file("-rf", "1"))}, want: "-rf"},
		"deep":                  {layers: [][]byte{layer(t, file(strings.Repeat("d/", 300)+"f", "1"))}, err: "nested"},
		"deep by links":         {layers: [][]byte{layer(t, dir(strings.Repeat("d/", 200)), symlink("l", strings.Repeat("d/", 200)), dir("l/"+strings.Repeat("e/", 100)), file("l/"+strings.Repeat("e/", 100)+"f", "1"))}, err: "nested"},
		"mount points are real": {layers: [][]byte{layer(t, symlink("work", "../outside"), symlink("tmp", "../outside"), symlink("proc", "/etc"), file("dev", "x"))}, want: ""},
		"file as parent":        {layers: [][]byte{layer(t, file("a", "1"), file("a/b", "2"))}, err: "not a directory"},
		"cut short":             {layers: [][]byte{layer(t, file("a", strings.Repeat("x", 5000)))[:2000]}, err: "unexpected EOF"},
		"no tar":                {layers: [][]byte{bytes.Repeat([]byte("x"), 1024)}, err: "read layer"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := unpack(t, c.layers...)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(list(t, tree), " "); got != c.want {
				t.Errorf("tree %q, want %q", got, c.want)
			}
			for _, name := range []string{"work", "proc", "sys", "dev", "tmp"} {
				if info, err := os.Lstat(filepath.Join(tree, name)); err != nil || !info.IsDir() {
					t.Errorf("%s is no folder: %v", name, err)
				}
			}
		})
	}
}

func TestUnpackModes(t *testing.T) {
	when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	tree, err := unpack(t, layer(t,
		tar.Header{Name: "d", Typeflag: tar.TypeDir, Mode: 0o1777, ModTime: when},
		tar.Header{Name: "d/suid", Mode: 0o6755, Uname: "x", ModTime: when},
		tar.Header{Name: "d/xattr", Mode: 0o600, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b", "SCHILY.xattr.security.capability": "c"}}))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"d": fs.ModeDir | fs.ModeSticky | 0o777, "d/suid": 0o755, "d/xattr": 0o600} {
		info, err := os.Lstat(filepath.Join(tree, name))
		if err != nil || info.Mode() != want {
			t.Errorf("%s: mode %v, %v; want %v", name, info.Mode(), err, want)
		}
		if name != "d/xattr" && !info.ModTime().Equal(when) {
			t.Errorf("%s: time %v, want %v", name, info.ModTime(), when)
		}
	}
	if n, err := unix.Llistxattr(filepath.Join(tree, "d/xattr"), make([]byte, 1000)); n > 0 {
		t.Errorf("%d bytes of extended attributes, %v", n, err)
	}
}

func TestUnpackBounds(t *testing.T) {
	if _, err := unpack(t, layer(t, file("big", strings.Repeat("x", 2<<20)))); !errors.Is(err, glovebox.ErrTooLarge) {
		t.Errorf("2 MiB of 1: %v", err)
	}
	var many []tar.Header
	for range 1001 {
		many = append(many, dir("same"))
	}
	if _, err := unpack(t, layer(t, many...)); !errors.Is(err, glovebox.ErrTooLarge) {
		t.Errorf("1001 entries of 1000: %v", err)
	}
	sparse := sparseLayer(t)
	if _, err := unpack(t, sparse); !errors.Is(err, glovebox.ErrTooLarge) {
		t.Errorf("a sparse file of 1 TiB: %v", err)
	}
	x, err := newExtraction(filepath.Join(t.TempDir(), "r"), 1<<20, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	if err := x.drain(io.LimitReader(zeros{}, 2<<20)); !errors.Is(err, glovebox.ErrTooLarge) {
		t.Errorf("2 MiB after the last entry: %v", err)
	}
}

// sparseLayer has one file of 1 TiB in the old GNU sparse form: 512 bytes of data, the rest a hole.
func sparseLayer(t testing.TB) []byte {
	b := layer(t, tar.Header{Name: "holes", Uname: strings.Repeat("x", 512), Format: tar.FormatGNU})
	b[156] = tar.TypeGNUSparse
	copy(b[386:], "00000000000\x00"+"00000001000\x00")      // 512 bytes at 0
	copy(b[386+24+12:], "00000000000\x00")                  // and none at the end
	binary := []byte{0x80, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0} // 1 TiB
	copy(b[386+24:], binary)
	copy(b[483:], binary)
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// FuzzLayer: whatever the bytes, nothing outside the tree is touched.
func FuzzLayer(f *testing.F) {
	f.Add(layer(f, symlink("l", "../outside"), file("l/passwd", "x")))
	f.Add(layer(f, dir("d"), hardlink("d/h", "../outside/passwd"), whiteoutOf("d/h")))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = unpack(t, data)
	})
}

func TestUnpackLayerChecksDiffID(t *testing.T) {
	s := open(t, Options{})
	x, err := newExtraction(filepath.Join(t.TempDir(), "r"), 1<<20, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	data := layer(t, file("a", "1"))
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
	if err := s.unpackLayer(context.Background(), x, hash(data), opener); err != nil {
		t.Error(err)
	}
	if err := s.unpackLayer(context.Background(), x, hash([]byte("other")), opener); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("a wrong digest: %v", err)
	}
}
