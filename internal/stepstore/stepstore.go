// Package stepstore is a server's half of the step cache: it keeps results of steps under their keys, each
// tenant's apart, within a bound, and lets go of those used longest ago. What an entry holds is not its
// business. It must not know HTTP, SQL or jobs.
package stepstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/blob"
)

// DefaultBound is what the entries of one tenant may take together.
const DefaultBound = 10 << 30

// Entry is one kept result, without its bytes.
type Entry struct {
	Key  string
	Size int64
}

// Rows keep what there is and when it was used. Each method is one transaction.
type Rows interface {
	// Use returns an entry and marks it used now; glovebox.ErrNotFound when there is none.
	Use(ctx context.Context, tenant, key string, now time.Time) (Entry, error)
	// Put adds an entry or replaces its size.
	Put(ctx context.Context, tenant string, entry Entry, now time.Time) error
	// Oldest returns entries, used longest ago first, without which the others of the tenant fit into bound bytes.
	Oldest(ctx context.Context, tenant string, bound int64) ([]Entry, error)
	Delete(ctx context.Context, tenant, key string) error
}

// Store is the cache. Its methods may be called concurrently.
type Store struct {
	rows  Rows
	blobs blob.Store
	bound int64
	now   func() time.Time
	// evicting keeps two from making room for the same tenant at once.
	evicting sync.Mutex
}

// New returns a cache of bound bytes a tenant, DefaultBound when zero.
func New(rows Rows, blobs blob.Store, bound int64, now func() time.Time) *Store {
	if bound <= 0 {
		bound = DefaultBound
	}
	if now == nil {
		now = time.Now
	}
	return &Store{rows: rows, blobs: blobs, bound: bound, now: now}
}

// CheckKey returns why a text is no key, or nil: a key is 64 lower-case hex digits.
func CheckKey(key string) error {
	if len(key) != 64 || strings.Trim(key, "0123456789abcdef") != "" {
		return errors.New("key: want 64 lower-case hex digits")
	}
	return nil
}

// blobKey holds the tenant's hash: its name can be any text.
func blobKey(tenant, key string) string {
	sum := sha256.Sum256([]byte(tenant))
	return path.Join("stepcache", hex.EncodeToString(sum[:16]), key[:2], key)
}

// Open returns an entry's bytes and their number; glovebox.ErrNotFound when there is none.
func (s *Store) Open(ctx context.Context, tenant, key string) (io.ReadCloser, int64, error) {
	if err := CheckKey(key); err != nil {
		return nil, 0, err
	}
	if _, err := s.rows.Use(ctx, tenant, key, s.now()); err != nil {
		return nil, 0, fmt.Errorf("open step cache entry: %w", err)
	}
	r, size, err := s.blobs.Open(ctx, blobKey(tenant, key), 0)
	if errors.Is(err, glovebox.ErrNotFound) { // a crash while it was let go of
		return nil, 0, errors.Join(fmt.Errorf("open step cache entry: %w", err), s.rows.Delete(ctx, tenant, key))
	}
	return r, size, err
}

// Has reports whether there is an entry, and marks it used.
func (s *Store) Has(ctx context.Context, tenant, key string) (bool, error) {
	if err := CheckKey(key); err != nil {
		return false, err
	}
	_, err := s.rows.Use(ctx, tenant, key, s.now())
	if errors.Is(err, glovebox.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Put keeps an entry in the place of what has its key, and lets go of others until all fit.
func (s *Store) Put(ctx context.Context, tenant, key string, r io.Reader) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	size, err := s.blobs.Put(ctx, blobKey(tenant, key), r)
	if err != nil {
		return err
	}
	if err := s.rows.Put(ctx, tenant, Entry{Key: key, Size: size}, s.now()); err != nil {
		return fmt.Errorf("keep step cache entry: %w", err)
	}
	s.evicting.Lock()
	defer s.evicting.Unlock()
	oldest, err := s.rows.Oldest(ctx, tenant, s.bound)
	if err != nil {
		return fmt.Errorf("make room in the step cache: %w", err)
	}
	for _, e := range oldest {
		// The bytes first: a row without bytes is noticed, bytes without a row would stay for ever.
		err := s.blobs.Delete(ctx, blobKey(tenant, e.Key))
		if err == nil {
			err = s.rows.Delete(ctx, tenant, e.Key)
		}
		if err != nil {
			return fmt.Errorf("make room in the step cache: %w", err)
		}
	}
	return nil
}
