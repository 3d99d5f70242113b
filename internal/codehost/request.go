package codehost

import (
	"errors"
	"net/url"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

var errRequest = errors.New("a request with no number")

// newRepository checks what a host said of a repository. The address to clone from is made from the
// configured one: credentials go to no address that an answer names.
func newRepository(web *url.URL, maxParts int, r Repository) (Repository, error) {
	if err := checkName(r.Name, 2, maxParts); err != nil {
		return Repository{}, err
	}
	r.DefaultBranch, r.WebURL = checkedRev(r.DefaultBranch), checkedURL(r.WebURL)
	r.CloneURL = web.JoinPath(r.Name).String() + ".git"
	return r, nil
}

// openOnce looks for the open request before it makes one, and again when making it ended in doubt or
// in "exists already". When none is found after doubt, it is made once more: the doubt was a failure.
func openOnce(find func() (*Request, error), create func() (Request, error)) (Request, error) {
	found, err := find()
	if err != nil {
		return Request{}, err
	}
	if found != nil {
		return *found, nil
	}
	for try := 1; ; try++ {
		r, err := create()
		if err == nil {
			return r, nil
		}
		doubt := ambiguous(err)
		if !doubt && !errors.Is(err, glovebox.ErrConflict) {
			return Request{}, err
		}
		if found, findErr := find(); findErr == nil && found != nil {
			return *found, nil
		} else if findErr != nil || !doubt || try == 2 {
			return Request{}, err
		}
	}
}

// listEach gets one after the other, leaving out those that are not there.
func listEach(ids []string, get func(string) (Request, error)) ([]Request, error) {
	var all []Request
	for _, id := range ids {
		r, err := get(id)
		if errors.Is(err, glovebox.ErrNotFound) {
			continue
		}
		if err != nil {
			return all, err
		}
		all = append(all, r)
	}
	return all, nil
}

// cutDraft takes the prefixes off a title that make it a draft's.
func cutDraft(title string, prefixes ...string) (string, bool) {
	draft := false
	for again := true; again; {
		again = false
		for _, p := range prefixes {
			if len(title) >= len(p) && strings.EqualFold(title[:len(p)], p) {
				title, draft, again = strings.TrimLeft(title[len(p):], " "), true, true
			}
		}
	}
	return title, draft
}

// votes are the last words of reviewers.
type votes map[string]Review

func (v votes) add(who, state string, dismissed bool) {
	switch {
	case dismissed:
		delete(v, who)
	case state == "APPROVED":
		v[who] = ReviewApproved
	case state == "REQUEST_CHANGES" || state == "CHANGES_REQUESTED":
		v[who] = ReviewChangesRequested
	case state == "REQUEST_REVIEW":
		v[who] = ReviewPending
	}
}

// review is the verdict: one who wants changes outweighs all, one who has yet to speak outweighs approvals.
func (v votes) review() Review {
	verdict := ReviewNone
	weight := map[Review]int{ReviewNone: 0, ReviewApproved: 1, ReviewPending: 2, ReviewChangesRequested: 3}
	for _, r := range v {
		if weight[r] > weight[verdict] {
			verdict = r
		}
	}
	return verdict
}
