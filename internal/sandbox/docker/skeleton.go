package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// The engine knows images only as skeletons: empty folders and files to mount
// on, and the links at the top of the tree. Images of one shape share one
// skeleton, which is imported once and a few hundred bytes small.
const skeletonRepository = "glovebox/skeleton"

// initName is where the init is mounted, at the top of the root, where no link can lead it astray.
const initName = ".glovebox-init"

// skeletonTar makes the tar of a skeleton; equal entries give equal bytes.
func skeletonTar(entries []entry) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, e := range append([]entry{{name: "dev", kind: 'd'}, {name: "proc", kind: 'd'}, {name: "sys", kind: 'd'},
		{name: "work", kind: 'd'}, {name: initName, kind: 'f'}}, entries...) {
		h := &tar.Header{Name: e.name, Mode: 0o755, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		switch e.kind {
		case 'd':
			h.Typeflag, h.Name = tar.TypeDir, e.name+"/"
		case 'l':
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.link, 0o777
		default:
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, fmt.Errorf("make skeleton: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("make skeleton: %w", err)
	}
	return buf.Bytes(), nil
}

// skeleton returns the name of the engine's image for a tree of that shape, importing it at first need.
func (r *Runtime) skeleton(ctx context.Context, entries []entry) (string, error) {
	data, err := skeletonTar(entries)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	name := skeletonRepository + ":" + hex.EncodeToString(sum[:16])
	_, err = r.skeletonState(name).get(func() (struct{}, error) {
		_, err := r.client.ImageInspect(ctx, name)
		if errdefs.IsNotFound(err) {
			err = r.importSkeleton(ctx, name, data)
		}
		return struct{}{}, err
	})
	if err != nil {
		return "", fmt.Errorf("import skeleton of the image: %w", err)
	}
	return name, nil
}

func (r *Runtime) skeletonState(name string) *lazy[struct{}] {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.skeletons[name] == nil {
		r.skeletons[name] = &lazy[struct{}]{}
	}
	return r.skeletons[name]
}

func (r *Runtime) importSkeleton(ctx context.Context, name string, data []byte) error {
	out, err := r.client.ImageImport(ctx, client.ImageImportSource{Source: bytes.NewReader(data), SourceName: "-"}, name,
		client.ImageImportOptions{Message: "shape of a Glovebox image", Changes: []string{"LABEL dev.glovebox.skeleton=1"}})
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, out)
	return errors.Join(err, out.Close())
}
