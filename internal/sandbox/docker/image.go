package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// SaveImage writes an image of the engine to a new file, as docker save does.
func (r *Runtime) SaveImage(ctx context.Context, id, path string) error {
	in, err := r.client.ImageSave(ctx, []string{id})
	if err != nil {
		return fmt.Errorf("save image %s: %w", id, err)
	}
	defer in.Close()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("save image %s: %w", id, err)
	}
	_, err = io.Copy(out, in)
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("save image %s: %w", id, err)
	}
	return nil
}
