package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// archiveSource is a file made by "docker save", with one image in it.
type archiveSource struct {
	store *Store
	path  string
}

func (a archiveSource) resolve(context.Context) (content, error) {
	if err := checkFile(a.path, false); err != nil {
		return content{}, fmt.Errorf("open image archive: %w", err)
	}
	img, err := tarball.ImageFromPath(a.path, nil)
	if err != nil {
		return content{}, fmt.Errorf("read image archive %s (want one image, saved by docker save, not compressed): %w", a.path, err)
	}
	id, err := img.ConfigName()
	if err != nil {
		return content{}, fmt.Errorf("read image archive %s: %w", a.path, err)
	}
	return content{key: key(id), digest: id.String(), unpack: func(ctx context.Context, dir string) (record, error) {
		return a.store.unpackImage(ctx, img, openLayer, dir)
	}}, nil
}

// engineSource is an image of a local engine. It is kept by the engine's ID for
// it, under names of its own: the engine is trusted to have named it rightly.
type engineSource struct {
	store  *Store
	engine Engine
	id     string
}

func (e engineSource) resolve(context.Context) (content, error) {
	id, err := v1.NewHash(e.id)
	if err != nil {
		return content{}, fmt.Errorf("read the engine's image ID: %w", err)
	}
	return content{key: "engine-" + key(id), digest: id.String(), unpack: func(ctx context.Context, dir string) (record, error) {
		saved := filepath.Join(dir, "saved.tar")
		if err := e.engine.SaveImage(ctx, e.id, saved); err != nil {
			return record{}, fmt.Errorf("save it from the engine: %w", err)
		}
		defer os.Remove(saved)
		img, err := tarball.ImageFromPath(saved, nil)
		if err != nil {
			return record{}, fmt.Errorf("read what the engine saved: %w", err)
		}
		return e.store.unpackImage(ctx, img, openLayer, dir)
	}}, nil
}

// layoutSource is a folder in the OCI image layout, with an optional tag.
type layoutSource struct {
	store *Store
	path  string
}

// refName is the annotation that tags an image of a layout.
const refName = "org.opencontainers.image.ref.name"

func (l layoutSource) resolve(context.Context) (content, error) {
	path, tag := splitTag(l.path)
	if err := checkFile(path, true); err != nil {
		return content{}, fmt.Errorf("open image layout: %w", err)
	}
	index, err := layout.ImageIndexFromPath(path)
	if err != nil {
		return content{}, fmt.Errorf("read image layout %s: %w", path, err)
	}
	img, digest, err := l.store.pick(index, tag, 0)
	if err != nil {
		return content{}, fmt.Errorf("read image layout %s: %w", path, err)
	}
	return content{key: key(digest), digest: digest.String(), unpack: func(ctx context.Context, dir string) (record, error) {
		if err := checkManifest(img, digest); err != nil {
			return record{}, err
		}
		return l.store.unpackImage(ctx, img, openLayer, dir)
	}}, nil
}

// splitTag splits "PATH:TAG"; a path that exists as it stands has no tag.
func splitTag(s string) (path, tag string) {
	if _, err := os.Stat(s); err == nil {
		return s, ""
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.ContainsRune(s[i:], '/') {
		return s, ""
	}
	return s[:i], s[i+1:]
}

// pick finds the one image for this platform, with the tag if one is given.
func (s *Store) pick(index v1.ImageIndex, tag string, depth int) (v1.Image, v1.Hash, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, v1.Hash{}, err
	}
	want, err := v1.ParsePlatform(s.opts.Platform)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	var found []v1.Descriptor
	for _, d := range m.Manifests {
		if tag != "" && d.Annotations[refName] != tag {
			continue
		}
		if d.Platform != nil && (d.Platform.OS != want.OS || d.Platform.Architecture != want.Architecture) {
			continue
		}
		if d.MediaType.IsImage() || d.MediaType.IsIndex() {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0 && tag != "":
		return nil, v1.Hash{}, fmt.Errorf("it has no image tagged %q for %s", tag, s.opts.Platform)
	case len(found) == 0:
		return nil, v1.Hash{}, fmt.Errorf("it has no image for %s", s.opts.Platform)
	case len(found) > 1:
		return nil, v1.Hash{}, fmt.Errorf("it has %d images for %s; name one as oci:PATH:TAG", len(found), s.opts.Platform)
	}
	d := found[0]
	if d.MediaType.IsImage() {
		img, err := index.Image(d.Digest)
		return img, d.Digest, err
	}
	if depth > 3 {
		return nil, v1.Hash{}, fmt.Errorf("its indexes are nested too deeply")
	}
	inner, err := index.ImageIndex(d.Digest)
	if err != nil {
		return nil, v1.Hash{}, err
	}
	return s.pick(inner, "", depth+1)
}

// key is the name of a digest's folder.
func key(h v1.Hash) string { return h.Algorithm + "-" + h.Hex }
