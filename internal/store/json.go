package store

import (
	"context"
	"encoding/json"
)

// readJSON reads the one column of a row as JSON; sql.ErrNoRows when there is none.
func (db *DB) readJSON(ctx context.Context, v any, query string, args ...any) error {
	var data []byte
	if err := db.queryRow(ctx, query, args, &data); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// readJSON is DB.readJSON inside of the transaction.
func (t *tx) readJSON(v any, query string, args ...any) error {
	var data []byte
	if err := t.queryRow(query, args, &data); err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// each gives the one column of every row to see.
func (db *DB) each(ctx context.Context, see func(data []byte) error, query string, args ...any) error {
	rows, err := db.query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return err
		}
		if err := see(data); err != nil {
			return err
		}
	}
	return rows.Err()
}

// each is DB.each inside of the transaction; see must not use it.
func (t *tx) each(see func(data []byte) error, query string, args ...any) error {
	s, err := t.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.Query(args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return err
		}
		if err := see(data); err != nil {
			return err
		}
	}
	return rows.Err()
}
