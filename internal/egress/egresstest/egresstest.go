// Package egresstest makes a small internet for tests of network policies, in network
// and mount namespaces of the test's own: nothing of the real host is changed and no
// packet leaves it.
package egresstest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// Resolver is the host's name server in the small internet: a private address.
const Resolver = "10.77.0.53"

// variable tells the test binary, executed again, that it is in its own namespaces.
const variable = "GLOVEBOX_EGRESSTEST"

// Public lists addresses, with a port, that "public" reaches; each answers a byte
// over TCP and UDP. Private lists those it must refuse, which answer as well.
func Public() []string { return []string{"203.0.113.10:80", "[2001:db8:2::10]:80"} }

// Private addresses: see Public. The last ones are the host's own.
func Private() []string {
	return []string{"10.77.0.10:80", "172.30.77.10:80", "192.168.77.10:80", "100.64.77.10:80", "169.254.169.254:80",
		"[fd00:77::10]:80", "[fd00:ec2::254]:80", Resolver + ":80", "203.0.113.1:80", "[2001:db8:2::1]:80"}
}

// DNS lists addresses that are private and still reached, being the resolver's.
func DNS() []string { return []string{Resolver + ":53"} }

// Isolated returns true in a process that has the small internet around it. Otherwise it
// runs the current test in such a process, and returns false when that has passed.
func Isolated(t *testing.T) bool {
	t.Helper()
	testenv.Root(t)
	if os.Getenv(variable) != "" {
		makeInternet(t)
		return true
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		if strings.Contains(err.Error(), "operation not permitted") && !testenv.Required(testenv.NameRoot) {
			t.Skipf("needs network namespaces: %v", err)
		}
		t.Fatalf("in namespaces of its own: %v\n%s", err, out)
	}
	t.Logf("in namespaces of its own:\n%s", out)
	return false
}

// makeInternet joins this process's namespace by a veth pair with one that has all the addresses.
func makeInternet(t *testing.T) {
	t.Helper()
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	must(t, os.MkdirAll("/run/netns", 0o755))
	must(t, unix.Mount("tmpfs", "/run/netns", "tmpfs", 0, ""))
	conf := t.TempDir() + "/resolv.conf"
	must(t, os.WriteFile(conf, []byte("nameserver 127.0.0.53\nnameserver "+Resolver+"\n"), 0o644))
	must(t, unix.Mount(conf, "/etc/resolv.conf", "", unix.MS_BIND, ""))

	ready := make(chan error)
	var internet netns.NsHandle
	go func() {
		runtime.LockOSThread() // the thread stays in the other namespace
		var err error
		if internet, err = netns.New(); err == nil {
			ready <- nil
			<-ready
			err = serve(t)
		}
		ready <- err
	}()
	must(t, <-ready)
	up(t, nil, "lo")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "uplink0"
	must(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "world0", PeerNamespace: netlink.NsFd(internet)}))
	inside, err := netlink.NewHandleAt(internet)
	must(t, err)
	up(t, inside, "lo")
	addresses := map[string]bool{}
	for _, a := range append(append(Public(), Private()...), DNS()...) {
		host, _, err := net.SplitHostPort(a)
		must(t, err)
		if !strings.HasSuffix(host, ".113.1") && !strings.HasSuffix(host, ":2::1") {
			addresses[host] = true
		}
	}
	for a := range addresses {
		bits := 32
		if strings.Contains(a, ":") {
			bits = 128
		}
		address(t, inside, "world0", fmt.Sprintf("%s/%d", a, bits))
	}
	for _, a := range []string{"203.0.113.254/24", "2001:db8:2::254/64"} {
		address(t, inside, "world0", a)
	}
	for _, a := range []string{"203.0.113.1/24", "2001:db8:2::1/64"} {
		address(t, nil, "uplink0", a)
	}
	up(t, inside, "world0")
	up(t, nil, "uplink0")
	for _, gateway := range []string{"203.0.113.254", "2001:db8:2::254"} {
		link, err := netlink.LinkByName("uplink0")
		must(t, err)
		must(t, netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(gateway)}))
	}
	ready <- nil
	must(t, <-ready)
	must(t, serve(t)) // the host itself answers, too
}

// serve answers one byte on ports 80 and 53 of every address of the calling thread's namespace.
func serve(t *testing.T) error {
	for _, port := range []string{":80", ":53"} {
		l, err := net.Listen("tcp", port)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Write([]byte("!"))
				c.Close()
			}
		}()
		t.Cleanup(func() { l.Close() })
		if err := serveUDP(t, port); err != nil {
			return err
		}
	}
	return nil
}

// serveUDP listens on each address: an answer from a socket for all of them would come
// from whichever address is nearest.
func serveUDP(t *testing.T, port string) error {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		ip := a.(*net.IPNet).IP
		if ip.IsLinkLocalUnicast() && ip.To4() == nil {
			continue
		}
		p, err := net.ListenPacket("udp", net.JoinHostPort(ip.String(), port[1:]))
		if err != nil {
			return err
		}
		go func() {
			b := make([]byte, 64)
			for {
				_, from, err := p.ReadFrom(b)
				if err != nil {
					return
				}
				p.WriteTo([]byte("!"), from)
			}
		}()
		t.Cleanup(func() { p.Close() })
	}
	return nil
}

func handle(h *netlink.Handle) *netlink.Handle {
	if h == nil {
		h = &netlink.Handle{}
	}
	return h
}

func up(t *testing.T, h *netlink.Handle, name string) {
	t.Helper()
	link, err := handle(h).LinkByName(name)
	must(t, err)
	must(t, handle(h).LinkSetUp(link))
}

func address(t *testing.T, h *netlink.Handle, name, cidr string) {
	t.Helper()
	link, err := handle(h).LinkByName(name)
	must(t, err)
	addr, err := netlink.ParseAddr(cidr)
	must(t, err)
	addr.Flags = unix.IFA_F_NODAD
	must(t, handle(h).AddrAdd(link, addr))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
