package workspace

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// maxNames bounds the names in a diff's Changes.
const maxNames = 100_000

// rawChange is one line of git's raw diff format.
type rawChange struct {
	oldMode, newMode     string
	oldObject, newObject string
	// status is git's letter: A, D, M, T, R; oldPath is set for R.
	status        byte
	path, oldPath string
}

const modeNone = "000000"

// parseRaw reads what "git diff-tree --raw -z" writes, and returns what stands behind it.
func parseRaw(text string) (all []rawChange, rest string, err error) {
	for strings.HasPrefix(text, ":") {
		head, after, ok := strings.Cut(text[1:], "\x00")
		fields := strings.Split(head, " ")
		if !ok || len(fields) != 5 || fields[4] == "" {
			return nil, "", fmt.Errorf("read changes: malformed line %q", head)
		}
		c := rawChange{oldMode: fields[0], newMode: fields[1], oldObject: fields[2], newObject: fields[3], status: fields[4][0]}
		names := 1
		switch c.status {
		case 'R':
			names = 2
		case 'A', 'D', 'M', 'T':
		default:
			return nil, "", fmt.Errorf("read changes: unknown kind %q", fields[4])
		}
		for range names {
			c.oldPath = c.path
			if c.path, after, ok = strings.Cut(after, "\x00"); !ok || c.path == "" {
				return nil, "", fmt.Errorf("read changes: cut short")
			}
		}
		all, text = append(all, c), after
	}
	return all, text, nil
}

// parseNumstat reads what "git diff-tree --numstat -z" writes and adds it up.
func parseNumstat(text string) (files, insertions, deletions int, err error) {
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\x00")
		fields := strings.SplitN(line, "\t", 3)
		if len(fields) != 3 {
			return 0, 0, 0, fmt.Errorf("read statistics: malformed line %q", line)
		}
		if fields[2] == "" { // a rename: both names follow
			for range 2 {
				_, text, _ = strings.Cut(text, "\x00")
			}
		}
		files++
		// A binary file has "-" for both.
		if n, err := strconv.Atoi(fields[0]); err == nil && n > 0 {
			insertions += n
		}
		if n, err := strconv.Atoi(fields[1]); err == nil && n > 0 {
			deletions += n
		}
	}
	return files, insertions, deletions, nil
}

// listChanges sorts changes by kind; names are made valid UTF-8. What is over max names is left out and counted.
func listChanges(raw []rawChange, max int) (c glovebox.Changes, left int) {
	if len(raw) > max {
		raw, left = raw[:max], len(raw)-max
	}
	for _, r := range raw {
		name := strings.ToValidUTF8(r.path, "\uFFFD")
		switch r.status {
		case 'A':
			c.Added = append(c.Added, name)
		case 'D':
			c.Deleted = append(c.Deleted, name)
		case 'R':
			c.Renamed = append(c.Renamed, name)
		default:
			c.Modified = append(c.Modified, name)
		}
	}
	for _, list := range [][]string{c.Added, c.Deleted, c.Renamed, c.Modified} {
		slices.Sort(list)
	}
	return c, left
}
