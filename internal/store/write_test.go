package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openInternal(t *testing.T) *DB {
	t.Helper()
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func count(t *testing.T, db *DB, query string) (n int) {
	t.Helper()
	if err := db.queryRow(t.Context(), query, nil, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestSharedCommit: of writes that share a commit, each is done or undone alone.
func TestSharedCommit(t *testing.T) {
	db := openInternal(t)
	boom := errors.New("boom")
	insert := func(tx *tx, i int) error {
		return tx.exec("INSERT INTO tenants (name, served) VALUES ($1, $2)", fmt.Sprint(i), i)
	}
	batch := make([]*write, 10)
	for i := range batch {
		batch[i] = &write{do: func(tx *tx) error {
			if err := insert(tx, i); err != nil || i%3 != 0 {
				return err
			}
			return boom
		}}
	}
	db.commit(batch) // as the goroutine of commits does; it is idle now
	for i, w := range batch {
		want := error(nil)
		if i%3 == 0 {
			want = boom
		}
		if w.err != want { //nolint:errorlint // it must come back as it is
			t.Errorf("write %d: %v, want %v", i, w.err, want)
		}
		n := count(t, db, fmt.Sprintf("SELECT count(*) FROM tenants WHERE name = '%d'", i))
		if (n == 1) != (want == nil) {
			t.Errorf("write %d left %d rows", i, n)
		}
	}
	// Alone, an undone write is a transaction rolled back.
	if err := db.write(t.Context(), func(tx *tx) error { return errors.Join(insert(tx, 100), boom) }); !errors.Is(err, boom) {
		t.Errorf("write alone: %v", err)
	}
	if n := count(t, db, "SELECT count(*) FROM tenants"); n != 6 {
		t.Errorf("%d rows, want 6", n)
	}
}

func TestWritesTogether(t *testing.T) {
	db := openInternal(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := db.write(t.Context(), func(tx *tx) error {
				return tx.exec("INSERT INTO tenants (name, served) VALUES ($1, 1)", fmt.Sprint(i/2)) // every other one fails
			})
			_ = err
		})
	}
	wg.Wait()
	if n := count(t, db, "SELECT count(*) FROM tenants"); n != 100 {
		t.Errorf("%d rows, want 100", n)
	}
}

func TestWriteAfterClose(t *testing.T) {
	db, err := Open(t.Context(), filepath.Join(t.TempDir(), "x.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.write(t.Context(), func(*tx) error { return nil }); !errors.Is(err, errClosed) {
		t.Errorf("write: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewJobs(db).Lookup(ctx, "x"); err == nil {
		t.Error("a closed database answered")
	}
}
