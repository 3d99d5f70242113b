package e2e

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
)

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
