package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

// admit finds out who calls and whether the route is for them.
func (s *Server) admit(r *request, need access) error {
	switch need {
	case anybody, inBody:
		return nil
	case attempt:
		return r.readRef()
	}
	secret, ok := bearer(r.Request)
	if !ok {
		return fmt.Errorf("no bearer token: %w", glovebox.ErrUnauthorized)
	}
	if strings.HasPrefix(secret, api.JobTokenPrefix) {
		s.noteMisuse(r, secret, r.Method+" "+r.URL.Path)
		return fmt.Errorf("a job's token opens its own attempt only: %w", glovebox.ErrForbidden)
	}
	token, err := s.authenticate(r.Context(), r.RemoteAddr, secret)
	if err != nil {
		return err
	}
	if !mayEnter(token, need) {
		return fmt.Errorf("this token has not the right (needs %s): %w", need, glovebox.ErrForbidden)
	}
	r.user = token
	return nil
}

// mayEnter reports whether the token opens a route. Roles include the ones before them.
func mayEnter(token glovebox.Token, need access) bool {
	if need == machine {
		return token.Kind == glovebox.TokenExecutor
	}
	if token.Kind != glovebox.TokenUser {
		return false
	}
	rank := map[access]int{viewer: 1, operator: 2, admin: 3}
	have := rank[access(token.Role)]
	return have > 0 && rank[need] > 0 && have >= rank[need]
}

// bearer is the request's bearer token.
func bearer(r *http.Request) (string, bool) {
	scheme, secret, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	secret = strings.TrimSpace(secret)
	return secret, ok && strings.EqualFold(scheme, "Bearer") && secret != ""
}

// authenticate looks the secret up, unless its sender has presented too many wrong ones.
func (s *Server) authenticate(ctx context.Context, remote, secret string) (glovebox.Token, error) {
	if !s.guard.mayTry(remote, secret) {
		return glovebox.Token{}, errGuessing
	}
	if len(secret) > 256 {
		s.guard.failed(remote)
		return glovebox.Token{}, fmt.Errorf("no such token: %w", glovebox.ErrUnauthorized)
	}
	token, err := s.Tokens.Authenticate(ctx, secret)
	if errors.Is(err, glovebox.ErrUnauthorized) || errors.Is(err, glovebox.ErrNotFound) {
		s.guard.failed(remote)
		return glovebox.Token{}, fmt.Errorf("no such token, or it has ended: %w", glovebox.ErrUnauthorized)
	}
	if err == nil {
		s.guard.right(secret)
	}
	return token, err
}

var errGuessing = &api.Error{Status: http.StatusTooManyRequests, Code: api.CodeRateLimited,
	Message: "too many wrong credentials from this address: wait a few seconds"}

// readRef takes the attempt that the path names and the token that is to prove it.
func (r *request) readRef() error {
	secret, ok := bearer(r.Request)
	if !ok || !strings.HasPrefix(secret, api.JobTokenPrefix) {
		return fmt.Errorf("want the attempt's job token: %w", glovebox.ErrUnauthorized)
	}
	n, err := strconv.Atoi(r.PathValue("attempt"))
	if err != nil || n < 1 {
		return invalid("attempt: want a number from 1")
	}
	r.ref = glovebox.LeaseRef{JobID: r.PathValue("id"), Attempt: n, Token: secret}
	return nil
}

// held checks that the caller holds the attempt. The token of another job's live attempt is
// forbidden, and noted on that job's timeline; any other is a lost lease.
func (s *Server) held(r *request) (glovebox.Job, error) {
	if !s.guard.mayTry(r.RemoteAddr, r.ref.Token) {
		return glovebox.Job{}, errGuessing
	}
	job, err := s.Queue.Check(r.Context(), r.ref)
	if err == nil {
		s.guard.right(r.ref.Token)
		return job, nil
	}
	return glovebox.Job{}, s.notHeld(r, err)
}

// notHeld says why an attempt's write was refused.
func (s *Server) notHeld(r *request, err error) error {
	lost := errors.Is(err, glovebox.ErrLeaseLost)
	if !lost && !errors.Is(err, glovebox.ErrNotFound) {
		return err
	}
	if own, _, lookup := s.Queue.JobByToken(r.Context(), r.ref.Token); lookup == nil {
		if own.ID == r.ref.JobID {
			return err
		}
		s.noteMisuse(r, r.ref.Token, "attempt "+strconv.Itoa(r.ref.Attempt)+" of job "+r.ref.JobID)
		return fmt.Errorf("the token is another job's: %w", glovebox.ErrForbidden)
	}
	if lost {
		return err
	}
	s.guard.failed(r.RemoteAddr)
	return fmt.Errorf("no such attempt: %w", glovebox.ErrLeaseLost)
}

// noteMisuse puts on a job's timeline that its token was used where it gives no right, unless
// its sender has filled enough timelines lately.
func (s *Server) noteMisuse(r *request, token, where string) {
	if !s.misuse.mayTry(r.RemoteAddr, "") {
		return
	}
	_, ref, err := s.Queue.JobByToken(r.Context(), token)
	if err != nil {
		return
	}
	s.misuse.failed(r.RemoteAddr)
	if err := s.Queue.Refused(r.Context(), ref, "the attempt's token was used for "+where); err != nil {
		s.Logger.Warn("note a token's misuse", "job", ref.JobID, "error", err)
	}
}

// guard slows down who guesses credentials, by remote address.
type guard struct {
	now   func() time.Time
	burst int

	mu    sync.Mutex
	addrs map[netip.Addr]*rate.Limiter
	// known are hashes of credentials that were right lately. Who presents one is let
	// through to be checked, so that a guesser behind the same proxy shuts nobody out.
	known map[[sha256.Size]byte]time.Time
}

const (
	// maxAddrs and maxKnown bound what the guard remembers.
	maxAddrs = 10_000
	maxKnown = 10_000
	// knownTime is how long a right credential is remembered.
	knownTime = 10 * time.Minute
)

func newGuard(now func() time.Time, burst int) *guard {
	return &guard{now: now, burst: burst, addrs: map[netip.Addr]*rate.Limiter{}, known: map[[sha256.Size]byte]time.Time{}}
}

// right remembers a credential that was right.
func (g *guard) right(secret string) {
	hash := sha256.Sum256([]byte(secret))
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, have := g.known[hash]; !have && len(g.known) >= maxKnown {
		clear(g.known)
	}
	g.known[hash] = g.now()
}

// network is the address whose failures are counted together: one IPv4 address or
// one IPv6 /64.
func network(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64)
		addr = prefix.Addr()
	}
	return addr
}

// mayTry reports whether the address may present the credential now.
func (g *guard) mayTry(remote, secret string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if l := g.addrs[network(remote)]; l == nil || l.TokensAt(now) >= 1 {
		return true
	}
	at, known := g.known[sha256.Sum256([]byte(secret))]
	return known && now.Sub(at) < knownTime
}

// failed counts a wrong credential.
func (g *guard) failed(remote string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	key := network(remote)
	l := g.addrs[key]
	if l == nil {
		if len(g.addrs) >= maxAddrs {
			g.forget(now)
		}
		l = rate.NewLimiter(1, g.burst)
		g.addrs[key] = l
	}
	l.AllowN(now, 1)
}

// forget drops who has not failed lately, or everybody when that is not enough.
func (g *guard) forget(now time.Time) {
	for key, l := range g.addrs {
		if l.TokensAt(now) >= float64(g.burst) {
			delete(g.addrs, key)
		}
	}
	if len(g.addrs) >= maxAddrs {
		clear(g.addrs)
	}
}
