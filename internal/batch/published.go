package batch

import (
	"fmt"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/glob"
)

// For returns what holds for a changeset: of the rules that match it the last, and
// PublishedUndecided when none does or nothing is said. Globs are those of the original format: "*" matches "/" too.
func (p *Published) For(repo, branch string) (glovebox.Published, error) {
	if p == nil {
		return glovebox.PublishedUndecided, nil
	}
	state := p.All
	for _, r := range p.Rules {
		match, err := matches(r.Repository, repo)
		if err == nil && match && r.Branch != "" && r.Branch != branch {
			match, err = matches(r.Branch, branch)
		}
		if err != nil {
			return "", err
		}
		if match {
			state = r.Published
		}
	}
	return state, nil
}

func matches(pattern, name string) (bool, error) {
	g, err := glob.Compile(pattern)
	if err != nil {
		return false, fmt.Errorf("published: %q: %w", clip(pattern), err)
	}
	return g.Match(name), nil
}
