package image

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// hostRoot makes a small host with a secret in it.
func hostRoot(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	write := func(name string, mode os.FileMode) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("usr/bin/sh", 0o755)
	write("usr/local/go/bin/go", 0o755)
	write("lib/real/so", 0o644)
	write("etc/ssl/certs/ca.pem", 0o644)
	write("etc/ssl/certs/leaked.key", 0o600)
	write("etc/ssl/private/host.key", 0o644)
	write("etc/shadow", 0o644)
	write("etc/passwd", 0o644)
	write("etc/protocols", 0o644)
	write("home/ada/.netrc", 0o644)
	for link, to := range map[string]string{"bin": "usr/bin", "etc/ssl/certs/a.0": "ca.pem", "etc/localtime": "/usr/share/zoneinfo/UTC"} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func open(t *testing.T, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ensure(t *testing.T, s *Store, ref string) *Image {
	t.Helper()
	img, release, err := s.Ensure(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return img
}

func TestHostShowsToolsAndNoSecrets(t *testing.T) {
	root := hostRoot(t)
	s := open(t, Options{HostRoot: root})
	img := ensure(t, s, Host)
	if img.Digest != Host {
		t.Errorf("digest %q, want %q", img.Digest, Host)
	}
	for name, want := range map[string]string{
		"etc/ssl/certs/ca.pem": "etc/ssl/certs/ca.pem",
		"etc/ssl/certs/a.0":    "etc/ssl/certs/ca.pem",
		"etc/protocols":        "etc/protocols",
		"etc/passwd":           hostWritten()["etc/passwd"],
	} {
		if b, err := os.ReadFile(filepath.Join(img.Rootfs, name)); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v; want %q", name, b, err, want)
		}
	}
	for _, name := range []string{"etc/shadow", "etc/ssl/private", "etc/ssl/certs/leaked.key", "home/ada"} {
		if _, err := os.Lstat(filepath.Join(img.Rootfs, name)); !os.IsNotExist(err) {
			t.Errorf("%s is in the host image (%v)", name, err)
		}
	}
	if to, err := os.Readlink(filepath.Join(img.Rootfs, "bin")); err != nil || to != "usr/bin" {
		t.Errorf("bin -> %q, %v", to, err)
	}
	if info, err := os.Stat(filepath.Join(img.Rootfs, "tmp")); err != nil || info.Mode() != os.ModeDir|os.ModeSticky|0o777 {
		t.Errorf("tmp: %v, %v", info.Mode(), err)
	}
	want := []Bind{{Source: filepath.Join(root, "usr"), Target: "/usr"}, {Source: filepath.Join(root, "lib"), Target: "/lib"}}
	if len(img.Binds) != 2 || img.Binds[0] != want[0] || img.Binds[1] != want[1] {
		t.Errorf("binds %v, want %v", img.Binds, want)
	}
	if img.Env[0] != "PATH="+DefaultPath+":/usr/local/go/bin" {
		t.Errorf("env %q", img.Env)
	}
}

func TestHostIsMadeOnceAndAgainWhenTheHostChanged(t *testing.T) {
	root := hostRoot(t)
	s := open(t, Options{HostRoot: root})
	first, again := ensure(t, s, Host), ensure(t, s, Host)
	if first.Rootfs != again.Rootfs {
		t.Errorf("%s and %s for one state of the host", first.Rootfs, again.Rootfs)
	}
	if err := os.WriteFile(filepath.Join(root, "etc/protocols"), []byte("changed"), 0o644); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(ensure(t, s, Host).Rootfs, "etc/protocols"))
	if err != nil || string(b) != "changed" {
		t.Errorf("after a change of the host: %q, %v", b, err)
	}
}

func TestHostOfThisMachine(t *testing.T) {
	img := ensure(t, open(t, Options{}), Host)
	if len(img.Binds) == 0 || img.Binds[0].Target != "/usr" {
		t.Errorf("binds %v", img.Binds)
	}
}

// TestDigestFollowsTheHost: the digest of "host" is stable, and another one after a program was installed.
func TestDigestFollowsTheHost(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"usr/bin", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Open(Options{Dir: t.TempDir(), HostRoot: root})
	if err != nil {
		t.Fatal(err)
	}
	digest := func() string {
		t.Helper()
		d, err := s.Digest(t.Context(), nil, Host)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := digest()
	if again := digest(); again != before {
		t.Errorf("digest changed by itself: %s, %s", before, again)
	}
	if err := os.WriteFile(filepath.Join(root, "usr/bin/tool"), []byte("#!"), 0o755); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(filepath.Join(root, "usr/bin"), later, later); err != nil {
		t.Fatal(err)
	}
	if after := digest(); after == before {
		t.Error("a new program left the digest as it was")
	}
}
