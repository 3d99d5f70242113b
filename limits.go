package glovebox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Limits bound what a job may use. They are enforced or the job is refused.
type Limits struct {
	// CPUs is how many CPUs' time the job gets, at least 0.1.
	CPUs float64 `json:"cpus,omitempty"`
	// Memory bounds the memory of all processes and in-memory files together.
	Memory Size `json:"memory,omitzero"`
	// Disk bounds workspace, writable root and temporary files together.
	Disk Size `json:"disk,omitzero"`
	// Pids bounds the number of processes and threads.
	Pids int `json:"pids,omitempty"`
	// OpenFiles bounds the open files of one process.
	OpenFiles int `json:"open_files,omitempty"`
	// Log bounds the output kept of each step; the rest is cut, with a line that says so.
	Log Size `json:"log,omitzero"`
	// Timeout bounds the wall time from the first step's start to the last one's end.
	Timeout Duration `json:"timeout,omitzero"`
}

// DefaultLimits returns the limits of a job that names none.
func DefaultLimits() Limits {
	return Limits{CPUs: 2, Memory: 2 << 30, Disk: 4 << 30, Pids: 1024, OpenFiles: 16384, Log: 64 << 20, Timeout: Duration(time.Hour)}
}

// WithDefaults returns l with its zero fields taken from d.
func (l Limits) WithDefaults(d Limits) Limits {
	pick := func(v, def int64) int64 {
		if v == 0 {
			return def
		}
		return v
	}
	if l.CPUs == 0 {
		l.CPUs = d.CPUs
	}
	l.Memory = Size(pick(int64(l.Memory), int64(d.Memory)))
	l.Disk = Size(pick(int64(l.Disk), int64(d.Disk)))
	l.Pids = int(pick(int64(l.Pids), int64(d.Pids)))
	l.OpenFiles = int(pick(int64(l.OpenFiles), int64(d.OpenFiles)))
	l.Log = Size(pick(int64(l.Log), int64(d.Log)))
	l.Timeout = Duration(pick(int64(l.Timeout), int64(d.Timeout)))
	return l
}

// Size is a number of bytes, written as "64M" or "2G" (powers of 1024) or as a plain number.
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}

// ParseSize reads "512", "64K", "64M", "2G", "1.5G", "1T"; "iB" and "B" after the letter are allowed.
func ParseSize(s string) (Size, error) {
	t := strings.ToUpper(strings.TrimSpace(s))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "B"), "I")
	unit := int64(1)
	for _, u := range sizeUnits {
		if strings.HasSuffix(t, u.suffix) {
			t, unit = strings.TrimSuffix(t, u.suffix), u.bytes
			break
		}
	}
	f, err := strconv.ParseFloat(t, 64)
	if err != nil || f < 0 || math.IsNaN(f) || f*float64(unit) > math.MaxInt64/2 {
		return 0, fmt.Errorf("size %q: want a number with an optional K, M, G or T, such as 512M or 2G", s)
	}
	return Size(f * float64(unit)), nil
}

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// MarshalJSON writes the string form.
func (s Size) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads a string or a number of bytes.
func (s *Size) UnmarshalJSON(b []byte) error {
	v, err := ParseSize(string(bytes.Trim(b, `"`)))
	if err == nil {
		*s = v
	}
	return err
}

// Duration is a time span written as "90s" or "10m" (time.ParseDuration) or as a number of seconds.
type Duration time.Duration

// ParseDuration reads "1h30m" or a plain number of seconds.
func ParseDuration(s string) (Duration, error) {
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n < 1e9 {
		return Duration(n * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("duration %q: want a time such as 90s, 10m or 1h30m", s)
	}
	return Duration(d), nil
}

// String writes the duration without needless zero parts ("10m", not "10m0s").
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalJSON writes the string form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON reads a string or a number of seconds.
func (d *Duration) UnmarshalJSON(b []byte) error {
	v, err := ParseDuration(string(bytes.Trim(b, `"`)))
	if err == nil {
		*d = v
	}
	return err
}
