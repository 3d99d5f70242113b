package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// TestOutageFake and TestOutageGvisor put a bad network, and bad servers, between server and executor.
func TestOutageFake(t *testing.T) {
	t.Parallel()
	outages(t, "fake", nil)
}

func TestOutageGvisor(t *testing.T) {
	newLab(t, "gvisor")
	outages(t, "gvisor", map[string]func(*lab){
		"connections forgotten":    func(l *lab) { held(l, forget) },
		"stale sandbox is stopped": staleSandbox,
	})
}

func outages(t *testing.T, runtime string, more map[string]func(*lab)) {
	tests := map[string]func(*testing.T){}
	for name, test := range map[string]func(*lab){
		"connections paused": func(l *lab) { held(l, resume) },
		"connections reset":  func(l *lab) { held(l, reset) },
		"stale result":       staleResult,
		"bad answers":        badAnswers,
	} {
		tests[name] = func(t *testing.T) { test(newLab(t, runtime)) }
	}
	for name, test := range more {
		tests[name] = func(t *testing.T) { test(newLab(t, runtime)) }
	}
	together(t, tests)
}

// held: the network swallows all packets for a while, shorter than a lease.
func held(l *lab, after afterwards) {
	l.serve()
	network := l.network()
	l.execute("one", network.addr())
	id := l.submit(l.counting(60, 50*time.Millisecond))
	l.reaches(id, 1, 5)
	network.cut()
	time.Sleep(1500 * time.Millisecond) // the outage
	network.heal(after)
	l.completes(id, 1, 60)
	l.leavesNothing()
}

// staleResult: a lease runs out while its executor can't be reached but goes on; what that one
// reports afterwards is refused.
func staleResult(l *lab) {
	l.leaseTTL = shortLease
	l.serve()
	network := l.network()
	stale := l.execute("one", network.addr())
	id := l.submit(l.counting(20, 50*time.Millisecond))
	l.reaches(id, 1, 3)
	network.cut()
	l.execute("two", l.addr)
	l.reaches(id, 2, 3)
	network.heal(resume)
	l.completes(id, 2, 20)
	l.until("the stale executor gives up", func() bool { return strings.Contains(stale.log.String(), `"msg":"job ended"`) })
	l.leavesNothing()
	l.hasNoJobFolders("one")
	l.hasNoJobFolders("two")
	if lines := l.lines(id, 1); len(lines) >= 20 {
		l.Errorf("the stale attempt's log grew to %d lines", len(lines))
	}
}

// staleSandbox: as staleResult, while the job still runs.
func staleSandbox(l *lab) {
	l.leaseTTL = shortLease
	l.serve()
	network := l.network()
	stale := l.execute("one", network.addr())
	id := l.submit(l.counting(300, 50*time.Millisecond))
	l.reaches(id, 1, 3)
	network.cut()
	l.execute("two", l.addr)
	l.reaches(id, 2, 3)
	network.heal(resume)
	l.until("the stale executor gives up", func() bool { return strings.Contains(stale.log.String(), glovebox.ErrLeaseLost.Error()) })
	if job, err := l.client.Job(l.Context(), id); err != nil || job.State != glovebox.StateProcessing {
		l.Errorf("the job is %s, %v", job.State, err)
	}
	l.hasNoJobFolders("one")
	l.completes(id, 2, 300)
	l.leavesNothing()
}

// badAnswers: something between executor and server answers in the server's place, while a job runs and at its end.
func badAnswers(l *lab) {
	l.serve()
	middle := l.middle()
	l.execute("one", middle.addr)
	const lines = 120
	id := l.submit(l.counting(lines, 40*time.Millisecond))
	l.reaches(id, 1, 3)
	page := "<html><title>We will be back soon</title>"
	for _, bad := range []struct {
		status int
		body   string
	}{
		{500, page}, {200, page}, {200, "{}"}, {200, ""}, {401, page}, {403, page}, {404, page}, {409, page}, {416, page}, {422, page}, {302, page}, {503, "null"}, {0, ""},
	} {
		before := middle.requests.Load()
		middle.spoil(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if bad.status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(bad.status)
			_, _ = io.WriteString(w, bad.body)
		})
		const long = 150 * time.Millisecond
		time.Sleep(long)
		if n := middle.requests.Load() - before; n > 20 {
			l.Errorf("%d requests in %v while the answer is %d %q", n, long, bad.status, bad.body)
		}
	}
	var uploads, results atomic.Int32
	middle.spoil(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && uploads.Add(1) == 1:
			_, _ = io.WriteString(w, page) // looks like success
		case strings.HasSuffix(r.URL.Path, "/complete"):
			switch results.Add(1) {
			case 1:
				_, _ = io.WriteString(w, page)
			case 2: // taken, but the answer is lost
				middle.next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			default:
				middle.next.ServeHTTP(w, r)
			}
		default:
			middle.next.ServeHTTP(w, r)
		}
	})
	l.completes(id, 1, lines)
	l.leavesNothing()
	l.hasNoJobFolders("one")
	if u, r := uploads.Load(), results.Load(); u != 2 || r != 3 {
		l.Errorf("%d uploads and %d results were sent, want 2 and 3", u, r)
	}
}

// middle is an HTTP proxy that can answer by itself.
type middle struct {
	addr     string
	next     http.Handler
	requests atomic.Int64
	answer   atomic.Pointer[http.HandlerFunc]
}

func (l *lab) middle() *middle {
	l.Helper()
	target := &url.URL{Scheme: "http", Host: l.addr}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, err.Error(), http.StatusBadGateway)
		},
	}
	m := &middle{next: proxy}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.requests.Add(1)
		if answer := m.answer.Load(); answer != nil {
			(*answer)(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	l.Cleanup(front.Close)
	m.addr = front.Listener.Addr().String()
	return m
}

// spoil answers all further requests by f; nil passes them on again.
func (m *middle) spoil(f http.HandlerFunc) {
	if f == nil {
		m.answer.Store(nil)
		return
	}
	m.answer.Store(&f)
}

// afterwards is what becomes of connections that were there during an outage.
type afterwards int

const (
	resume afterwards = iota // what was on its way arrives
	reset                    // they are closed
	forget                   // nothing ever comes through them again
)

// network carries TCP connections to the server, until it is cut: then whatever is sent, also
// the beginning of a connection, is swallowed without an answer.
type network struct {
	listener net.Listener
	target   string
	all      sync.WaitGroup
	ctx      context.Context

	mu sync.Mutex
	// passing is closed while packets pass.
	passing chan struct{}
	links   map[*link]bool
}

// link is one connection's two ends; nothing passes through it any more once it is forgotten.
type link struct {
	client, server net.Conn
	forgotten      bool
}

func (l *lab) network() *network {
	l.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		l.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &network{listener: listener, target: l.addr, ctx: ctx, passing: make(chan struct{}), links: map[*link]bool{}}
	close(n.passing)
	n.all.Go(n.accept)
	l.Cleanup(func() {
		cancel()
		listener.Close()
		n.heal(reset)
		n.all.Wait()
	})
	return n
}

func (n *network) addr() string { return n.listener.Addr().String() }

func (n *network) accept() {
	for {
		client, err := n.listener.Accept()
		if err != nil {
			return
		}
		n.all.Go(func() { n.carry(client) })
	}
}

// carry makes a link of a client's connection and copies until one side ends.
func (n *network) carry(client net.Conn) {
	k := &link{client: client}
	n.mu.Lock()
	n.links[k] = true
	n.mu.Unlock()
	defer n.drop(k)
	if !n.pass(k) {
		return
	}
	server, err := net.Dial("tcp", n.target)
	if err != nil {
		return
	}
	n.mu.Lock()
	k.server = server
	n.mu.Unlock()
	var both sync.WaitGroup
	copying := func(dst, src net.Conn) {
		defer n.close(k)
		buf := make([]byte, 32<<10)
		for {
			size, err := src.Read(buf)
			if !n.pass(k) {
				return
			}
			if _, werr := dst.Write(buf[:size]); err != nil || werr != nil {
				return
			}
		}
	}
	both.Go(func() { copying(server, client) })
	both.Go(func() { copying(client, server) })
	both.Wait()
}

// pass waits until packets of the link may pass; false when they never will.
func (n *network) pass(k *link) bool {
	for {
		n.mu.Lock()
		passing, forgotten, known := n.passing, k.forgotten, n.links[k]
		n.mu.Unlock()
		switch {
		case !known:
			return false
		case forgotten:
			<-n.ctx.Done()
			return false
		}
		select {
		case <-passing:
			n.mu.Lock()
			same := n.passing == passing && !k.forgotten && n.links[k]
			n.mu.Unlock()
			if same {
				return true
			}
		case <-n.ctx.Done():
			return false
		}
	}
}

func (n *network) drop(k *link) {
	n.mu.Lock()
	delete(n.links, k)
	n.mu.Unlock()
	n.close(k)
}

func (n *network) close(k *link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k.client.Close()
	if k.server != nil {
		k.server.Close()
	}
}

// cut begins an outage.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.passing = make(chan struct{})
}

// heal ends it.
func (n *network) heal(after afterwards) {
	n.mu.Lock()
	links := make([]*link, 0, len(n.links))
	for k := range n.links {
		links = append(links, k)
		k.forgotten = after == forget
		if after == reset {
			delete(n.links, k)
		}
	}
	select {
	case <-n.passing:
	default:
		close(n.passing)
	}
	n.mu.Unlock()
	if after == reset {
		for _, k := range links {
			n.close(k)
		}
	}
}
