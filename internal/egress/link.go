package egress

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// Each job has four addresses of these ranges: 198.18.0.0/15 is reserved for
// benchmarks of network devices (RFC 2544), so that no network a host is in has it, and
// the other is a unique local prefix of our own (RFC 4193). Both leave the host only behind
// its own address, and both are refused as destinations.
const (
	range4 = "198.18.0.0/15"
	range6 = "fd67:6c6f:7662::/48"
	slots  = 1 << 15
)

// aliasPrefix begins the alias of every link we make; instance and ID follow.
const aliasPrefix = "glovebox:"

// addresses are the host's and the job's ends of slot number n.
func addresses(n int) (host4, job4, host6, job6 netip.Addr) {
	four := netip.MustParsePrefix(range4).Addr().As4()
	six := netip.MustParsePrefix(range6).Addr().As16()
	at := func(i int) (netip.Addr, netip.Addr) {
		v4, v6 := four, six
		offset := n*4 + i
		v4[1] += byte(offset >> 16)
		v4[2], v4[3] = byte(offset>>8), byte(offset)
		v6[13], v6[14], v6[15] = byte(offset>>16), byte(offset>>8), byte(offset)
		return netip.AddrFrom4(v4), netip.AddrFrom16(v6)
	}
	host4, host6 = at(1)
	job4, job6 = at(2)
	return host4, job4, host6, job6
}

// connect brings up the namespace's loopback and, for "public", a veth pair with
// addresses and default routes. The pair's name is its slot's number: the kernel refuses a
// second one, which is how slots are handed out.
func (n *Network) connect(policy glovebox.NetworkPolicy) error {
	ns, err := netns.GetFromPath(n.Path)
	if err != nil {
		return err
	}
	defer ns.Close()
	inside, err := netlink.NewHandleAt(ns)
	if err != nil {
		return err
	}
	defer inside.Close()
	lo, err := inside.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := inside.LinkSetUp(lo); err != nil || policy == glovebox.NetworkNone {
		return err
	}
	slot, err := n.addVeth(ns)
	if err != nil {
		return err
	}
	outside, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	defer outside.Close()
	host4, job4, host6, job6 := addresses(slot)
	if err := configure(outside, n.link, host4, host6, false); err != nil {
		return fmt.Errorf("configure %s: %w", n.link, err)
	}
	if err := configure(inside, "eth0", job4, job6, true); err != nil {
		return fmt.Errorf("configure eth0: %w", err)
	}
	return nil
}

// addVeth makes the pair on a free slot and returns its number.
func (n *Network) addVeth(ns netns.NsHandle) (int, error) {
	h := fnv.New32a()
	h.Write([]byte(n.name))
	first := int(h.Sum32() % slots)
	for i := range 64 {
		slot := (first + i) % slots
		attrs := netlink.NewLinkAttrs()
		attrs.Name = fmt.Sprintf("%sv%04x", Prefix, slot)
		veth := &netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(ns)}
		err := netlink.LinkAdd(veth)
		if errors.Is(err, unix.EEXIST) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("make veth pair: %w", err)
		}
		n.link = attrs.Name
		alias := aliasPrefix + strings.TrimPrefix(n.name, Prefix+"~")
		if err := netlink.LinkSetAlias(veth, alias); err != nil {
			return 0, fmt.Errorf("name veth pair: %w", err)
		}
		return slot, nil
	}
	return 0, errors.New("make veth pair: no free addresses")
}

// configure gives a link its addresses, brings it up and, inside, adds the default routes.
func configure(h *netlink.Handle, name string, v4, v6 netip.Addr, inside bool) error {
	link, err := h.LinkByName(name)
	if err != nil {
		return err
	}
	if !inside {
		// No router's announcement, from inside, may change the host's routes.
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_ra", []byte("0"), 0)
	}
	type end struct {
		addr netip.Addr
		bits int
	}
	ends := []end{{v4, 30}}
	if ipv6() {
		ends = append(ends, end{v6, 126})
	}
	for _, e := range ends {
		mask := net.CIDRMask(e.bits, e.addr.BitLen())
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: e.addr.AsSlice(), Mask: mask}, Flags: unix.IFA_F_NODAD}
		if err := h.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add address %s: %w", e.addr, err)
		}
	}
	if err := h.LinkSetUp(link); err != nil {
		return err
	}
	if !inside {
		return nil
	}
	for _, e := range ends {
		route := &netlink.Route{LinkIndex: link.Attrs().Index, Gw: e.addr.Prev().AsSlice()}
		if err := h.RouteAdd(route); err != nil {
			return fmt.Errorf("add default route: %w", err)
		}
	}
	return nil
}

func ipv6() bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/disable_ipv6")
	return err == nil && strings.TrimSpace(string(b)) == "0"
}

// removeLink removes a link and its peer; one that is not there is removed.
func removeLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkDel(link)
	}
	var missing netlink.LinkNotFoundError
	if err != nil && !errors.As(err, &missing) && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove link %s: %w", name, err)
	}
	return nil
}

// sweepLinks removes the links of an instance.
func sweepLinks(instance string) error {
	links, err := netlink.LinkList()
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	var errs []error
	for _, l := range links {
		if strings.HasPrefix(l.Attrs().Alias, aliasPrefix+instance+"~") {
			errs = append(errs, removeLink(l.Attrs().Name))
		}
	}
	return errors.Join(errs...)
}
