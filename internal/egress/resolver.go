package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// resolvers are the name servers a job gets.
type resolvers struct {
	addrs []netip.Addr
	text  []byte
}

// fallbackResolvers are used where the host has none that a job could reach.
func fallbackResolvers() []netip.Addr {
	return []netip.Addr{netip.MustParseAddr("1.1.1.1"), netip.MustParseAddr("8.8.8.8")}
}

// hostResolvers are the host's name servers. A loopback one is a local forwarder that
// no job can reach: then those it forwards to are taken, from where systemd-resolved writes them.
func hostResolvers() (resolvers, error) {
	for _, path := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		b, err := os.ReadFile(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return resolvers{}, fmt.Errorf("read resolvers: %w", err)
		}
		if r := parseResolvers(string(b)); len(r.addrs) > 0 {
			return r, nil
		}
	}
	return newResolvers(fallbackResolvers()), nil
}

// parseResolvers takes the servers that are not loopback from the text of a resolv.conf. Search
// domains and options stay out: they are the host's affairs.
func parseResolvers(text string) resolvers {
	var addrs []netip.Addr
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "nameserver" {
			continue
		}
		addr, err := netip.ParseAddr(fields[1])
		if err == nil && !addr.IsLoopback() && !addr.IsUnspecified() && addr.Zone() == "" && len(addrs) < 3 {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return newResolvers(addrs)
}

func newResolvers(addrs []netip.Addr) resolvers {
	r := resolvers{addrs: addrs}
	for _, a := range addrs {
		r.text = append(r.text, "nameserver "+a.String()+"\n"...)
	}
	return r
}
