package codehost

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// longest bounds how long a host can make us wait, whatever it says.
const longest = 24 * time.Hour

// limits remembers until when a host wants to be left alone, by kind of request: GitHub counts searches
// and GraphQL apart. A closed one costs callers nothing: they are told at once.
type limits struct {
	now     func() time.Time
	mu      sync.Mutex
	until   map[string]time.Time
	strikes map[string]int
}

func bucketOf(path string) string {
	switch {
	case strings.Contains(path, "/search/") || strings.HasSuffix(path, "/repos/search"):
		return "search"
	case strings.HasSuffix(path, "/graphql"):
		return "graphql"
	}
	return "core"
}

// everything is closed by limits that are not of one kind of request.
const everything = ""

// closed reports whether requests of a kind have to wait, and until when.
func (l *limits) closed(bucket string) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	until := l.until[bucket]
	if all := l.until[everything]; all.After(until) {
		until = all
	}
	return until, l.now().Before(until)
}

// reopen lets the next request through, after its caller has waited.
func (l *limits) reopen(bucket string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.until, bucket)
	delete(l.until, everything)
}

// read learns from an answer. It reports whether the request was refused for a limit.
func (l *limits) read(bucket string, resp *http.Response, body []byte) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	spent := resp.Header.Get("X-RateLimit-Remaining") == "0" || resp.Header.Get("RateLimit-Remaining") == "0"
	reset, hasReset := resetTime(now, resp.Header)
	after, hasAfter := retryAfter(now, resp.Header)
	if !refused(resp, body, spent, hasAfter) {
		delete(l.strikes, bucket)
		// The last one that was free: the next would be refused.
		if spent && hasReset && reset.After(now) && resp.StatusCode < 500 {
			l.until[bucket] = reset
		}
		return time.Time{}, false
	}
	scope, until := bucket, now
	switch {
	case hasAfter:
		scope, until = everything, after
	case spent && hasReset:
		until = reset
	default:
		// Not told for how long: a minute, then twice as long each time.
		l.strikes[bucket] = min(l.strikes[bucket]+1, 6)
		scope, until = everything, now.Add(time.Minute<<(l.strikes[bucket]-1)+jitter(10*time.Second))
	}
	l.until[scope] = until
	return until, true
}

// refused tells a limit from other answers. GitHub answers 403 to secondary limits, and 200 to GraphQL.
func refused(resp *http.Response, body []byte, spent, hasAfter bool) bool {
	switch resp.StatusCode {
	case http.StatusTooManyRequests:
		return true
	case http.StatusForbidden:
		return spent || hasAfter || bytes.Contains(bytes.ToLower(body[:min(len(body), 4096)]), []byte("rate limit"))
	case http.StatusServiceUnavailable:
		return hasAfter
	case http.StatusOK:
		return spent && bytes.Contains(body[:min(len(body), 4096)], []byte(`"RATE_LIMITED"`))
	}
	return false
}

// retryAfter reads seconds or a date.
func retryAfter(now time.Time, h http.Header) (time.Time, bool) {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
		return now.Add(bounded(n)), true
	}
	if at, err := http.ParseTime(value); err == nil {
		return now.Add(min(max(at.Sub(now), 0), longest)), true
	}
	return time.Time{}, false
}

// resetTime reads seconds since 1970 (GitHub, GitLab), or, if that would be long past, seconds from now.
func resetTime(now time.Time, h http.Header) (time.Time, bool) {
	value := h.Get("X-RateLimit-Reset")
	if value == "" {
		value = h.Get("RateLimit-Reset")
	}
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, false
	}
	if n < 1_000_000_000 {
		return now.Add(bounded(n)), true
	}
	return now.Add(min(max(time.Duration(min(n-now.Unix(), int64(longest/time.Second)))*time.Second, 0), longest)), true
}

func bounded(seconds int64) time.Duration {
	return time.Duration(min(seconds, int64(longest/time.Second))) * time.Second
}
