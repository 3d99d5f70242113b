package template

import (
	"slices"
	"sort"
	"strings"
)

// kind is what Check knows of a value before there is one.
type kind int

const (
	unknown kind = iota
	text
	number
	truth
	list
	group
)

func (k kind) String() string {
	return [...]string{"a value", "a text", "a number", "true or false", "a list", "a group of values"}[k]
}

// value is the shape of a value; fields are those of a group.
type value struct {
	kind   kind
	fields map[string]value
}

var (
	changeFields = map[string]value{"modified_files": {kind: list}, "added_files": {kind: list}, "deleted_files": {kind: list}, "renamed_files": {kind: list}}
	stepFields   = with(changeFields, "stdout", "stderr")
	// variableShapes are the variables, wherever they are known.
	variableShapes = map[string]value{
		"repository":        {group, with(map[string]value{"search_result_paths": {kind: list}}, "name", "branch")},
		"batch_change":      {group, with(nil, "name", "description")},
		"previous_step":     {group, stepFields},
		"step":              {group, stepFields},
		"steps":             {group, with(changeFields, "path")},
		"outputs":           {kind: group},
		"batch_change_link": {kind: text},
	}
)

// with adds texts to fields.
func with(fields map[string]value, texts ...string) map[string]value {
	m := map[string]value{}
	for k, v := range fields {
		m[k] = v
	}
	for _, name := range texts {
		m[name] = value{kind: text}
	}
	return m
}

// signature is how a function is called: with the kinds of args, the last one as often as wanted when rest is set.
type signature struct {
	args []kind
	rest bool
	// min is how many arguments there must be.
	min    int
	result kind
}

var signatures = map[string]signature{
	"and": {[]kind{unknown}, true, 1, unknown}, "or": {[]kind{unknown}, true, 1, unknown}, "not": {[]kind{unknown}, false, 1, truth},
	"eq": {[]kind{unknown, unknown}, true, 2, truth}, "ne": {[]kind{unknown, unknown}, false, 2, truth},
	"lt": {[]kind{unknown, unknown}, false, 2, truth}, "le": {[]kind{unknown, unknown}, false, 2, truth},
	"gt": {[]kind{unknown, unknown}, false, 2, truth}, "ge": {[]kind{unknown, unknown}, false, 2, truth},
	"len": {[]kind{unknown}, false, 1, number}, "index": {[]kind{unknown, unknown}, true, 1, unknown}, "slice": {[]kind{unknown, number, number, number}, false, 1, unknown},
	"print": {[]kind{unknown}, true, 0, text}, "println": {[]kind{unknown}, true, 0, text}, "printf": {[]kind{text, unknown}, true, 1, text},
	"html": {[]kind{unknown}, true, 1, text}, "js": {[]kind{unknown}, true, 1, text}, "urlquery": {[]kind{unknown}, true, 1, text},
	"join": {[]kind{list, text}, false, 2, text}, "split": {[]kind{text, text}, false, 2, list}, "replace": {[]kind{text, text, text}, false, 3, text},
	"join_if": {[]kind{text, text}, true, 1, text}, "matches": {[]kind{text, text}, false, 2, truth},
}

// suggest names the known name that a misspelt one is nearest to, "" when none is near.
func suggest(name string, known []string) string {
	sort.Strings(known)
	best, distance := "", 3
	if len(name) <= 4 {
		distance = 2 // of a short name, two letters are too much
	}
	if len(name) <= 40 {
		for _, k := range known {
			if d := editDistance(name, k); d < distance && d < len(k) {
				best, distance = k, d
			}
		}
		for _, k := range known {
			if best == "" && len(name) >= 4 && (strings.HasPrefix(k, name) || strings.HasPrefix(name, k)) {
				best = k
			}
		}
	}
	return best
}

// editDistance counts the insertions, deletions, replacements and swaps that lead from a to b.
func editDistance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, slices.Clone(row)
	}
	return last[len(b)]
}
