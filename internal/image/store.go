package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/glovebox-dev/glovebox"
)

// Options configure a Store. Only Dir is required.
type Options struct {
	// Dir holds the unpacked images. Several processes may share it.
	Dir string
	// MaxBytes bounds the images kept; those in use are never removed, even above
	// the bound. Zero is 20 GiB, negative is no bound.
	MaxBytes int64
	// MaxImageBytes and MaxEntries bound one image once unpacked; zero is 16 GiB
	// and one million files.
	MaxImageBytes int64
	MaxEntries    int
	// Keychain gives the credentials for registries; the user's Docker credentials
	// ($DOCKER_CONFIG or ~/.docker, with credential helpers) when nil.
	Keychain authn.Keychain
	// Insecure lists registries ("host:port") that may be spoken to in plain HTTP.
	// Loopback addresses always may.
	Insecure []string
	// Mirrors maps a registry ("docker.io") to those asked before it, in order.
	Mirrors map[string][]string
	// Platform is "linux/ARCH[/VARIANT]"; this host's when empty.
	Platform string
	// RefusePaths refuses the sources "docker-archive:" and "oci:", which name
	// files of this host. Set it where jobs come from others.
	RefusePaths bool
	// Transport carries the requests to registries; one with sensible time-outs when nil.
	Transport http.RoundTripper
	// Logger hears of pulls and evictions; silent when nil.
	Logger *slog.Logger
	// HostRoot is where the "host" image is taken from: "/" when empty. For tests.
	HostRoot string
	// Now is the clock of the least-recently-used order; time.Now when nil.
	Now func() time.Time
}

// Validate says what is wrong with o.
func (o Options) Validate() error {
	if !filepath.IsAbs(o.Dir) {
		return fmt.Errorf("image folder %q: want an absolute path", o.Dir)
	}
	if o.MaxImageBytes < 0 || o.MaxEntries < 0 {
		return fmt.Errorf("image limits: %d bytes, %d entries: want positive numbers", o.MaxImageBytes, o.MaxEntries)
	}
	if o.Platform != "" && !strings.HasPrefix(o.Platform, "linux/") {
		return fmt.Errorf("image platform %q: want linux/ARCH", o.Platform)
	}
	return nil
}

func (o Options) withDefaults() Options {
	if o.MaxBytes == 0 {
		o.MaxBytes = 20 << 30
	}
	if o.MaxImageBytes == 0 {
		o.MaxImageBytes = 16 << 30
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 1_000_000
	}
	if o.Keychain == nil {
		o.Keychain = authn.DefaultKeychain
	}
	if o.Platform == "" {
		o.Platform = "linux/" + runtime.GOARCH
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.HostRoot == "" {
		o.HostRoot = "/"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is a folder of unpacked images:
//
//	images/KEY/rootfs      the tree
//	images/KEY/image.json  its record, written last; its mtime is the last use
//	locks/KEY              flock: shared while in use, exclusive while unpacking or removing
//	tmp/KEY.*              being unpacked or removed, under KEY's exclusive lock
//
// Its methods may be called concurrently, by several processes too.
type Store struct {
	opts      Options
	transport http.RoundTripper
}

// Open makes the store's folders and removes what crashed processes left half unpacked.
func Open(opts Options) (*Store, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	s := &Store{opts: opts.withDefaults(), transport: opts.Transport}
	if s.transport == nil {
		s.transport = newTransport()
	}
	for _, dir := range []string{"images", "locks", "tmp"} {
		if err := os.MkdirAll(filepath.Join(opts.Dir, dir), 0o700); err != nil {
			return nil, fmt.Errorf("open image store: %w", err)
		}
	}
	return s, s.sweep()
}

// Ensure returns the image that ref names, unpacked, and a function to call
// when no sandbox uses it any more; calling it twice is harmless. A tag is looked up at its registry
// each time, layers are fetched once. Errors say what the user can do.
func (s *Store) Ensure(ctx context.Context, ref string) (*Image, func(), error) {
	src, err := s.source(ref)
	if err != nil {
		return nil, nil, err
	}
	return s.ensure(ctx, ref, src)
}

// Engine is the image store of a local container engine; a runtime that has one implements it.
type Engine interface {
	// ImageID returns the ID ("sha256:…") of the engine's image that ref names, or
	// an error that wraps glovebox.ErrNotFound.
	ImageID(ctx context.Context, ref string) (string, error)
	// SaveImage writes the image to path in the form of "docker save".
	SaveImage(ctx context.Context, id, path string) error
}

// EnsureFrom is Ensure for a runtime with an engine: a plain reference that the
// engine has (built or imported there, say) is taken from it, once for each
// image ID, before any registry is asked.
func (s *Store) EnsureFrom(ctx context.Context, engine Engine, ref string) (*Image, func(), error) {
	src, err := s.sourceFrom(ctx, engine, ref)
	if err != nil {
		return nil, nil, err
	}
	return s.ensure(ctx, ref, src)
}

// Digest says what ref names now and fetches nothing but that: a text that is the same as long as the
// content is. For "host" it follows the host's installed packages and programs. engine may be nil.
func (s *Store) Digest(ctx context.Context, engine Engine, ref string) (string, error) {
	src, err := s.sourceFrom(ctx, engine, ref)
	if err != nil {
		return "", err
	}
	c, err := src.resolve(ctx)
	if err != nil {
		return "", err
	}
	if ref == Host {
		return c.key + "-" + s.toolsStamp(), nil
	}
	return c.digest, nil
}

// sourceFrom is source, with an engine's own images before a registry's. engine may be nil.
func (s *Store) sourceFrom(ctx context.Context, engine Engine, ref string) (source, error) {
	src, err := s.source(ref)
	if err != nil || engine == nil {
		return src, err
	}
	if _, ok := src.(registrySource); ok {
		id, err := engine.ImageID(ctx, ref)
		switch {
		case err == nil:
			return engineSource{store: s, engine: engine, id: id}, nil
		case !errors.Is(err, glovebox.ErrNotFound):
			return nil, fmt.Errorf("look up image %s in the engine: %w", ref, err)
		}
	}
	return src, nil
}

// source is where an image comes from.
type source interface {
	// resolve finds out which content the reference means now.
	resolve(ctx context.Context) (content, error)
}

// content is one image's content, not yet fetched.
type content struct {
	// key is its folder's name in the store; digest is shown to users.
	key, digest string
	// unpack fills dir, an empty folder, with "rootfs" and returns the record.
	unpack func(ctx context.Context, dir string) (record, error)
}

// record is image.json.
type record struct {
	Digest string   `json:"digest"`
	Env    []string `json:"env"`
	Binds  []Bind   `json:"binds,omitempty"`
	// Bytes is what the tree takes on disk, roughly.
	Bytes int64 `json:"bytes"`
}

func (s *Store) ensure(ctx context.Context, ref string, src source) (*Image, func(), error) {
	c, err := src.resolve(ctx)
	if err != nil {
		return nil, nil, err
	}
	for {
		lock, err := s.lock(ctx, c.key, false)
		if err != nil {
			return nil, nil, fmt.Errorf("lock image %s: %w", ref, err)
		}
		rec, err := s.record(c.key)
		if err == nil {
			now := s.opts.Now()
			_ = os.Chtimes(s.recordPath(c.key), now, now)
			img := &Image{Ref: ref, Digest: c.digest, Rootfs: filepath.Join(s.opts.Dir, "images", c.key, "rootfs"), Binds: rec.Binds, Env: rec.Env}
			return img, lock.release, nil
		}
		lock.release()
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("read image %s: %w", ref, err)
		}
		if err := s.fill(ctx, ref, c); err != nil {
			return nil, nil, err
		}
	}
}

// fill unpacks c under its exclusive lock, unless another did so meanwhile.
func (s *Store) fill(ctx context.Context, ref string, c content) error {
	lock, err := s.lock(ctx, c.key, true)
	if err != nil {
		return fmt.Errorf("lock image %s: %w", ref, err)
	}
	defer lock.release()
	if _, err := s.record(c.key); err == nil {
		return nil
	}
	start := s.opts.Now()
	tmp, err := os.MkdirTemp(filepath.Join(s.opts.Dir, "tmp"), c.key+".*")
	if err != nil {
		return fmt.Errorf("unpack image %s: %w", ref, err)
	}
	defer os.RemoveAll(tmp)
	rec, err := c.unpack(ctx, tmp)
	if err != nil {
		return fmt.Errorf("unpack image %s: %w", ref, err)
	}
	rec.Digest = c.digest
	b, err := json.Marshal(rec)
	if err == nil {
		err = os.WriteFile(filepath.Join(tmp, "image.json"), b, 0o600)
	}
	if err == nil {
		err = os.Rename(tmp, filepath.Join(s.opts.Dir, "images", c.key))
	}
	if err != nil {
		return fmt.Errorf("keep image %s: %w", ref, err)
	}
	s.opts.Logger.InfoContext(ctx, "image unpacked", "image", ref, "digest", c.digest, "bytes", rec.Bytes, "took", s.opts.Now().Sub(start))
	return s.evict(c.key)
}

func (s *Store) recordPath(key string) string {
	return filepath.Join(s.opts.Dir, "images", key, "image.json")
}

func (s *Store) record(key string) (record, error) {
	var r record
	b, err := os.ReadFile(s.recordPath(key))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}
