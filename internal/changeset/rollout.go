package changeset

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Rollout says when changesets may be published for the first time, and how many in a time. The zero value
// has no bounds. Updates and closes do not wait for it.
type Rollout struct {
	// Days are the days of the week; every day when none is set.
	Days [7]bool
	// From and To bound the time of the day, in minutes since midnight; the whole day when both are 0. A window
	// with From after To goes over midnight, and belongs to the day on which it begins.
	From, To int
	// Rate is how many may be published in Per; no bound when 0.
	Rate int
	Per  time.Duration
	// Location is where the hours are those of; the server's own when nil.
	Location *time.Location
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseRollout reads words such as "mon-fri 09:00-17:00 10/hour", each of which may be missing: days ("sat,sun",
// "mon-fri"), hours of the server's time zone, or of "Europe/Berlin" or "UTC", and a rate (N/minute, N/hour, N/day).
func ParseRollout(text string) (Rollout, error) {
	var r Rollout
	seen := map[string]bool{}
	for word := range strings.FieldsSeq(text) {
		kind, err := r.read(word)
		if err != nil {
			return Rollout{}, fmt.Errorf("rollout window %.100q: %w", text, err)
		}
		if seen[kind] {
			return Rollout{}, fmt.Errorf("rollout window %.100q: %s are given twice", text, kind)
		}
		seen[kind] = true
	}
	return r, nil
}

func (r *Rollout) read(word string) (kind string, err error) {
	switch {
	case strings.Contains(word, ":"):
		return "hours", r.readHours(word)
	case word[0] >= '0' && word[0] <= '9':
		return "rates", r.readRate(word)
	case weekday(word) >= 0:
		return "days", r.readDays(strings.ToLower(word))
	}
	r.Location, err = time.LoadLocation(word)
	if err != nil || word == "Local" {
		err = fmt.Errorf("%.40q: want days such as mon-fri, hours such as 09:00-17:00, a rate such as 10/hour or a time zone such as UTC", word)
	}
	return "time zones", err
}

// weekday is the day that a word begins with, -1 when it begins with none.
func weekday(word string) int {
	for i, day := range weekdays {
		if len(word) >= 3 && strings.EqualFold(word[:3], day) && (len(word) == 3 || word[3] == '-' || word[3] == ',') {
			return i
		}
	}
	return -1
}

func (r *Rollout) readDays(word string) error {
	for part := range strings.SplitSeq(word, ",") {
		first, last, isRange := strings.Cut(part, "-")
		from, to := weekday(first), weekday(first)
		if isRange {
			to = weekday(last)
		}
		if from < 0 || to < 0 || len(first) != 3 || isRange && len(last) != 3 {
			return fmt.Errorf("%.40q: want days such as mon-fri or sat,sun", word)
		}
		for day := from; ; day = (day + 1) % 7 {
			r.Days[day] = true
			if day == to {
				break
			}
		}
	}
	return nil
}

func (r *Rollout) readHours(word string) error {
	first, last, ok := strings.Cut(word, "-")
	from, err1 := minutes(first)
	to, err2 := minutes(last)
	if !ok || err1 != nil || err2 != nil || from == to || from == 24*60 {
		return fmt.Errorf("%.40q: want hours such as 09:00-17:00", word)
	}
	r.From, r.To = from, to
	return nil
}

func minutes(text string) (int, error) {
	h, m, ok := strings.Cut(text, ":")
	hour, err1 := strconv.ParseUint(h, 10, 8)
	minute, err2 := strconv.ParseUint(m, 10, 8)
	if !ok || err1 != nil || err2 != nil || len(h) > 2 || len(m) != 2 || minute > 59 || hour*60+minute > 24*60 {
		return 0, fmt.Errorf("%.40q is no time of the day", text)
	}
	return int(hour*60 + minute), nil
}

func (r *Rollout) readRate(word string) error {
	count, per, ok := strings.Cut(word, "/")
	n, err := strconv.Atoi(count)
	r.Per = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[per]
	if !ok || err != nil || n < 1 || n > 1_000_000 || r.Per == 0 {
		return fmt.Errorf("%.40q: want a rate such as 10/hour", word)
	}
	r.Rate = n
	return nil
}

// Next is the first time from now on at which the window is open: now itself when it is.
func (r Rollout) Next(now time.Time) time.Time {
	if r.From == r.To && r.Days == [7]bool{} {
		return now
	}
	loc := r.Location
	if loc == nil {
		loc = time.Local
	}
	local := now.In(loc)
	from, to := r.From, r.To
	if from == to {
		from, to = 0, 24*60
	}
	if to <= from {
		to += 24 * 60
	}
	for day := -1; day <= 8; day++ { // yesterday's window may go over midnight
		date := time.Date(local.Year(), local.Month(), local.Day()+day, 0, 0, 0, 0, loc)
		if r.Days != [7]bool{} && !r.Days[date.Weekday()] {
			continue
		}
		begin := time.Date(date.Year(), date.Month(), date.Day(), 0, from, 0, 0, loc)
		end := time.Date(date.Year(), date.Month(), date.Day(), 0, to, 0, 0, loc)
		if now.Before(begin) {
			return begin
		}
		if now.Before(end) {
			return now
		}
	}
	return now // not reached: some day of the week is set
}
