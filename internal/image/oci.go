package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/glovebox-dev/glovebox"
)

// maxConfig bounds an image's configuration, which is read into memory.
const maxConfig = 8 << 20

// maxLayers bounds the layers of an image; Docker's own bound is 127.
const maxLayers = 512

// unpackImage verifies img and unpacks its layers into dir/rootfs. Layers come
// from open, in order, uncompressed. What is unpacked is checked against the
// config's DiffIDs before anyone sees it; that the config is the right one is
// the caller's to check.
func (s *Store) unpackImage(ctx context.Context, img v1.Image, open func(i int, l v1.Layer) (io.ReadCloser, error), dir string) (record, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return record{}, fmt.Errorf("read config: %w", err)
	}
	if err := s.checkPlatform(cfg); err != nil {
		return record{}, err
	}
	layers, err := img.Layers()
	if err != nil {
		return record{}, fmt.Errorf("read layers: %w", err)
	}
	if len(layers) != len(cfg.RootFS.DiffIDs) || len(layers) > maxLayers {
		return record{}, fmt.Errorf("image has %d layers and %d layer digests, at most %d are allowed", len(layers), len(cfg.RootFS.DiffIDs), maxLayers)
	}
	x, err := newExtraction(filepath.Join(dir, "rootfs"), s.opts.MaxImageBytes, s.opts.MaxEntries)
	if err != nil {
		return record{}, err
	}
	defer x.close()
	for i, l := range layers {
		if err := s.unpackLayer(ctx, x, cfg.RootFS.DiffIDs[i], func() (io.ReadCloser, error) { return open(i, l) }); err != nil {
			return record{}, fmt.Errorf("layer %d of %d: %w", i+1, len(layers), err)
		}
	}
	if err := x.finish(); err != nil {
		return record{}, err
	}
	return record{Env: withPath(cleanEnv(cfg.Config.Env)), Bytes: x.disk}, nil
}

func (s *Store) unpackLayer(ctx context.Context, x *extraction, want v1.Hash, open func() (io.ReadCloser, error)) error {
	if want.Algorithm != "sha256" {
		return fmt.Errorf("digest algorithm %q is not known", want.Algorithm)
	}
	r, err := open()
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	stream := io.TeeReader(&contextReader{ctx: ctx, r: r}, h)
	if err := x.layer(stream); err != nil {
		return err
	}
	if err := x.drain(stream); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != want.Hex {
		return fmt.Errorf("content has digest sha256:%s, want %s", got, want)
	}
	return nil
}

// checkPlatform refuses an image for another kind of machine: it would only say "exec format error".
func (s *Store) checkPlatform(cfg *v1.ConfigFile) error {
	want, err := v1.ParsePlatform(s.opts.Platform)
	if err != nil {
		return err
	}
	if cfg.OS != "" && cfg.OS != want.OS || cfg.Architecture != "" && cfg.Architecture != want.Architecture {
		return fmt.Errorf("image is for %s/%s, this host runs %s; use one for this platform", cfg.OS, cfg.Architecture, s.opts.Platform)
	}
	return nil
}

// cleanEnv keeps the entries that an environment can hold.
func cleanEnv(env []string) []string {
	var out []string
	for _, e := range env {
		if k, _, ok := strings.Cut(e, "="); ok && k != "" && !strings.ContainsRune(e, 0) {
			out = append(out, e)
		}
	}
	return out
}

// contextReader ends a long read when its context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	return c.r.Read(p)
}

// checkManifest checks that img's manifest has the digest it goes by, and its config the one the manifest says.
func checkManifest(img v1.Image, want v1.Hash) error {
	raw, err := img.RawManifest()
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	if want != (v1.Hash{}) {
		if got := sha256.Sum256(raw); hex.EncodeToString(got[:]) != want.Hex {
			return fmt.Errorf("manifest has digest sha256:%x, want %s", got, want)
		}
	}
	m, err := img.Manifest()
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	if m.Config.Size > maxConfig {
		return fmt.Errorf("config has %d bytes, at most %d are allowed: %w", m.Config.Size, maxConfig, glovebox.ErrTooLarge)
	}
	cfg, err := img.RawConfigFile()
	if err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	if got := sha256.Sum256(cfg); hex.EncodeToString(got[:]) != m.Config.Digest.Hex {
		return fmt.Errorf("config has digest sha256:%x, want %s", got, m.Config.Digest)
	}
	return nil
}

// openLayer reads a layer as its source has it.
func openLayer(_ int, l v1.Layer) (io.ReadCloser, error) { return l.Uncompressed() }

// checkFile gives a plain error for a path that is no file or folder as wanted.
func checkFile(path string, dir bool) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s does not exist", path)
	case err != nil:
		return err
	case info.IsDir() != dir && dir:
		return fmt.Errorf("%s is not a folder (an OCI layout is one, with a file index.json)", path)
	case info.IsDir() != dir:
		return fmt.Errorf("%s is a folder; want a file made by docker save", path)
	}
	return nil
}
