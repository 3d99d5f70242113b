package changeset

import (
	"testing"
	"time"
)

func TestRolloutNext(t *testing.T) {
	at := func(text string) time.Time {
		v, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	// 2030-01-04 is a Friday.
	for _, c := range []struct{ window, now, next string }{
		{"", "2030-01-05 03:00", "2030-01-05 03:00"},
		{"10/hour UTC", "2030-01-05 03:00", "2030-01-05 03:00"},
		{"mon-fri 09:00-17:00 UTC", "2030-01-04 10:00", "2030-01-04 10:00"},
		{"mon-fri 09:00-17:00 UTC", "2030-01-04 08:59", "2030-01-04 09:00"},
		{"mon-fri 09:00-17:00 UTC", "2030-01-04 17:00", "2030-01-07 09:00"},
		{"sat,sun UTC", "2030-01-04 17:00", "2030-01-05 00:00"},
		{"fri-mon UTC", "2030-01-08 17:00", "2030-01-11 00:00"},
		{"fri 22:00-06:00 UTC", "2030-01-05 05:59", "2030-01-05 05:59"},
		{"fri 22:00-06:00 UTC", "2030-01-05 06:00", "2030-01-11 22:00"},
		{"fri 22:00-06:00 UTC", "2030-01-04 05:00", "2030-01-04 22:00"},
		{"09:00-24:00 UTC", "2030-01-04 23:59", "2030-01-04 23:59"},
	} {
		r, err := ParseRollout(c.window)
		if err != nil {
			t.Errorf("%q: %v", c.window, err)
			continue
		}
		if got := r.Next(at(c.now)); !got.Equal(at(c.next)) {
			t.Errorf("%q at %s: next %v, want %s", c.window, c.now, got.UTC(), c.next)
		}
	}
}

func TestRolloutRefuses(t *testing.T) {
	for _, text := range []string{"monday", "mon-", "mon-xyz", "9-17", "09:00", "09:00-09:00", "25:00-26:00", "24:00-01:00", "0/hour", "10/week",
		"ten/hour", "mon tue", "Mars/Olympus", "Local", "../etc/passwd", "10/hour 5/hour", "-1/hour", "09:00-17:00-18:00"} {
		if r, err := ParseRollout(text); err == nil {
			t.Errorf("%q was read as %+v", text, r)
		}
	}
}

func FuzzParseRollout(f *testing.F) {
	f.Add("mon-fri 09:00-17:00 10/hour")
	f.Add("sat,sun 22:00-06:00 UTC")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRollout(text)
		if err != nil {
			return
		}
		now := time.Date(2030, 3, 1, 12, 0, 0, 0, time.UTC)
		if next := r.Next(now); next.Before(now) || next.Sub(now) > 9*24*time.Hour {
			t.Errorf("%q: next %v", text, next)
		}
	})
}
