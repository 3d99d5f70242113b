package server

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

// dial opens a connection and sends the beginning of a request.
func (f *fixture) dial(request string) net.Conn {
	f.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(conn, request); err != nil {
		f.Fatal(err)
	}
	return conn
}

// A body that stops coming, and one that only trickles, are given up.
func TestSlowBodies(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Idle = 200 * time.Millisecond })
	_, _, lease := f.held()
	head := "POST /api/v1/attempts/" + lease.JobID + "/1/log?offset=0 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + lease.Token + "\r\nContent-Length: 100000\r\n\r\n"
	begin := time.Now()
	conn := f.dial(head + "x")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("a body that stops: %+v, %v", resp, err)
	}
	// Nor can one be sent slowly to who refuses it unread.
	conn = f.dial("POST /api/v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a body that never comes, without a credential: %+v, %v", resp, err)
	}
	trickle := f.dial(head)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if _, err := trickle.Write([]byte("x")); err != nil {
					return
				}
			case <-stop:
				return
			}
		}
	}()
	if resp, err := http.ReadResponse(bufio.NewReader(trickle), nil); err == nil && resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("a body that trickles: %+v", resp)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// A waiting claim must outlive the deadline that its body was read under.
func TestWaitOutlivesBodyDeadline(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Idle = 100 * time.Millisecond; c.BodyTime = time.Second })
	begin := time.Now()
	leases, err := f.executor().Claim(t.Context(), glovebox.Offer{Executor: "e1", Max: 1, Wait: glovebox.Duration(500 * time.Millisecond)})
	if err != nil || len(leases) != 0 || time.Since(begin) < 400*time.Millisecond {
		t.Errorf("%v, %v after %v", leases, err, time.Since(begin))
	}
}

// A follower that does not read is cut, and holds nothing.
func TestFollowerThatDoesNotRead(t *testing.T) {
	f := newFixture(t, func(c *Config) { c.Idle = 300 * time.Millisecond })
	_, executor, lease := f.held()
	secret := f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleViewer})
	conn := f.dial("GET /api/v1/jobs/" + lease.JobID + "/log?follow=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + secret + "\r\n\r\n")
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetReadBuffer(4096)
	}
	f.eventually("the follower is there", func() bool { return testutil.ToFloat64(f.server.Metrics.followers) == 1 })
	batch := []byte(strings.Repeat(string(logLine(t, strings.Repeat("x", 10_000))), 400))
	var end int64
	f.eventually("the follower is cut", func() bool {
		var err error
		if end, err = executor.AppendLog(t.Context(), lease.LeaseRef, end, batch); err != nil {
			t.Fatal(err)
		}
		return testutil.ToFloat64(f.server.Metrics.followers) == 0
	})
}

func (f *fixture) eventually(what string, is func() bool) {
	f.Helper()
	for deadline := time.Now().Add(15 * time.Second); !is(); {
		if time.Now().After(deadline) {
			f.Fatalf("not in time: %s", what)
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-f.Context().Done():
			return
		}
	}
}

// A shutdown ends followers and waiting claims and returns when nobody is left.
func TestShutdown(t *testing.T) {
	f := newFixture(t)
	user, executor, lease := f.held()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- f.server.Serve(ctx, listener, f.server.Handler(nil)) }()
	f.url = "http://" + listener.Addr().String()
	_ = executor
	secret := f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleViewer})
	follower, claimer := f.client(secret), f.executor()
	followed, claimed := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := follower.FollowLog(t.Context(), lease.JobID, api.LogQuery{}, func(api.LogEvent) error { return nil })
		followed <- err
	}()
	go func() {
		_, err := claimer.Claim(t.Context(), glovebox.Offer{Executor: "e1", Max: 1, Wait: glovebox.Duration(time.Minute)})
		claimed <- err
	}()
	f.eventually("the follower is there", func() bool { return testutil.ToFloat64(f.server.Metrics.followers) == 1 })
	stop()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	if err := <-followed; err == nil {
		t.Error("the follower was told that the job is over")
	}
	<-claimed
	_ = user
}
