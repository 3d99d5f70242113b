package changeset

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/codehost"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// Host is a code host with the right to use it.
type Host struct {
	// Name is what specs call it.
	Name string
	// URL is where people see it; repositories whose address begins with it are its.
	URL string
	// Client talks to it.
	Client codehost.Host
	// Username and Token push to it. The token goes to addresses that the client names, and nowhere else.
	Username, Token string
	// WebhookSecret proves its deliveries; none are taken when empty.
	WebhookSecret string
	// Max is how many changesets are worked on at once; 4 when zero.
	Max int
}

var hostName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`) })

func (h Host) validate() error {
	u, err := url.Parse(h.URL)
	switch {
	case !hostName().MatchString(h.Name):
		return fmt.Errorf("code host %.40q: want a name of lower-case letters, digits, \"-\" and \".\"", h.Name)
	case h.Client == nil:
		return fmt.Errorf("code host %s: no client", h.Name)
	case err != nil || u.Hostname() == "":
		return fmt.Errorf("code host %s: its address is no URL", h.Name)
	}
	return nil
}

// slots is how many changesets of it are worked on at once.
func (h Host) slots() int {
	if h.Max <= 0 {
		return 4
	}
	return h.Max
}

// repository is the name that the host knows an address by; false when the address is not at this host.
func (h Host) repository(remote git.URL) (string, bool) {
	base, err := url.Parse(h.URL)
	if err != nil {
		return "", false
	}
	host, path := remoteParts(remote)
	switch remote.Scheme {
	case "https", "http":
		if !strings.EqualFold(host, base.Host) {
			return "", false
		}
		prefix := strings.Trim(base.Path, "/")
		rest, ok := strings.CutPrefix(strings.Trim(path, "/"), prefix)
		if !ok || prefix != "" && !strings.HasPrefix(rest, "/") {
			return "", false
		}
		path = rest
	case "ssh", "git":
		name, _, _ := strings.Cut(host, ":")
		if !strings.EqualFold(name, base.Hostname()) {
			return "", false
		}
	default:
		return "", false
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	return path, strings.Contains(path, "/")
}

// remoteParts splits an address into host, with its port, and path.
func remoteParts(remote git.URL) (host, path string) {
	if !strings.Contains(remote.Remote, "://") && remote.Scheme == "ssh" { // user@host:path
		host, path, _ = strings.Cut(remote.Remote, ":")
		if _, after, ok := strings.Cut(host, "@"); ok {
			host = after
		}
		return host, path
	}
	u, err := url.Parse(remote.Remote)
	if err != nil {
		return "", ""
	}
	return u.Host, u.Path
}

// place is where the changesets of a repository go.
type place struct {
	repo glovebox.Repository
	// host is nil for a plain remote.
	host *Host
	// name is the repository's at the host.
	name   string
	remote git.URL
}

// lane is what a slow or broken remote holds up.
func (p place) lane() string {
	if p.host != nil {
		return "host:" + p.host.Name
	}
	host, _ := remoteParts(p.remote)
	return "git:" + p.remote.Scheme + ":" + host
}

// hostName is the host's name, empty for a plain remote.
func (p place) hostName() string {
	if p.host == nil {
		return ""
	}
	return p.host.Name
}

// placeOf finds the place of a repository.
func (b *Batches) placeOf(repo glovebox.Repository) (place, error) {
	remote, err := git.ParseURL(repo.URL)
	if err != nil {
		return place{}, err
	}
	p := place{repo: repo, remote: remote}
	for i := range b.Hosts {
		h := &b.Hosts[i]
		if name, ok := h.repository(remote); ok && (p.host == nil || len(h.URL) > len(p.host.URL)) {
			p.host, p.name = h, name
		}
	}
	return p, nil
}

// repository returns a repository that the tenant may use; others are glovebox.ErrNotFound.
func (b *Batches) repository(ctx context.Context, tenant, name string) (glovebox.Repository, error) {
	repo, err := b.Repositories.Get(ctx, name)
	if err == nil && repo.Tenant != "" && repo.Tenant != tenant {
		err = glovebox.ErrNotFound
	}
	return repo, err
}

// host returns the code host of a name; nil when there is none.
func (b *Batches) host(name string) *Host {
	for i := range b.Hosts {
		if b.Hosts[i].Name == name {
			return &b.Hosts[i]
		}
	}
	return nil
}

// CodeHosts lists the code hosts, without their secrets.
func (b *Batches) CodeHosts() []glovebox.CodeHost {
	list := []glovebox.CodeHost{}
	for _, h := range b.Hosts {
		out := glovebox.CodeHost{Name: h.Name, Kind: h.Client.Kind(), URL: h.URL}
		if until, paused := b.pauses.of("host:"+h.Name, b.now()); paused {
			out.PausedUntil = &until
		}
		list = append(list, out)
	}
	return list
}

// Webhook returns the kind of a code host and the secret that proves its deliveries; empty when it sends none.
func (b *Batches) Webhook(name string) (kind, secret string) {
	h := b.host(name)
	if h == nil {
		return "", ""
	}
	return h.Client.Kind(), h.WebhookSecret
}

// pauses are the lanes that asked to be left alone.
type pauses struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// of reports whether a lane is paused, and until when.
func (p *pauses) of(lane string, now time.Time) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	until, ok := p.until[lane]
	if ok && !now.Before(until) {
		delete(p.until, lane)
		return time.Time{}, false
	}
	return until, ok
}

func (p *pauses) set(lane string, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until.After(p.until[lane]) {
		p.until[lane] = until
	}
}
