// Package store keeps jobs, tokens, executors and repositories in a database:
// SQLite now, with a clean place for others in dialect.go. It owns the SQL, the
// migrations and the transactions; it must not know the rules by which jobs move
// from state to state (package queue) nor who may do what (package server). Large
// bytes (logs, diffs, outputs) are not kept here but in blob.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Options configure Open; zero fields take the defaults.
type Options struct {
	// Now stamps tokens, executors and repositories.
	Now func() time.Time
}

// DB is an open database. Its methods, and those of what is made from it, may be called concurrently.
type DB struct {
	dialect dialect
	now     func() time.Time

	readers *sql.DB
	stmts   sync.Map // of readers, by text: *sql.Stmt

	writer  *sql.DB
	conn    *sql.Conn
	tx      *tx // owned by the goroutine of commits
	writes  chan *write
	closing chan struct{}
	done    chan struct{}
	close   sync.Once
}

// readConns bounds the connections that read.
const readConns = 4

// errClosed answers writes to a database that was closed.
var errClosed = errors.New("database is closed")

// Open opens, and makes or migrates when needed, the database in the file at path. One process at a
// time should have it open. Close releases it.
func Open(ctx context.Context, path string, opt Options) (*DB, error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	d := sqliteDialect()
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	writer, err := sql.Open(d.driver, sqliteDSN(path, false))
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	writer.SetMaxOpenConns(1)
	conn, err := writer.Conn(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), writer.Close())
	}
	if err := migrate(ctx, conn, d); err != nil {
		return nil, errors.Join(fmt.Errorf("migrate database %s: %w", path, err), conn.Close(), writer.Close())
	}
	readers, err := sql.Open(d.driver, sqliteDSN(path, true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database %s: %w", path, err), conn.Close(), writer.Close())
	}
	readers.SetMaxOpenConns(readConns)
	readers.SetMaxIdleConns(readConns)
	db := &DB{
		dialect: d, now: opt.Now, readers: readers, writer: writer, conn: conn,
		tx:     &tx{conn: conn, dialect: d, stmts: map[string]*sql.Stmt{}},
		writes: make(chan *write), closing: make(chan struct{}), done: make(chan struct{}),
	}
	go db.commits()
	return db, nil
}

// createPrivate makes the file, when it is missing, for its owner alone: it holds what jobs were submitted with.
// SQLite gives its write-ahead log the same mode.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Close waits for the writes under way and releases the database.
func (db *DB) Close() error {
	var err error
	db.close.Do(func() {
		close(db.closing)
		<-db.done
		db.tx.close()
		db.stmts.Range(func(_, stmt any) bool {
			err = errors.Join(err, stmt.(*sql.Stmt).Close())
			return true
		})
		err = errors.Join(err, db.readers.Close(), db.conn.Close(), db.writer.Close())
	})
	return err
}

// Ping reports whether the database answers.
func (db *DB) Ping(ctx context.Context) error {
	if err := db.readers.PingContext(ctx); err != nil {
		return fmt.Errorf("reach database: %w", err)
	}
	return nil
}

// stmt prepares a query for reading, once.
func (db *DB) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := db.stmts.Load(query); ok {
		return s.(*sql.Stmt), nil
	}
	s, err := db.readers.PrepareContext(ctx, db.dialect.bind(query))
	if err != nil {
		return nil, fmt.Errorf("prepare query: %w", err)
	}
	if other, loaded := db.stmts.LoadOrStore(query, s); loaded {
		return other.(*sql.Stmt), s.Close()
	}
	return s, nil
}

// query reads rows outside of a transaction.
func (db *DB) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := db.stmt(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// queryRow reads one row outside of a transaction into dest; sql.ErrNoRows when there is none.
func (db *DB) queryRow(ctx context.Context, query string, args []any, dest ...any) error {
	s, err := db.stmt(ctx, query)
	if err != nil {
		return err
	}
	return s.QueryRowContext(ctx, args...).Scan(dest...)
}

// millis is the form in which times are kept.
func millis(t time.Time) int64 { return t.UnixMilli() }

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// nullMillis is NULL for no time.
func nullMillis(t *time.Time) any {
	if t == nil || t.IsZero() {
		return nil
	}
	return millis(*t)
}

func fromNullMillis(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := fromMillis(ms.Int64)
	return &t
}
