package egress

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// tableName is our own nftables table. A refusal in any table is final and an accept
// ends its own chain only, so that ours holds whatever order others' rules are in.
const tableName = "glovebox"

// denied4 and denied6 are what "public" does not reach: private, loopback, link-local
// (metadata services), carrier-grade NAT, benchmark, multicast and reserved ranges.
func denied4() []string {
	return []string{"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3"}
}

func denied6() []string {
	return []string{"::/127", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/32", "2002::/16",
		"fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"}
}

// guard puts forwarding and the whole table in force, replacing the table in one transaction.
func guard(ctx context.Context, servers resolvers) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := forward(); err != nil {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	table := &nftables.Table{Family: nftables.TableFamilyINet, Name: tableName}
	c.AddTable(table) // so that the deletion finds one
	c.DelTable(table)
	r := &rules{conn: c, table: c.AddTable(table)}
	if err := r.add(servers); err != nil {
		return fmt.Errorf("make network rules: %w", err)
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("set network rules: %w (nftables in the kernel, and root, are needed)", err)
	}
	if err := admit(c); err != nil {
		return fmt.Errorf("set network rules: %w", err)
	}
	return nil
}

// rules is the table being written.
type rules struct {
	conn  *nftables.Conn
	table *nftables.Table
	sets  int
}

func (r *rules) add(servers resolvers) error {
	before := nftables.ChainPriorityRef(*nftables.ChainPriorityFilter - 10)
	egress := r.conn.AddChain(&nftables.Chain{Name: "egress", Table: r.table})
	host := r.conn.AddChain(&nftables.Chain{Name: "host", Table: r.table})
	forward := r.conn.AddChain(&nftables.Chain{Name: "gbx_forward", Table: r.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: before})
	input := r.conn.AddChain(&nftables.Chain{Name: "gbx_input", Table: r.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: before})
	source := r.conn.AddChain(&nftables.Chain{Name: "gbx_source", Table: r.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})

	r.rule(forward, iifname(), jump(egress.Name))
	// Into a sandbox go answers alone.
	r.rule(forward, oifname(expr.CmpOpEq), established(), verdict(expr.VerdictAccept))
	r.rule(forward, oifname(expr.CmpOpEq), verdict(expr.VerdictDrop))
	r.rule(input, iifname(), jump(host.Name))

	// A source address that is not routed back to the interface is forged.
	r.rule(egress, forged(), verdict(expr.VerdictDrop))
	r.rule(host, forged(), verdict(expr.VerdictDrop))
	for _, chain := range []*nftables.Chain{egress, host} {
		r.rule(chain, established(), verdict(expr.VerdictAccept))
		for _, family := range []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6} {
			if err := r.dns(chain, family, servers); err != nil {
				return err
			}
		}
	}
	for _, d := range []struct {
		family byte
		ranges []string
	}{{unix.NFPROTO_IPV4, denied4()}, {unix.NFPROTO_IPV6, denied6()}} {
		set, err := r.set(d.family, d.ranges)
		if err != nil {
			return err
		}
		r.rule(egress, destination(d.family), lookup(set), reset())
		r.rule(egress, destination(d.family), lookup(set), refuse())
	}
	// Neighbours are asked for at the host's own address.
	for _, kind := range []byte{135, 136} {
		r.rule(host, l4proto(unix.IPPROTO_ICMPV6), transport(0, 1), equal([]byte{kind}), verdict(expr.VerdictAccept))
	}
	r.rule(host, reset())
	r.rule(host, refuse())

	for family, prefix := range map[byte]string{unix.NFPROTO_IPV4: range4, unix.NFPROTO_IPV6: range6} {
		set, err := r.set(family, []string{prefix})
		if err != nil {
			return err
		}
		r.rule(source, oifname(expr.CmpOpNeq), sourceAddress(family), lookup(set), expressions{&expr.Masq{}})
	}
	return nil
}

// dns lets queries to the job's own resolvers through, private ones too.
func (r *rules) dns(chain *nftables.Chain, family byte, servers resolvers) error {
	var ranges []string
	for _, a := range servers.addrs {
		if a.Is4() == (family == unix.NFPROTO_IPV4) {
			ranges = append(ranges, netip.PrefixFrom(a, a.BitLen()).String())
		}
	}
	if len(ranges) == 0 {
		return nil
	}
	for _, proto := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		set, err := r.set(family, ranges)
		if err != nil {
			return err
		}
		r.rule(chain, destination(family), lookup(set), l4proto(proto), transport(2, 2), equal([]byte{0, 53}), verdict(expr.VerdictAccept))
	}
	return nil
}

// set makes an interval set of address ranges, which must not overlap.
func (r *rules) set(family byte, ranges []string) (*nftables.Set, error) {
	r.sets++
	set := &nftables.Set{Table: r.table, Name: fmt.Sprintf("set%d", r.sets), Interval: true, KeyType: nftables.TypeIPAddr}
	if family == unix.NFPROTO_IPV6 {
		set.KeyType = nftables.TypeIP6Addr
	}
	var elements []nftables.SetElement
	for _, text := range ranges {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		elements = append(elements, nftables.SetElement{Key: p.Addr().AsSlice()})
		if end := after(p); end.IsValid() {
			elements = append(elements, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return set, r.conn.AddSet(set, elements)
}

// after is the first address behind a prefix; not valid where there is none.
func after(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < p.Addr().BitLen(); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last.Next()
}

func (r *rules) rule(chain *nftables.Chain, parts ...expressions) {
	var all expressions
	for _, p := range parts {
		all = append(all, p...)
	}
	r.conn.AddRule(&nftables.Rule{Table: r.table, Chain: chain, Exprs: all})
}

// forward makes the host hand packets on. Interfaces that learn their routes from IPv6
// routers go on doing so, which forwarding would end.
func forward() error {
	if err := sysctl("/proc/sys/net/ipv4/ip_forward", "1"); err != nil {
		return err
	}
	if !ipv6() {
		return nil
	}
	learning, err := filepath.Glob("/proc/sys/net/ipv6/conf/*/accept_ra")
	if err != nil {
		return err
	}
	for _, path := range learning {
		if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == "1" {
			_ = os.WriteFile(path, []byte("2"), 0) // an interface may vanish meanwhile
		}
	}
	return sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "1")
}

func sysctl(path, value string) error {
	b, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(b)) == value {
		return nil
	}
	if err := os.WriteFile(path, []byte(value), 0); err != nil {
		return fmt.Errorf("let packets be forwarded: %w", err)
	}
	return nil
}
