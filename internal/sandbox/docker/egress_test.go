package docker

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/egress"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/sandboxtest"
)

// TestPublicNetworkDoesNotReachTheHost: the gateway of the job's bridge is the host itself.
func TestPublicNetworkDoesNotReachTheHost(t *testing.T) {
	r := engine(t)
	r.options.Guard = egress.Guard
	listener, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("!"))
			c.Close()
		}
	}()
	defer func() { listener.Close(); <-served }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	rootfs := t.TempDir()
	sandboxtest.Build(t, filepath.Join(rootfs, "testprog"))
	spec := newSpec(t, "public")
	spec.Network = glovebox.NetworkPublic
	b, err := r.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	bridge, err := net.InterfaceByName(bridgeName(spec.ID))
	if err != nil {
		t.Fatal(err)
	}
	addrs, err := bridge.Addrs()
	if err != nil || len(addrs) == 0 {
		t.Fatal(addrs, err)
	}
	gateway, _, err := net.ParseCIDR(addrs[0].String())
	if err != nil {
		t.Fatal(err)
	}
	targets := []string{"tcp," + gateway.String() + ":" + port, "tcp,172.17.0.1:" + port, "tcp,169.254.169.254:80", "tcp,10.0.0.1:80"}
	var out bytes.Buffer
	step := sandbox.Step{Key: "dial", Image: &image.Image{Rootfs: rootfs}, Argv: append([]string{"/testprog", "dial"}, targets...), Dir: sandbox.WorkspaceDir}
	if _, err := b.Run(t.Context(), step, &out, &out); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "open") || strings.Count(out.String(), "\n") < len(targets) {
		t.Errorf("a step reached the host or a private network:\n%s", out.String())
	}
}
