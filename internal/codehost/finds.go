package codehost

import (
	"fmt"

	"github.com/glovebox-dev/glovebox"
)

// finds gathers what a search finds: each repository once, however pages shift under us, and no more
// than allowed, however many pages a host makes up.
type finds struct {
	repos []Repository
	seen  map[string]bool
	max   int
}

func newFinds(max int) *finds { return &finds{seen: map[string]bool{}, max: max} }

func (f *finds) add(r Repository) error {
	if f.seen[r.Name] {
		return nil
	}
	if len(f.repos) == f.max {
		return f.tooMany()
	}
	f.seen[r.Name] = true
	f.repos = append(f.repos, r)
	return nil
}

// page ends a search whose pages do not end.
func (f *finds) page(n int) error {
	if n > f.max/10+10 {
		return f.tooMany()
	}
	return nil
}

func (f *finds) tooMany() error {
	return fmt.Errorf("more than %d repositories match: narrow the query: %w", f.max, glovebox.ErrTooLarge)
}
