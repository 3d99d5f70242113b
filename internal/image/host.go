package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The pseudo image "host" is a small tree of our own, with the host's /usr (and
// /bin, /lib… where they are folders of their own) bound read-only over it. Of
// /etc it has copies of what tools need to run, and only of files that every
// user of the host may read. Note that everything beneath /usr is visible, as
// the sandbox's root: keep no secrets there.

// hostUsr are the top-level names of the host's tools: symlinks are recreated, folders bound.
func hostUsr() []string {
	return []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"}
}

// hostEtc are the files and folders copied from the host's /etc. Patterns are filepath.Match's.
func hostEtc() []string {
	return []string{
		"alternatives", "debian_version", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "locale.alias",
		"localtime", "magic", "mime.types", "os-release", "protocols", "rpc", "services", "timezone",
		"ssl/certs", "ssl/cert.pem", "ssl/openssl.cnf", "java-*",
		"pki/tls/certs", "pki/tls/cert.pem", "pki/tls/openssl.cnf", "pki/ca-trust/extracted",
		"crypto-policies/back-ends",
	}
}

// hostFolders are the folders of the tree besides those of /etc.
func hostFolders() map[string]os.FileMode {
	return map[string]os.FileMode{
		"dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "opt": 0o755, "proc": 0o555, "root": 0o700, "run": 0o755,
		"srv": 0o755, "sys": 0o555, "tmp": os.ModeSticky | 0o777, "var": 0o755, "var/cache": 0o755, "var/lib": 0o755,
		"var/log": 0o755, "var/tmp": os.ModeSticky | 0o777, "work": 0o755,
	}
}

// hostWritten are the files of the tree that don't come from the host.
func hostWritten() map[string]string {
	return map[string]string{
		"etc/passwd":        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
		"etc/group":         "root:x:0:\nnogroup:x:65534:\n",
		"etc/hosts":         "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
		"etc/host.conf":     "multi on\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\nrpc: files\n",
		"etc/resolv.conf":   "",
	}
}

// hostEntry is one thing that the tree takes from the host.
type hostEntry struct {
	// Path is relative to the root, on the host and in the tree.
	Path  string
	Mode  fs.FileMode
	Size  int64
	Mtime time.Time
	Link  string
}

// hostSource makes the "host" image; a changed file of the host's gives a new key.
type hostSource struct{ store *Store }

func (h hostSource) resolve(ctx context.Context) (content, error) {
	plan, err := h.plan()
	if err != nil {
		return content{}, fmt.Errorf("read the host's tools: %w", err)
	}
	b, err := json.Marshal(plan)
	if err != nil {
		return content{}, err
	}
	sum := sha256.Sum256(b)
	return content{
		key:    "host-" + hex.EncodeToString(sum[:16]),
		digest: Host,
		unpack: func(ctx context.Context, dir string) (record, error) { return h.build(plan, dir) },
	}, nil
}

// hostPlan is all that the tree depends on. Its JSON is hashed into the key.
type hostPlan struct {
	Entries []hostEntry
	Folders map[string]os.FileMode
	Written map[string]string
	Binds   []Bind
	Env     []string
}

func (h hostSource) plan() (hostPlan, error) {
	root := h.store.opts.HostRoot
	p := hostPlan{Folders: hostFolders(), Written: hostWritten()}
	for _, name := range hostUsr() {
		info, err := os.Lstat(filepath.Join(root, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return p, err
		case info.Mode()&fs.ModeSymlink != 0:
			link, err := os.Readlink(filepath.Join(root, name))
			if err != nil {
				return p, err
			}
			p.Entries = append(p.Entries, hostEntry{Path: name, Mode: fs.ModeSymlink, Link: link})
		case info.IsDir():
			p.Folders[name] = 0o755
			p.Binds = append(p.Binds, Bind{Source: filepath.Join(root, name), Target: "/" + name})
		}
	}
	if len(p.Binds) == 0 {
		return p, fmt.Errorf("%s has no usr folder", root)
	}
	for _, pattern := range hostEtc() {
		matches, err := filepath.Glob(filepath.Join(root, "etc", pattern))
		if err != nil {
			return p, err
		}
		for _, m := range matches {
			if p.Entries, err = collectHost(p.Entries, root, m); err != nil {
				return p, err
			}
		}
	}
	p.Env = hostEnv(root)
	return p, nil
}

// collectHost appends path and, if it is a folder, what is in it. Files that
// not every user of the host may read are left out.
func collectHost(entries []hostEntry, root, path string) ([]hostEntry, error) {
	err := filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // removed meanwhile
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		e := hostEntry{Path: rel, Mode: info.Mode()}
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			if e.Link, err = os.Readlink(path); err != nil {
				return nil
			}
		case info.IsDir():
			if info.Mode()&0o005 != 0o005 {
				return filepath.SkipDir
			}
		case info.Mode().IsRegular():
			if info.Mode()&0o004 == 0 {
				return nil
			}
			e.Size, e.Mtime = info.Size(), info.ModTime().UTC()
		default:
			return nil
		}
		entries = append(entries, e)
		return nil
	})
	return entries, err
}

func hostEnv(root string) []string {
	path := DefaultPath
	if _, err := os.Stat(filepath.Join(root, "usr/local/go/bin")); err == nil {
		path += ":/usr/local/go/bin"
	}
	return []string{"PATH=" + path, "HOME=/root"}
}

// build makes the tree in dir/rootfs.
func (h hostSource) build(p hostPlan, dir string) (record, error) {
	rec := record{Env: p.Env, Binds: p.Binds}
	tree := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(tree, 0o755); err != nil {
		return rec, err
	}
	folders := make([]string, 0, len(p.Folders))
	for name := range p.Folders {
		folders = append(folders, name)
	}
	slices.Sort(folders)
	for _, name := range folders {
		if err := makeFolder(filepath.Join(tree, name), p.Folders[name]); err != nil {
			return rec, err
		}
	}
	for _, e := range p.Entries {
		n, err := copyHost(h.store.opts.HostRoot, tree, e)
		if err != nil {
			return rec, fmt.Errorf("copy /%s of the host: %w", e.Path, err)
		}
		rec.Bytes += n
	}
	for name, text := range p.Written {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(text), 0o644); err != nil {
			return rec, err
		}
	}
	return rec, nil
}

// makeFolder makes a folder with exactly this mode, whatever the umask.
func makeFolder(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// copyHost copies one entry and returns the bytes it takes.
func copyHost(root, tree string, e hostEntry) (int64, error) {
	to := filepath.Join(tree, e.Path)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return 0, err
	}
	switch {
	case e.Mode&fs.ModeSymlink != 0:
		return 0, os.Symlink(e.Link, to)
	case e.Mode.IsDir():
		return 4096, os.MkdirAll(to, 0o755)
	}
	in, err := os.Open(filepath.Join(root, e.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(out, io.LimitReader(in, maxHostFile))
	if err == nil {
		err = os.Chmod(to, e.Mode.Perm()&0o755|0o444)
	}
	return n, errors.Join(err, out.Close())
}

// maxHostFile bounds a file copied from /etc; the largest known, a bundle of certificates, is below 1 MiB.
const maxHostFile = 16 << 20

// DefaultPath is the PATH of an image that has none.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// withPath returns env with a PATH.
func withPath(env []string) []string {
	for _, e := range env {
		if strings.HasPrefix(e, "PATH=") {
			return env
		}
	}
	return append(slices.Clone(env), "PATH="+DefaultPath)
}

// hostTools are the places whose times tell that programs were installed, replaced or removed. Looking at
// every file of /usr would take as long as many a step.
func hostTools() []string {
	return []string{
		"usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/libexec", "usr/local", "usr/local/bin", "usr/local/sbin", "usr/local/lib",
		"bin", "sbin", "lib", "lib64",
		"var/lib/dpkg/status", "var/lib/rpm/rpmdb.sqlite", "lib/apk/db/installed", "var/lib/pacman/local", "usr/local/go/VERSION",
	}
}

// toolsStamp stands for the host's programs as they are now.
func (s *Store) toolsStamp() string {
	h := sha256.New()
	for _, name := range hostTools() {
		if info, err := os.Stat(filepath.Join(s.opts.HostRoot, name)); err == nil {
			fmt.Fprintf(h, "%s %d %d\n", name, info.ModTime().UnixNano(), info.Size())
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
