package image

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/glovebox-dev/glovebox"
)

func hash(b []byte) v1.Hash {
	sum := sha256.Sum256(b)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}

// picture makes an image of two layers with text in /file.
func picture(t *testing.T, text string) v1.Image {
	t.Helper()
	img := v1.Image(empty.Image)
	for _, data := range [][]byte{layer(t, dir("bin"), file("bin/sh", "sh"), file("gone", "1")), layer(t, file("file", text), whiteoutOf("gone"))} {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Config.Env = "linux", "amd64", []string{"A=b", "broken"}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

// hub is an in-process registry that counts fetched layers and may want a password.
type hub struct {
	host    string
	auth    string
	blobs   atomic.Int64
	breakAt atomic.Int64 // the number of a blob that ends too early, from 1
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{}
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.auth != "" && r.Header.Get("Authorization") != h.auth {
			w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			if h.blobs.Add(1) == h.breakAt.Load() {
				w.Header().Set("Content-Length", "1000")
				w.Write([]byte("short"))
				return
			}
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	h.host = strings.TrimPrefix(server.URL, "http://")
	return h
}

func (h *hub) push(t *testing.T, ref string, img v1.Image) (tag, pinned string) {
	t.Helper()
	r, err := name.ParseReference(h.host + "/" + ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(r, img); err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return r.String(), r.Context().Digest(d.String()).String()
}

func amd(o Options) Options { o.Platform = "linux/amd64"; return o }

func wantFile(t *testing.T, img *Image, text string) {
	t.Helper()
	if b, err := os.ReadFile(filepath.Join(img.Rootfs, "file")); err != nil || string(b) != text {
		t.Errorf("file of %s: %q, %v; want %q", img.Ref, b, err, text)
	}
	if _, err := os.Lstat(filepath.Join(img.Rootfs, "gone")); err == nil {
		t.Errorf("a file that the second layer removes is in %s", img.Ref)
	}
	if strings.Join(img.Env, " ") != "A=b PATH="+DefaultPath {
		t.Errorf("env %q", img.Env)
	}
}

func TestRegistry(t *testing.T) {
	h := newHub(t)
	tag, pinned := h.push(t, "a/b:1", picture(t, "one"))
	s := open(t, amd(Options{}))
	first := ensure(t, s, tag)
	wantFile(t, first, "one")
	if !strings.HasSuffix(pinned, first.Digest) {
		t.Errorf("digest %s, want that of %s", first.Digest, pinned)
	}
	fetched := h.blobs.Load()
	for _, ref := range []string{tag, pinned} {
		if img := ensure(t, s, ref); img.Rootfs != first.Rootfs {
			t.Errorf("%s is at %s, want %s", ref, img.Rootfs, first.Rootfs)
		}
	}
	if n := h.blobs.Load(); n != fetched {
		t.Errorf("%d layers fetched again", n-fetched)
	}
	// The tag moves: the next job gets the new image.
	h.push(t, "a/b:1", picture(t, "two"))
	wantFile(t, ensure(t, s, tag), "two")
	wantFile(t, ensure(t, s, pinned), "one")
}

func TestRegistryBrokenConnection(t *testing.T) {
	h := newHub(t)
	tag, _ := h.push(t, "a:1", picture(t, "one"))
	h.breakAt.Store(2) // the first is the config
	wantFile(t, ensure(t, open(t, amd(Options{})), tag), "one")
}

func TestRegistryPassword(t *testing.T) {
	h := newHub(t)
	tag, _ := h.push(t, "a:1", picture(t, "one"))
	basic := base64.StdEncoding.EncodeToString([]byte("ada:secret"))
	h.auth = "Basic " + basic
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	s := open(t, amd(Options{}))
	_, _, err := s.Ensure(context.Background(), tag)
	if !errors.Is(err, glovebox.ErrUnauthorized) || !strings.Contains(err.Error(), "docker login "+h.host) {
		t.Errorf("without a password: %v", err)
	}
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, h.host, basic)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	wantFile(t, ensure(t, s, tag), "one")
}

func TestRegistryErrors(t *testing.T) {
	h := newHub(t)
	tag, _ := h.push(t, "a:1", picture(t, "one"))
	s := open(t, amd(Options{RefusePaths: true}))
	for ref, want := range map[string]string{
		h.host + "/none:1":       "has no image",
		tag + "x":                "has no image",
		"":                       "empty",
		"-v/etc:/x":              `begins with "-"`,
		"a\nb":                   "control character",
		"UPPER/..":               "want \"host\"",
		"oci:/x":                 "not allowed here",
		"docker-archive:/x":      "not allowed here",
		h.host + "/a@sha256:abc": "want \"host\"",
		"10.255.255.1.nip.invalid/a@" + hash(nil).String(): "ask registry",
	} {
		_, _, err := s.Ensure(context.Background(), ref)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", ref, err, want)
		}
	}
	if _, _, err := open(t, Options{Platform: "linux/arm64"}).Ensure(context.Background(), tag); err == nil || !strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("an image for another platform: %v", err)
	}
}

func TestPlainHTTPOnlyWhereAllowed(t *testing.T) {
	g := plainGuard{next: http.DefaultTransport, allowed: []string{"ok.test:80"}}
	for url, allowed := range map[string]bool{"http://192.168.0.1/v2/": false, "http://metadata/": false} {
		req, _ := http.NewRequest(http.MethodGet, url, nil)
		if _, err := g.RoundTrip(req); (err == nil) != allowed {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestMirror(t *testing.T) {
	h := newHub(t)
	h.push(t, "library/x:1", picture(t, "mirrored"))
	s := open(t, amd(Options{Mirrors: map[string][]string{"docker.io": {h.host}}}))
	wantFile(t, ensure(t, s, "x:1"), "mirrored")
}

func TestTamperedLayer(t *testing.T) {
	h := newHub(t)
	img := picture(t, "one")
	cfg, _ := img.ConfigFile()
	cfg = cfg.DeepCopy()
	cfg.RootFS.DiffIDs[1] = hash([]byte("another layer"))
	bad, err := mutate.ConfigFile(img, cfg)
	if err != nil {
		t.Fatal(err)
	}
	tag, _ := h.push(t, "bad:1", bad)
	s := open(t, amd(Options{}))
	if _, _, err := s.Ensure(context.Background(), tag); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("a layer with another content than the config says: %v", err)
	}
	for _, dir := range []string{"images", "tmp"} {
		if entries, _ := os.ReadDir(filepath.Join(s.opts.Dir, dir)); len(entries) != 0 {
			t.Errorf("%s holds %v", dir, entries)
		}
	}
}

func TestArchiveAndLayout(t *testing.T) {
	dir := t.TempDir()
	img := picture(t, "saved")
	archive := filepath.Join(dir, "a.tar")
	if err := tarball.WriteToFile(archive, name.MustParseReference("x:1").(name.Tag), img); err != nil {
		t.Fatal(err)
	}
	path, err := layout.Write(filepath.Join(dir, "layout"), empty.Index)
	if err != nil {
		t.Fatal(err)
	}
	for tag, i := range map[string]v1.Image{"v1": img, "v2": picture(t, "other")} {
		if err := path.AppendImage(i, layout.WithAnnotations(map[string]string{refName: tag})); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, amd(Options{}))
	wantFile(t, ensure(t, s, "docker-archive:"+archive), "saved")
	wantFile(t, ensure(t, s, "oci:"+string(path)+":v1"), "saved")
	wantFile(t, ensure(t, s, "oci:"+string(path)+":v2"), "other")
	for ref, want := range map[string]string{
		"oci:" + string(path):          "2 images",
		"oci:" + string(path) + ":no":  `tagged "no"`,
		"oci:" + dir:                   "read image layout",
		"oci:/no/such":                 "does not exist",
		"docker-archive:/no/such":      "does not exist",
		"docker-archive:" + dir:        "is a folder",
		"docker-archive:/proc/version": "read image archive",
	} {
		if _, _, err := s.Ensure(context.Background(), ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", ref, err, want)
		}
	}
	// A blob with other bytes than its name says.
	d, _ := img.Digest()
	blob := filepath.Join(string(path), "blobs/sha256", d.Hex)
	raw, _ := os.ReadFile(blob)
	if err := os.WriteFile(blob, append(raw, ' '), 0o644); err != nil {
		t.Fatal(err)
	}
	fresh := open(t, amd(Options{}))
	if _, _, err := fresh.Ensure(context.Background(), "oci:"+string(path)+":v1"); err == nil || !strings.Contains(err.Error(), "digest") {
		t.Errorf("a tampered manifest: %v", err)
	}
}

// TestOnce: many at a time, in stores of their own as other processes would have, unpack once.
func TestOnce(t *testing.T) {
	h := newHub(t)
	tag, _ := h.push(t, "a:1", picture(t, "one"))
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 8 {
		s := open(t, amd(Options{Dir: dir}))
		wg.Go(func() {
			img, release, err := s.Ensure(context.Background(), tag)
			if err != nil {
				t.Error(err)
				return
			}
			defer release()
			wantFile(t, img, "one")
		})
	}
	wg.Wait()
	if n := h.blobs.Load(); n != 3 { // the config and two layers
		t.Errorf("%d blobs fetched, want 3", n)
	}
}

func TestEviction(t *testing.T) {
	h := newHub(t)
	var clock atomic.Int64
	s := open(t, amd(Options{MaxBytes: 1, Now: func() time.Time { return time.Unix(clock.Add(1), 0) }}))
	tags := make([]string, 4)
	for i := range tags {
		tags[i], _ = h.push(t, fmt.Sprintf("i%d:1", i), picture(t, fmt.Sprint(i)))
	}
	held, release, err := s.Ensure(context.Background(), tags[0])
	if err != nil {
		t.Fatal(err)
	}
	one, done, err := s.Ensure(context.Background(), tags[1])
	if err != nil {
		t.Fatal(err)
	}
	done()
	done() // twice is harmless
	last := ensure(t, s, tags[2])
	for img, want := range map[*Image]bool{held: true, one: false, last: true} {
		if _, err := os.Stat(img.Rootfs); (err == nil) != want {
			t.Errorf("%s is kept: %t, want %t", img.Ref, err == nil, want)
		}
	}
	release()
	ensure(t, s, tags[3])
	if _, err := os.Stat(held.Rootfs); err == nil {
		t.Error("an image that nobody uses is kept above the bound")
	}
	wantFile(t, ensure(t, s, tags[0]), "0")
}

func TestOpenRemovesHalfUnpackedImages(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	lock, err := s.tryLock("sha256-busy", true)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.release()
	for _, n := range []string{"sha256-dead.1", "sha256-busy.1"} {
		if err := os.MkdirAll(filepath.Join(dir, "tmp", n, "rootfs"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	open(t, Options{Dir: dir})
	entries, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(entries) != 1 || entries[0].Name() != "sha256-busy.1" {
		t.Errorf("left in tmp: %v, %v", entries, err)
	}
}

// engine is a container engine with one image.
type engine struct {
	img   v1.Image
	saved atomic.Int64
}

func (e *engine) ImageID(_ context.Context, ref string) (string, error) {
	if ref != "mine:1" {
		return "", glovebox.ErrNotFound
	}
	return hash([]byte("id")).String(), nil
}

func (e *engine) SaveImage(_ context.Context, _, path string) error {
	e.saved.Add(1)
	return tarball.WriteToFile(path, name.MustParseReference("mine:1").(name.Tag), e.img)
}

func TestEngine(t *testing.T) {
	h := newHub(t)
	tag, _ := h.push(t, "a:1", picture(t, "registry"))
	e := &engine{img: picture(t, "engine")}
	s := open(t, amd(Options{}))
	for ref, want := range map[string]string{"mine:1": "engine", tag: "registry"} {
		for range 2 {
			img, release, err := s.EnsureFrom(context.Background(), e, ref)
			if err != nil {
				t.Fatal(err)
			}
			wantFile(t, img, want)
			release()
		}
	}
	if n := e.saved.Load(); n != 1 {
		t.Errorf("saved %d times, want once", n)
	}
}
