package git

import (
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"unicode"
)

// URL is the address of a repository, taken apart so that its credentials
// never reach a command line.
type URL struct {
	// Remote is what git is given: no credentials (but a user name for ssh), never beginning with "-".
	Remote string
	// Scheme is the transport it needs: "https", "http", "ssh", "git" or "file".
	Scheme string
	// Username and Password were in an http(s) address.
	Username, Password string
}

var (
	scpLike = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:[^:/\s-][^\s]*$`)
	})
	credentials = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/@\s'"]+@`) })
	objectName  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(?:[0-9a-f]{40}|[0-9a-f]{64})$`) })
)

// ParseURL reads the address of a repository: an https, http, ssh, git or file URL, an
// "user@host:path" or an absolute path. Everything else, and what could be taken
// for an option or a remote helper ("ext::sh -c …"), is refused.
func ParseURL(raw string) (URL, error) {
	if err := checkText("repository address", raw); err != nil {
		return URL{}, err
	}
	if filepath.IsAbs(raw) {
		return URL{Remote: filepath.Clean(raw), Scheme: "file"}, nil
	}
	if !strings.Contains(raw, "://") {
		if !strings.Contains(raw, "::") && scpLike().MatchString(raw) {
			return URL{Remote: raw, Scheme: "ssh"}, nil
		}
		return URL{}, fmt.Errorf("repository address %q: want an https, http, ssh, git or file URL or an absolute path", Redact(raw))
	}
	u, err := url.Parse(raw)
	if err != nil {
		return URL{}, fmt.Errorf("repository address: not a URL")
	}
	if u.Scheme == "file" {
		if (u.Host != "" && u.Host != "localhost") || !filepath.IsAbs(u.Path) {
			return URL{}, fmt.Errorf("repository address %q: a file URL needs an absolute path and no host", raw)
		}
		return URL{Remote: filepath.Clean(u.Path), Scheme: "file"}, nil
	}
	return parseRemote(u)
}

func parseRemote(u *url.URL) (URL, error) {
	parsed := URL{Scheme: u.Scheme}
	switch u.Scheme {
	case "https", "http":
		if u.User != nil {
			parsed.Username = u.User.Username()
			parsed.Password, _ = u.User.Password()
			if parsed.Password == "" {
				parsed.Username, parsed.Password = "git", parsed.Username
			}
			u.User = nil
		}
	case "ssh":
		if u.User != nil {
			u.User = url.User(u.User.Username())
			if strings.HasPrefix(u.User.Username(), "-") {
				return URL{}, fmt.Errorf("repository address: the user name begins with %q", "-")
			}
		}
	case "git":
		u.User = nil
	default:
		return URL{}, fmt.Errorf("repository address: transport %q is not allowed", u.Scheme)
	}
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") {
		return URL{}, fmt.Errorf("repository address %q: no valid host", u.Redacted())
	}
	u.Fragment, u.RawFragment = "", ""
	parsed.Remote = u.String()
	return parsed, nil
}

// CheckURL returns why raw is no repository address, or nil.
func CheckURL(raw string) error {
	_, err := ParseURL(raw)
	return err
}

// CheckRev returns why rev can't be a revision (a branch, a tag or a commit), or nil. A
// revision may not begin with "-", hold control characters, spaces or what git's
// ref format and revision syntax reserve.
func CheckRev(rev string) error {
	if err := checkText("revision", rev); err != nil {
		return err
	}
	switch {
	case strings.ContainsAny(rev, " :?*[\\^~"), strings.Contains(rev, ".."), strings.Contains(rev, "@{"),
		strings.Contains(rev, "//"), strings.HasPrefix(rev, "/"), strings.HasSuffix(rev, "/"),
		strings.HasSuffix(rev, "."), strings.HasSuffix(rev, ".lock"), strings.HasPrefix(rev, "."), strings.Contains(rev, "/."):
		return fmt.Errorf("revision %q: not a branch, a tag or a commit", rev)
	}
	return nil
}

// IsObjectName reports whether s is a full object name, SHA-1 or SHA-256.
func IsObjectName(s string) bool { return objectName().MatchString(s) }

// Redact removes the credentials of URLs from a text.
func Redact(text string) string { return credentials().ReplaceAllString(text, "${1}***@") }

func checkText(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%s: empty", what)
	case len(s) > 4096:
		return fmt.Errorf("%s: longer than 4096 bytes", what)
	case strings.HasPrefix(s, "-"):
		return fmt.Errorf("%s %q: begins with %q", what, Redact(s), "-")
	case strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%s %q: holds control characters", what, Redact(s))
	}
	return nil
}
