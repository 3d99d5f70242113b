package store

import (
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// plan is how the database would run a query.
func plan(t *testing.T, db *DB, query string, args ...any) string {
	t.Helper()
	rows, err := db.query(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var lines []string
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, detail)
	}
	return strings.Join(lines, "\n")
}

// TestClaimReadsIndexes: what a claim costs does not grow with the number of jobs.
func TestClaimReadsIndexes(t *testing.T) {
	db := openInternal(t)
	args, err := claimArgs(queue.Claim{})
	if err != nil {
		t.Fatal(err)
	}
	got := plan(t, db, claimQuery(db.dialect), args...)
	for line := range strings.SplitSeq(got, "\n") {
		if strings.Contains(line, "SCAN jobs") && !strings.Contains(line, "jobs_processing") || strings.Contains(line, "SCAN j ") || line == "SCAN j" {
			t.Errorf("a claim reads the whole table: %s\n%s", line, got)
		}
	}
	if !strings.Contains(got, "SEARCH j USING INDEX jobs_queued (lane=?)") {
		t.Errorf("a claim does not take the heads of the lanes from their index:\n%s", got)
	}
}

// TestListReadsIndexes: no list sorts, and none but a search for a text reads the whole table.
func TestListReadsIndexes(t *testing.T) {
	db := openInternal(t)
	for name, filter := range map[string]queue.Filter{
		"all": {}, "tenant": {Tenant: "a"}, "repo": {Repo: "a"}, "queue": {Queue: "a"},
		"state": {States: []glovebox.State{glovebox.StateFailed}}, "cursor": {Cursor: "MS5h"},
		"tenant and cursor": {Tenant: "a", Cursor: "MS5h"}, "text": {Text: "a"},
	} {
		where, args, err := listWhere(filter)
		if err != nil {
			t.Fatal(err)
		}
		got := plan(t, db, "SELECT "+jobColumns+" FROM jobs"+where+" ORDER BY created_at DESC, id DESC LIMIT 51", args...)
		if strings.Contains(got, "TEMP B-TREE") || !strings.Contains(got, "USING INDEX") {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func FuzzDecodeCursor(f *testing.F) {
	f.Add("")
	f.Add("MS5h")
	f.Add(encodeCursor(glovebox.Job{ID: "x.y.z"}))
	f.Fuzz(func(t *testing.T, cursor string) {
		created, id, err := decodeCursor(cursor)
		if err != nil {
			return
		}
		again := encodeCursor(glovebox.Job{ID: id, CreatedAt: fromMillis(created)})
		if c, i, err := decodeCursor(again); err == nil && (c != created || i != id) {
			t.Errorf("%q is %d %q, and again %d %q", cursor, created, id, c, i)
		}
	})
}

// TestBatchReadsIndexes: what is looked for again and again costs what there is to do, not what there was.
func TestBatchReadsIndexes(t *testing.T) {
	db := openInternal(t)
	for name, c := range map[string]struct {
		query string
		args  []any
	}{
		"moved":      {movedQuery + " LIMIT 32", nil},
		"due lanes":  {dueLanesQuery, []any{1}},
		"due":        {dueQuery + "10", []any{"l", 1}},
		"open runs":  {"SELECT data FROM batch_runs WHERE state IN ('resolving', 'processing') ORDER BY created_at, id", nil},
		"changesets": {changesetsOfQuery, []any{"x"}},
	} {
		got := plan(t, db, c.query, c.args...)
		if strings.Contains(got, "TEMP B-TREE FOR ORDER") || !strings.Contains(got, "INDEX") {
			t.Errorf("%s: %s", name, got)
		}
	}
}
