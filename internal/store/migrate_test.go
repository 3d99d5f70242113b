package store

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// released pins the migrations that databases out there have run: they never change again. A new one is added
// here when it is written.
var released = map[string]string{
	"migrations/0001_jobs.sql":   "891ac0da9ee443ca4879b6b4697d317f83d506a769c1544d679f48e7b82ce627",
	"migrations/0002_access.sql": "bbd4bfbcefc62c8489dbbb09dfd9ed056c956f10eaa5a48e3173fe823c6daaf1",
	"migrations/0003_batch.sql":  "c139ba497af156e28c3915a0b89d16ad597ad7bf827926bd10cf347e5f3f2c06",
}

func TestMigrationsNeverChange(t *testing.T) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(names) != len(released) {
		t.Fatalf("migrations %v, %v; want %d", names, err, len(released))
	}
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(text)
		if got := hex.EncodeToString(sum[:]); got != released[name] {
			t.Errorf("%s has hash %s, released was %q: add a migration, leave this one", name, got, released[name])
		}
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	for range 3 {
		db, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if n := count(t, db, "SELECT count(*) FROM schema_version"); n != len(released) {
			t.Errorf("%d migrations applied, want %d", n, len(released))
		}
		for _, file := range []string{path, path + "-wal"} {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode of %s: %v, %v", file, info, err)
			}
		}
		if mode := journalMode(t, db); mode != "wal" {
			t.Errorf("journal mode %q", mode)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func journalMode(t *testing.T, db *DB) (mode string) {
	t.Helper()
	if err := db.queryRow(t.Context(), "PRAGMA journal_mode", nil, &mode); err != nil {
		t.Fatal(err)
	}
	return mode
}

func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := Open(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = db.write(t.Context(), func(tx *tx) error { return tx.exec("INSERT INTO schema_version (version) VALUES (99)") })
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("open: %v, %v", db, err)
	}
}

// TestOpenFails: a file that is no database, or that can't be made, is an error that names it.
func TestOpenFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "x.db")
	if _, err := Open(t.Context(), path, Options{}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("open: %v", err)
	}
}
