package store

import (
	"context"
	"fmt"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// Repos keeps the repositories that the git gateway may serve.
type Repos struct{ db *DB }

// NewRepos returns the repositories of db.
func NewRepos(db *DB) *Repos { return &Repos{db} }

const repoColumns = "name, url, tenant, created_at"

// Add records a repository, whose name and URL the caller has checked, and returns it with
// its time of creation. A name that exists is glovebox.ErrConflict.
func (s *Repos) Add(ctx context.Context, repo glovebox.Repository) (glovebox.Repository, error) {
	repo.CreatedAt = s.db.now().UTC().Truncate(time.Millisecond)
	err := s.db.write(ctx, func(t *tx) error {
		n, err := t.execCount(`INSERT INTO repositories (name, url, tenant, created_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO NOTHING`, repo.Name, repo.URL, repo.Tenant, millis(repo.CreatedAt))
		if err != nil {
			return fmt.Errorf("insert repository: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("add repository %q, which exists: %w", repo.Name, glovebox.ErrConflict)
		}
		return nil
	})
	if err != nil {
		return glovebox.Repository{}, err
	}
	return repo, nil
}

// Get returns a repository; glovebox.ErrNotFound when there is none of the name.
func (s *Repos) Get(ctx context.Context, name string) (glovebox.Repository, error) {
	repo, err := scanRepo(func(dest ...any) error {
		return s.db.queryRow(ctx, "SELECT "+repoColumns+" FROM repositories WHERE name = $1", []any{name}, dest...)
	})
	return repo, notFound("repository", name, err)
}

// List returns all repositories, by name, with their URLs as they were added: what
// credentials those hold is for the caller to hide.
func (s *Repos) List(ctx context.Context) ([]glovebox.Repository, error) {
	rows, err := s.db.query(ctx, "SELECT "+repoColumns+" FROM repositories ORDER BY name")
	if err != nil {
		return nil, fmt.Errorf("list repositories: %w", err)
	}
	defer rows.Close()
	var repos []glovebox.Repository
	for rows.Next() {
		repo, err := scanRepo(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("read repository: %w", err)
		}
		repos = append(repos, repo)
	}
	return repos, rows.Err()
}

// Remove forgets a repository; glovebox.ErrNotFound when there is none of the name.
func (s *Repos) Remove(ctx context.Context, name string) error {
	return s.db.write(ctx, func(t *tx) error {
		n, err := t.execCount("DELETE FROM repositories WHERE name = $1", name)
		if err != nil {
			return fmt.Errorf("delete repository: %w", err)
		}
		if n == 0 {
			return fmt.Errorf("repository %q: %w", name, glovebox.ErrNotFound)
		}
		return nil
	})
}

// scanRepo reads repoColumns.
func scanRepo(scan scanner) (glovebox.Repository, error) {
	var repo glovebox.Repository
	var created int64
	if err := scan(&repo.Name, &repo.URL, &repo.Tenant, &created); err != nil {
		return glovebox.Repository{}, err
	}
	repo.CreatedAt = fromMillis(created)
	return repo, nil
}
