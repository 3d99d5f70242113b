// Package egress turns a network policy into what enforces it: a network
// namespace a job with a veth pair, and nftables rules outside of it. One model serves
// every runtime: the rules hold for each interface whose name begins with Prefix, also
// for bridges that another runtime makes. It must not know jobs or runtimes.
//
// What is refused is decided by a packet's destination address, on its way out of the
// host: names and redirects gain nothing. The rules are there before a namespace has
// an interface, and without them no namespace is made.
package egress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"sync"

	"github.com/vishvananda/netns"

	"github.com/glovebox-dev/glovebox"
)

// Prefix begins the name of every interface that the rules are for.
const Prefix = "gbx"

// Spec says whose network it is and what it may reach.
type Spec struct {
	// ID is the sandbox's, Instance its executor's: lower-case letters, digits, "-", "_" and ".".
	ID, Instance string
	Policy       glovebox.NetworkPolicy
}

// Network is one job's network.
type Network struct {
	// Path is the network namespace's, to be joined by the runtime.
	Path string
	// ResolvConf is the text of the job's /etc/resolv.conf; nil without a network.
	ResolvConf []byte

	name, link string
}

var names = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`) })

// namespaceName is a namespace's file name; "~" is in no name, so that no instance's is the beginning of another's.
func namespaceName(instance, id string) string { return Prefix + "~" + instance + "~" + id }

// Create makes a network namespace with what the policy allows: only a loopback for
// "none", a way out for "public". After an error nothing is left behind.
func Create(ctx context.Context, spec Spec) (_ *Network, err error) {
	if !names().MatchString(spec.ID) || !names().MatchString(spec.Instance) {
		return nil, fmt.Errorf("create network: sandbox ID %q of instance %q is not a name", spec.ID, spec.Instance)
	}
	name := namespaceName(spec.Instance, spec.ID)
	n := &Network{Path: "/run/netns/" + name, name: name}
	var servers resolvers
	switch spec.Policy {
	case glovebox.NetworkNone:
	case glovebox.NetworkPublic:
		if servers, err = hostResolvers(); err == nil {
			n.ResolvConf = servers.text
			err = guard(ctx, servers)
		}
	default:
		err = fmt.Errorf("network policy %q: %w", spec.Policy, glovebox.ErrUnsupported)
	}
	if err != nil {
		return nil, fmt.Errorf("create network: %w", err)
	}
	if err := makeNamespace(name); err != nil {
		return nil, fmt.Errorf("create network namespace: %w", err)
	}
	if err := n.connect(spec.Policy); err != nil {
		return nil, errors.Join(fmt.Errorf("create network: %w", err), n.Close())
	}
	return n, nil
}

// makeNamespace makes a named namespace, as "ip netns add" does, from a thread of its own.
func makeNamespace(name string) error {
	made := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread, now in the new namespace, ends
		if err := os.MkdirAll("/run/netns", 0o755); err != nil {
			made <- err
			return
		}
		ns, err := netns.NewNamed(name)
		if err == nil {
			err = ns.Close()
		}
		made <- err
	}()
	return <-made
}

// Close removes the namespace and its link. It may be called twice.
func (n *Network) Close() error {
	var errs []error
	if n.link != "" {
		errs = append(errs, removeLink(n.link))
	}
	if err := netns.DeleteNamed(n.name); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, fmt.Errorf("remove network namespace: %w", err))
	}
	return errors.Join(errs...)
}

// Guard puts the rules in force, replacing whatever became of them. A runtime with
// bridges of its own calls it before each start; so may a timer.
func Guard(ctx context.Context) error {
	servers, err := hostResolvers()
	if err != nil {
		return err
	}
	return guard(ctx, servers)
}

// ResolvConf is the text of /etc/resolv.conf for a job with a network.
func ResolvConf() ([]byte, error) {
	servers, err := hostResolvers()
	return servers.text, err
}

// Sweep removes the networks that an instance left.
func Sweep(_ context.Context, instance string) error {
	entries, err := os.ReadDir("/run/netns")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("sweep networks: %w", err)
	}
	errs := []error{sweepLinks(instance)}
	prefix := namespaceName(instance, "")
	for _, e := range entries {
		if len(e.Name()) > len(prefix) && e.Name()[:len(prefix)] == prefix {
			errs = append(errs, (&Network{name: e.Name()}).Close())
		}
	}
	return errors.Join(errs...)
}
