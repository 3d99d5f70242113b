package store

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// List implements queue.Store: a keyset over (created_at, id), so that a page deep in the list costs what the first does.
func (s *Jobs) List(ctx context.Context, f queue.Filter) ([]glovebox.Job, string, error) {
	where, args, err := listWhere(f)
	if err != nil {
		return nil, "", err
	}
	size := f.PageSize()
	query := "SELECT " + jobColumns + " FROM jobs" + where + " ORDER BY created_at DESC, id DESC LIMIT " + strconv.Itoa(size+1)
	rows, err := s.db.query(ctx, query, args...)
	if err != nil {
		return nil, "", fmt.Errorf("query jobs: %w", err)
	}
	defer rows.Close()
	var jobs []glovebox.Job
	for rows.Next() {
		r, err := scanJob(rows.Scan)
		if err != nil {
			return nil, "", fmt.Errorf("read job: %w", err)
		}
		jobs = append(jobs, r.Job)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("read jobs: %w", err)
	}
	if len(jobs) <= size {
		return jobs, "", nil
	}
	jobs = jobs[:size]
	return jobs, encodeCursor(jobs[size-1]), nil
}

// listWhere is the condition of a filter. The text of the query depends only on which
// fields are set (and how many states), so that few statements are prepared.
func listWhere(f queue.Filter) (string, []any, error) {
	var conds []string
	var args []any
	param := func(v any) string {
		args = append(args, v)
		return "$" + strconv.Itoa(len(args))
	}
	equal := func(column, value string) {
		if value != "" {
			conds = append(conds, column+" = "+param(value))
		}
	}
	equal("tenant", f.Tenant)
	equal("queue", f.Queue)
	if f.Repo != "" { // repo <> '' lets SQLite use the partial index
		conds = append(conds, "repo <> '' AND repo = "+param(f.Repo))
	}
	if states := distinct(f.States); len(states) > 0 {
		var marks []string
		for _, state := range states {
			marks = append(marks, param(string(state)))
		}
		conds = append(conds, "state IN ("+strings.Join(marks, ", ")+")")
	}
	if text := strings.ToLower(strings.TrimSpace(f.Text)); text != "" {
		if len(text) > 200 {
			return "", nil, invalid("q", "want a text of at most 200 bytes")
		}
		text = strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text)
		conds = append(conds, "(search LIKE "+param("%"+text+"%")+` ESCAPE '\' OR id LIKE `+param(text+"%")+` ESCAPE '\')`)
	}
	if f.Cursor != "" {
		created, id, err := decodeCursor(f.Cursor)
		if err != nil {
			return "", nil, err
		}
		conds = append(conds, "(created_at, id) < ("+param(created)+", "+param(id)+")")
	}
	if len(conds) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(conds, " AND "), args, nil
}

// distinct keeps the states that exist, once each.
func distinct(states []glovebox.State) []glovebox.State {
	if len(states) == 0 {
		return nil
	}
	var out []glovebox.State
	for _, known := range glovebox.JobStates() {
		for _, s := range states {
			if s == known {
				out = append(out, s)
				break
			}
		}
	}
	if len(out) == 0 { // only states that no job has
		out = append(out, states[0])
	}
	return out
}

// encodeCursor names the last job of a page.
func encodeCursor(last glovebox.Job) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(millis(last.CreatedAt), 10) + "." + last.ID))
}

// decodeCursor reads what encodeCursor wrote, or anything a client sends.
func decodeCursor(cursor string) (created int64, id string, err error) {
	if len(cursor) > 1000 {
		return 0, "", invalid("cursor", "want the next of a page before")
	}
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, "", invalid("cursor", "want the next of a page before")
	}
	ms, id, ok := strings.Cut(string(b), ".")
	created, err = strconv.ParseInt(ms, 10, 64)
	if !ok || err != nil || id == "" {
		return 0, "", invalid("cursor", "want the next of a page before")
	}
	return created, id, nil
}

func invalid(path, message string) error {
	return &glovebox.ValidationError{Problems: []glovebox.Problem{{Path: path, Message: message}}}
}
