package egress

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/egress/egresstest"
)

func TestPublic(t *testing.T) {
	if !egresstest.Isolated(t) {
		return
	}
	dropForwarding(t)
	n := create(t, "a", glovebox.NetworkPublic)
	if want := "nameserver " + egresstest.Resolver + "\n"; string(n.ResolvConf) != want {
		t.Errorf("resolv.conf is %q, want %q", n.ResolvConf, want)
	}
	check := func() {
		t.Helper()
		for _, network := range []string{"tcp", "udp"} {
			for _, a := range append(egresstest.Public(), egresstest.DNS()...) {
				if err := exchange(n, network, a); err != nil {
					t.Errorf("%s %s is refused: %v", network, a, err)
				}
			}
			for _, a := range egresstest.Private() {
				start := time.Now()
				if err := exchange(n, network, a); err == nil {
					t.Errorf("%s %s is reached", network, a)
				}
				if took := time.Since(start); network == "tcp" && took > time.Second {
					t.Errorf("%s %s is refused after %v only", network, a, took)
				}
			}
		}
	}
	check()

	// Neither another job nor the host's end of the pair is reached, whatever listens there.
	other := create(t, "b", glovebox.NetworkPublic)
	for _, a := range []string{jobAddress(t, other), jobAddress(t, n)} {
		own := netip.MustParseAddr(a)
		for _, to := range []string{a, own.Prev().String()} {
			if a == jobAddress(t, n) && to == a {
				continue // itself
			}
			if err := exchange(n, "tcp", net.JoinHostPort(to, "80")); err == nil {
				t.Errorf("%s is reached", to)
			}
		}
	}

	// A ruleset that somebody flushed is back after Guard, and making a network guards.
	c, err := nftables.New()
	must(t, err)
	c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: tableName})
	must(t, c.Flush())
	must(t, Guard(t.Context()))
	check()
}

func TestNone(t *testing.T) {
	if !egresstest.Isolated(t) {
		return
	}
	n := create(t, "a", glovebox.NetworkNone)
	inside(t, n, func() {
		links, err := netlink.LinkList()
		must(t, err)
		if len(links) != 1 || links[0].Attrs().Name != "lo" {
			t.Errorf("links: %v", links)
		}
	})
	if err := exchange(n, "tcp", egresstest.Public()[0]); err == nil {
		t.Error("the internet is reached")
	}
}

func TestForgedSource(t *testing.T) {
	if !egresstest.Isolated(t) {
		return
	}
	n := create(t, "a", glovebox.NetworkPublic)
	inside(t, n, func() {
		link, err := netlink.LinkByName("eth0")
		must(t, err)
		addr, err := netlink.ParseAddr("198.51.100.7/32")
		must(t, err)
		must(t, netlink.AddrAdd(link, addr))
		d := net.Dialer{Timeout: 300 * time.Millisecond, LocalAddr: &net.TCPAddr{IP: addr.IP}}
		if c, err := d.Dial("tcp", egresstest.Public()[0]); err == nil {
			c.Close()
			t.Error("a forged source address came through")
		}
	})
}

func TestCloseAndSweep(t *testing.T) {
	if !egresstest.Isolated(t) {
		return
	}
	n := create(t, "a", glovebox.NetworkPublic)
	for range 2 {
		must(t, n.Close())
	}
	wantTraces(t, 0)
	create(t, "a", glovebox.NetworkPublic)
	create(t, "b", glovebox.NetworkNone)
	other, err := Create(t.Context(), Spec{ID: "c", Instance: "test2", Policy: glovebox.NetworkPublic})
	must(t, err)
	for range 2 {
		must(t, Sweep(t.Context(), "test"))
	}
	wantTraces(t, 2)
	must(t, other.Close())
	wantTraces(t, 0)
	if _, err := Create(t.Context(), Spec{ID: "d", Instance: "test", Policy: "all"}); err == nil {
		t.Error("an unknown policy was accepted")
	}
	wantTraces(t, 0)
}

func TestParseResolvers(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"nameserver 127.0.0.53\n": "",
		"# nameserver 9.9.9.9\nnameserver 10.0.0.2\noptions ndots:5\nsearch corp.example": "nameserver 10.0.0.2\n",
		"nameserver ::1\nnameserver fe80::1%eth0\nnameserver 2001:db8::53\n":              "nameserver 2001:db8::53\n",
		"nameserver nonsense\nnameserver ::ffff:10.0.0.3":                                 "nameserver 10.0.0.3\n",
	} {
		if got := parseResolvers(text); string(got.text) != want {
			t.Errorf("%q: %q, want %q", text, got.text, want)
		}
	}
}

// TestAddressesAreDistinct: no two slots share an address, and all lie in the ranges.
func TestAddressesAreDistinct(t *testing.T) {
	seen := map[netip.Addr]bool{}
	four, six := netip.MustParsePrefix(range4), netip.MustParsePrefix(range6)
	for n := range slots {
		h4, j4, h6, j6 := addresses(n)
		for _, a := range []netip.Addr{h4, j4, h6, j6} {
			if seen[a] || !four.Contains(a) && !six.Contains(a) {
				t.Fatalf("slot %d: %s", n, a)
			}
			seen[a] = true
		}
	}
}

func create(t *testing.T, id string, policy glovebox.NetworkPolicy) *Network {
	t.Helper()
	n, err := Create(t.Context(), Spec{ID: id, Instance: "test", Policy: policy})
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	return n
}

// inside calls f on a thread in the network's namespace.
func inside(t *testing.T, n *Network, f func()) {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.GetFromPath(n.Path)
		if err == nil {
			err = netns.Set(ns)
			ns.Close()
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	must(t, <-done)
}

// exchange sends a byte to an address from inside the network and waits for one.
func exchange(n *Network, network, address string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		ns, err := netns.GetFromPath(n.Path)
		if err == nil {
			err = netns.Set(ns)
			ns.Close()
		}
		if err == nil {
			err = talk(network, address)
		}
		done <- err
	}()
	return <-done
}

func talk(network, address string) error {
	c, err := net.DialTimeout(network, address, 3*time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(3 * time.Second))
	if _, err := c.Write([]byte("?")); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 1))
	return err
}

func jobAddress(t *testing.T, n *Network) string {
	t.Helper()
	var found string
	inside(t, n, func() {
		link, err := netlink.LinkByName("eth0")
		must(t, err)
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V4)
		must(t, err)
		found = addrs[0].IP.String()
	})
	return found
}

// dropForwarding does what Docker does to the host: it drops forwarded packets by default.
func dropForwarding(t *testing.T) {
	t.Helper()
	c, err := nftables.New()
	must(t, err)
	policy := nftables.ChainPolicyDrop
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
	chain := c.AddChain(&nftables.Chain{Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &policy})
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Counter{}}})
	must(t, c.Flush())
}

func wantTraces(t *testing.T, want int) {
	t.Helper()
	entries, err := os.ReadDir("/run/netns")
	must(t, err)
	links, err := netlink.LinkList()
	must(t, err)
	var found bytes.Buffer
	count := len(entries)
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Name, Prefix) {
			count++
			found.WriteString(l.Attrs().Name + " ")
		}
	}
	if count != want {
		t.Errorf("%d namespaces and links, want %d: %v %s", count, want, entries, &found)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
