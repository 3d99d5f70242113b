// Package egress turns a network policy into what enforces it: a network
// namespace a job with a veth pair, and nftables rules outside of it. One model serves
// every runtime. It must not know jobs or runtimes.
package egress

import (
	"context"
	"errors"

	"github.com/glovebox-dev/glovebox"
)

// Spec says whose network it is and what it may reach.
type Spec struct {
	ID, Instance string
	Policy       glovebox.NetworkPolicy
}

// Network is one job's network.
type Network struct {
	// Path is the network namespace's.
	Path string
	// ResolvConf is the text of the job's /etc/resolv.conf.
	ResolvConf []byte
}

// Create makes a network.
func Create(ctx context.Context, spec Spec) (*Network, error) { return nil, errors.ErrUnsupported }

// Close removes it.
func (n *Network) Close() error { return nil }

// Sweep removes what an instance left.
func Sweep(ctx context.Context, instance string) error { return nil }
