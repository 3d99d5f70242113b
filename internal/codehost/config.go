package codehost

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Config says which code host, and with what right.
type Config struct {
	// Kind is one of the Kind constants; Detect's answer for URL when empty.
	Kind string
	// URL is where people see the host: "https://github.com", "https://git.example.org/sub". For KindGit
	// it is what repository names are appended to: an https or ssh URL, or a folder.
	URL string
	// Token is sent to that host alone.
	Token string
	// Insecure allows plain HTTP to a host that is not this machine: token and code are then readable on the way.
	Insecure bool
	// Client carries the requests; only its Transport is used. One with sensible time-outs when nil.
	Client *http.Client
	// Timeout bounds one request with its answer (30 s). MaxBody bounds an answer (16 MiB).
	Timeout time.Duration
	MaxBody int64
	// MaxWait is how long a request may wait for a rate limit to pass (5 s). A longer one is a RateLimitError at once.
	MaxWait time.Duration
	// MaxRepositories bounds Search (10 000).
	MaxRepositories int
	// Now and Sleep are the clock's, for tests.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&c.Timeout, 30*time.Second)
	set(&c.MaxWait, 5*time.Second)
	if c.MaxBody <= 0 {
		c.MaxBody = 16 << 20
	}
	if c.MaxRepositories <= 0 {
		c.MaxRepositories = 10_000
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Sleep == nil {
		c.Sleep = sleep
	}
	return c
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Detect names the kind of the host at an address, "" if the address does not tell.
func Detect(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Hostname())
	first, _, _ := strings.Cut(host, ".")
	switch {
	case host == "github.com", strings.HasSuffix(host, ".ghe.com"), first == "github":
		return KindGitHub
	case host == "gitlab.com", first == "gitlab":
		return KindGitLab
	case host == "codeberg.org", first == "gitea", first == "forgejo":
		return KindGitea
	}
	return ""
}

// New returns the host that c describes. It sends nothing.
func New(c Config) (Host, error) {
	c = c.withDefaults()
	if c.Kind == "" {
		if c.Kind = Detect(c.URL); c.Kind == "" {
			return nil, fmt.Errorf("code host %q: its address does not tell its kind: say github, gitlab, gitea or git", printable(c.URL, 200))
		}
	}
	if c.Kind == KindGit {
		return newPlain(c)
	}
	web, err := webURL(c)
	if err != nil {
		return nil, err
	}
	switch c.Kind {
	case KindGitHub:
		return newGitHub(c, web)
	case KindGitLab:
		return newGitLab(c, web)
	case KindGitea:
		return newGitea(c, web)
	}
	return nil, fmt.Errorf("code host: unknown kind %q: want github, gitlab, gitea or git", printable(c.Kind, 50))
}

// webURL checks the address and returns it with no slash at its end.
func webURL(c Config) (*url.URL, error) {
	if strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, errors.New("code host: the token holds spaces, control characters or letters that no token has")
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Hostname() == "" || strings.HasPrefix(u.Host, "-") {
		return nil, errors.New("code host: its address is no URL such as https://git.example.org")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("code host %s: the address holds credentials, a query or a fragment: give the token apart", u.Host)
	}
	switch {
	case u.Scheme == "https":
	case u.Scheme == "http" && (c.Insecure || loopback(u.Hostname())):
	case u.Scheme == "http":
		return nil, fmt.Errorf("code host %s: plain HTTP would show the token to everybody on the way: use https, or allow it for this host", u.Host)
	default:
		return nil, fmt.Errorf("code host %s: want an https address", u.Host)
	}
	u.Path, u.RawPath = strings.TrimRight(u.Path, "/"), ""
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// PushUsername is the user name that goes with a token as password, for git over HTTP.
func PushUsername(kind string) string {
	switch kind {
	case KindGitHub:
		return "x-access-token"
	case KindGitLab:
		return "oauth2"
	}
	return "token"
}
