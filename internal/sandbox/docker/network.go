package docker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"github.com/glovebox-dev/glovebox"
)

// bridgeName is the name of the job's bridge: the egress rules match its
// beginning, "gbx", and the kernel allows 15 bytes.
func bridgeName(id string) string {
	sum := sha256.Sum256([]byte(id))
	return "gbx" + hex.EncodeToString(sum[:6])
}

// createNetwork makes the job's own bridge, with the egress rules in force before it exists.
func (b *box) createNetwork(ctx context.Context) error {
	if err := b.guard(ctx); err != nil {
		return err
	}
	name := bridgeName(b.spec.ID)
	// The call is seen through even if ctx ends: half done, there would be no ID to remove.
	call, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
	defer cancel()
	made, err := b.runtime.client.NetworkCreate(call, name, client.NetworkCreateOptions{
		Driver: "bridge",
		Labels: map[string]string{labelInstance: b.spec.Instance, labelSandbox: b.spec.ID},
		Options: map[string]string{
			"com.docker.network.bridge.name":       name,
			"com.docker.network.bridge.enable_icc": "false",
		},
	})
	if err != nil {
		return fmt.Errorf("create network: %w", err)
	}
	b.network, b.networkID = name, made.ID
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), b.runtime.removeNetwork(call, made.ID))
	}
	return nil
}

// guard makes sure that the egress rules are in force; it fails closed.
func (b *box) guard(ctx context.Context) error {
	if b.runtime.options.Guard == nil {
		return fmt.Errorf("network policy %q without egress rules: %w", b.spec.Network, glovebox.ErrUnsupported)
	}
	if err := b.runtime.options.Guard(ctx); err != nil {
		return fmt.Errorf("put egress rules in force: %w", err)
	}
	return nil
}

// removeNetwork removes a network; the engine refuses while it still lets go of a container.
func (r *Runtime) removeNetwork(ctx context.Context, id string) error {
	for {
		_, err := r.client.NetworkRemove(ctx, id, client.NetworkRemoveOptions{})
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if !errdefs.IsPermissionDenied(err) && !errdefs.IsConflict(err) { // "has active endpoints" is 403
			return fmt.Errorf("remove network: %w", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove network: %w", err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
