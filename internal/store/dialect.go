package store

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// dialect holds every difference between the databases. All other SQL of the package is one
// text for all: $1 placeholders, times as milliseconds, truths as 0 and 1, JSON as text.
type dialect struct {
	name string
	// driver is the database/sql driver's name.
	driver string
	// begin starts a transaction that writes; no other can be between its reads and its writes.
	begin string
	// bind turns $1 placeholders into the driver's.
	bind func(query string) string
	// jsonMember is an expression that is true when the string expression is an element of the JSON
	// array; jsonRank is that element's index.
	jsonMember func(array, element string) string
	jsonRank   func(array, element string) string
	// jsonNumber is the number that the JSON object has at key, NULL when it has none.
	jsonNumber func(object, key string) string
	// jsonWithin is true when every pair of the JSON object inner is in outer too.
	jsonWithin func(inner, outer string) string
}

var placeholder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\$([0-9]+)`) })

// sqliteDialect is SQLite through modernc.org/sqlite: one process, one writer.
func sqliteDialect() dialect {
	return dialect{
		name:   "sqlite",
		driver: "sqlite",
		begin:  "BEGIN IMMEDIATE",
		bind:   func(query string) string { return placeholder().ReplaceAllString(query, "?$1") },
		jsonMember: func(array, element string) string {
			return fmt.Sprintf("%s IN (SELECT value FROM json_each(%s))", element, array)
		},
		jsonRank: func(array, element string) string {
			return fmt.Sprintf("(SELECT min(key) FROM json_each(%s) WHERE value = %s)", array, element)
		},
		jsonNumber: func(object, key string) string {
			return fmt.Sprintf("(SELECT value FROM json_each(%s) WHERE key = %s)", object, key)
		},
		jsonWithin: func(inner, outer string) string {
			return fmt.Sprintf(`NOT EXISTS (SELECT 1 FROM json_each(%s) AS need WHERE NOT EXISTS (
				SELECT 1 FROM json_each(%s) AS have WHERE have.key = need.key AND have.value = need.value))`, inner, outer)
		},
	}
}

// sqliteDSN is the data source name of the file at path. Commits are synced to disk before they
// are answered (synchronous FULL): an accepted job or result survives a power cut.
func sqliteDSN(path string, readOnly bool) string {
	q := url.Values{}
	q.Add("_pragma", "busy_timeout(10000)")
	q.Add("_pragma", "journal_mode(WAL)")
	q.Add("_pragma", "synchronous(FULL)")
	q.Add("_pragma", "cache_size(-16000)")
	q.Add("_pragma", "temp_store(MEMORY)")
	if readOnly {
		q.Add("_pragma", "query_only(1)")
	}
	return "file:" + strings.ReplaceAll(url.PathEscape(path), "%2F", "/") + "?" + q.Encode()
}
