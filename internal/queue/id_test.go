package queue

import (
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestIDsRise(t *testing.T) {
	now := time.Now()
	newID := newIDs(func() time.Time { return now })
	shape := regexp.MustCompile(`^[0-9a-z]{26}$`)
	last := ""
	for i := range 3000 {
		switch { // the clock stands, goes, and is set back
		case i%1000 == 999:
			now = now.Add(-time.Minute)
		case i%100 == 99:
			now = now.Add(time.Millisecond)
		}
		id := newID()
		if id <= last || !shape.MatchString(id) {
			t.Fatalf("id %q after %q", id, last)
		}
		last = id
	}
	if a, b := newIDs(time.Now)(), newIDs(time.Now)(); a == b {
		t.Error("two sources made the same id")
	}
}

func TestExponentialBackoff(t *testing.T) {
	for attempt, want := range map[int]time.Duration{
		-1: 2 * time.Second, 0: 2 * time.Second, 1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 100: 5 * time.Minute,
	} {
		if got := ExponentialBackoff(attempt); got != want {
			t.Errorf("after attempt %d: %s, want %s", attempt, got, want)
		}
	}
}

func FuzzOneLine(f *testing.F) {
	for _, s := range []string{"", "plain", "a\r\nb\x00\x1b[31m", strings.Repeat("ü", 600), strings.Repeat("\xff", 2000), "x" + strings.Repeat("€", 400)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := oneLine(s)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x00\x1b") || len(got) > 3*maxMessage {
			t.Errorf("oneLine(%q) = %q", s, got)
		}
		if utf8.ValidString(s) && strings.ContainsRune(got, utf8.RuneError) && !strings.ContainsRune(s, utf8.RuneError) {
			t.Errorf("oneLine cut a character of %q", s)
		}
	})
}
