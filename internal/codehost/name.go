package codehost

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// checkName refuses what is no repository name of at least min and at most max parts: names
// come from specs and from hosts, and go into addresses.
func checkName(name string, min, max int) error {
	parts := strings.Split(name, "/")
	if len(name) > 500 || len(parts) < min || len(parts) > max {
		return fmt.Errorf("repository name %q: want OWNER/REPO", printable(name, 200))
	}
	for _, part := range parts {
		if !validPart(part) {
			return fmt.Errorf("repository name %q: parts are letters, digits, \"-\", \"_\" and \".\", and begin with none of \"-\" and \".\" (but a name such as .github)", printable(name, 200))
		}
	}
	return nil
}

func validPart(part string) bool {
	if part == "" || len(part) > 255 || part[0] == '-' || strings.Trim(part, ".") == "" || strings.HasSuffix(part, ".git") {
		return false
	}
	return !strings.ContainsFunc(part, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
}

// ownerRepo splits OWNER/REPO.
func ownerRepo(name string) (owner, repo string, err error) {
	if err := checkName(name, 2, 2); err != nil {
		return "", "", err
	}
	owner, repo, _ = strings.Cut(name, "/")
	return owner, repo, nil
}

// parseID reads the number of a request.
func parseID(id string) (int64, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || n <= 0 || strconv.FormatInt(n, 10) != id {
		return 0, fmt.Errorf("request %q: want its number", printable(id, 50))
	}
	return n, nil
}

// check refuses changes that no host could take, before anything is sent.
func (c Change) check(opening bool) error {
	if strings.TrimSpace(c.Title) == "" {
		return fmt.Errorf("change: no title")
	}
	if len(c.Title) > 1000 || strings.ContainsAny(c.Title, "\n\r\x00") {
		return fmt.Errorf("change: the title is longer than 1000 bytes or has line breaks")
	}
	if len(c.Body) > 1<<20 {
		return fmt.Errorf("change: the body is longer than 1 MiB: %w", glovebox.ErrTooLarge)
	}
	if c.Base != "" || opening {
		if err := git.CheckRev(c.Base); err != nil {
			return fmt.Errorf("change: base: %w", err)
		}
	}
	if !opening {
		return nil
	}
	if err := git.CheckRev(c.Branch); err != nil {
		return fmt.Errorf("change: branch: %w", err)
	}
	if c.HeadRepo == "" && c.Branch == c.Base {
		return fmt.Errorf("change: branch and base are both %q", c.Branch)
	}
	return nil
}

// sanitize takes from a request what a host may not have put there.
func (r *Request) sanitize() {
	r.URL = checkedURL(r.URL)
	r.Title = printable(r.Title, 1000)
	r.Body = clean(strings.ReplaceAll(r.Body, "\r\n", "\n"), 1<<20)
	if !git.IsObjectName(r.Head) {
		r.Head = ""
	}
	r.HeadRef, r.BaseRef = checkedRev(r.HeadRef), checkedRev(r.BaseRef)
	if r.Checks == "" {
		r.Checks = ChecksNone
	}
	if r.Review == "" {
		r.Review = ReviewNone
	}
}

func checkedRev(rev string) string {
	if git.CheckRev(rev) != nil {
		return ""
	}
	return rev
}

// checkedURL returns a URL only if a page may link to it.
func checkedURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || len(raw) > 2000 || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return ""
	}
	return u.String()
}
