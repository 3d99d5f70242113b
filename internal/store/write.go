package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// maxBatch bounds how many writes share a commit.
const maxBatch = 64

// write is a transaction that somebody waits for.
type write struct {
	do   func(*tx) error
	err  error
	done chan struct{}
}

// tx is the open transaction of the writing connection. It is used by one goroutine.
type tx struct {
	conn    *sql.Conn
	dialect dialect
	stmts   map[string]*sql.Stmt
}

// write runs do in a transaction and returns once it is durable, or undone because do
// returned an error, which write returns as it is. Writes that wait at the same time
// share one commit, and so one sync of the disk, but each is undone alone. A write that
// has begun is not interrupted by ctx: half of a shared commit can't be.
func (db *DB) write(ctx context.Context, do func(*tx) error) error {
	w := &write{do: do, done: make(chan struct{})}
	select {
	case db.writes <- w:
	case <-db.closing:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	<-w.done
	return w.err
}

// commits owns the writing connection: it runs the writes that wait, batch by batch, until Close.
func (db *DB) commits() {
	defer close(db.done)
	for {
		select {
		case <-db.closing:
			return
		case w := <-db.writes:
			batch := []*write{w}
			for more := true; more && len(batch) < maxBatch; {
				select {
				case w := <-db.writes:
					batch = append(batch, w)
				default:
					more = false
				}
			}
			db.commit(batch)
			for _, w := range batch {
				close(w.done)
			}
		}
	}
}

// commit runs the batch in one transaction, a savepoint for each write.
func (db *DB) commit(batch []*write) {
	fail := func(err error) {
		for _, w := range batch {
			if w.err == nil { // those undone alone keep their own error
				w.err = err
			}
		}
	}
	if err := db.tx.exec(db.dialect.begin); err != nil {
		fail(fmt.Errorf("begin transaction: %w", err))
		return
	}
	if err := db.runBatch(batch); err != nil {
		fail(errors.Join(err, db.tx.exec("ROLLBACK")))
		return
	}
	if err := db.tx.exec("COMMIT"); err != nil {
		fail(errors.Join(fmt.Errorf("commit transaction: %w", err), db.tx.exec("ROLLBACK")))
	}
}

// runBatch returns an error only when the whole transaction is broken.
func (db *DB) runBatch(batch []*write) error {
	for _, w := range batch {
		if len(batch) == 1 {
			if w.err = w.do(db.tx); w.err != nil {
				return w.err
			}
			return nil
		}
		if err := db.tx.exec("SAVEPOINT one"); err != nil {
			return fmt.Errorf("begin savepoint: %w", err)
		}
		if w.err = w.do(db.tx); w.err != nil {
			if err := db.tx.exec("ROLLBACK TO one"); err != nil {
				return fmt.Errorf("undo write: %w", err)
			}
		}
		if err := db.tx.exec("RELEASE one"); err != nil {
			return fmt.Errorf("end savepoint: %w", err)
		}
	}
	return nil
}

// stmt prepares a statement once. Its context is the database's life: see write.
func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if s, ok := t.stmts[query]; ok {
		return s, nil
	}
	s, err := t.conn.PrepareContext(context.Background(), t.dialect.bind(query))
	if err != nil {
		return nil, fmt.Errorf("prepare statement: %w", err)
	}
	t.stmts[query] = s
	return s, nil
}

func (t *tx) exec(query string, args ...any) error {
	_, err := t.execCount(query, args...)
	return err
}

// execCount returns the number of rows changed.
func (t *tx) execCount(query string, args ...any) (int64, error) {
	s, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.Exec(args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// queryRow reads one row into dest; sql.ErrNoRows when there is none.
func (t *tx) queryRow(query string, args []any, dest ...any) error {
	s, err := t.stmt(query)
	if err != nil {
		return err
	}
	return s.QueryRow(args...).Scan(dest...)
}

func (t *tx) close() {
	for _, s := range t.stmts {
		_ = s.Close() // the connection is closed next, with whatever it still holds
	}
}
