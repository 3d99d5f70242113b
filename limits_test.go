package glovebox

import (
	"encoding/json"
	"math"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "512": 512, "64K": 64 << 10, "64k": 64 << 10, "2G": 2 << 30, "2GiB": 2 << 30, "2 GB": -1, "1.5G": 3 << 29, "1T": 1 << 40,
		"": -1, "G": -1, "-1": -1, "1X": -1, "NaN": -1, "Inf": -1, "1e30": -1, "0x10": -1, "1G1": -1,
	} {
		got, err := ParseSize(text)
		if (err != nil) != (want < 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"90": 90 * time.Second, "1.5": 1500 * time.Millisecond, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute,
		"": -1, "-5": -1, "-5s": -1, "x": -1, "NaN": -1, "1e300": -1, "10 m": -1,
	} {
		got, err := ParseDuration(text)
		if (err != nil) != (want < 0) || err == nil && time.Duration(got) != want {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
}

func TestLimitsAsJSON(t *testing.T) {
	l := Limits{CPUs: 1.5, Memory: 3 << 29, Disk: 12345, Timeout: Duration(90 * time.Minute)}
	b, err := json.Marshal(l)
	if want := `{"cpus":1.5,"memory":"1536M","disk":"12345","timeout":"1h30m"}`; err != nil || string(b) != want {
		t.Errorf("encoded %s, %v; want %s", b, err, want)
	}
	var got Limits
	if err := json.Unmarshal(b, &got); err != nil || got != l {
		t.Errorf("decoded %+v, %v", got, err)
	}
	if err := json.Unmarshal([]byte(`{"memory":1024,"timeout":90}`), &got); err != nil || got.Memory != 1024 || got.Timeout != Duration(90*time.Second) {
		t.Errorf("numbers: %+v, %v", got, err)
	}
	for _, bad := range []string{`{"memory":"much"}`, `{"memory":-1}`, `{"memory":{}}`, `{"timeout":"-1s"}`, `{"timeout":[]}`} {
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
}

func TestWithDefaults(t *testing.T) {
	if got := (Limits{}).WithDefaults(DefaultLimits()); got != DefaultLimits() {
		t.Errorf("defaults: %+v", got)
	}
	full := Limits{CPUs: 1, Memory: 2, Disk: 3, Pids: 4, OpenFiles: 5, Log: 6, Timeout: 7}
	if got := full.WithDefaults(DefaultLimits()); got != full {
		t.Errorf("set fields were replaced: %+v", got)
	}
}

// FuzzParse: sizes and durations are written as they are read, and never negative.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"1.5G", "10m", "1h0m5s", "9223372036854775807", "1e18", "0.0001T", "2562047h"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if size, err := ParseSize(s); err == nil {
			if back, err := ParseSize(size.String()); size < 0 || err != nil || math.Abs(float64(back-size)) > float64(size)/1e15 {
				t.Errorf("size %q is %d, written %q, read %d, %v", s, size, size, back, err)
			}
		}
		if d, err := ParseDuration(s); err == nil {
			if back, err := ParseDuration(d.String()); d < 0 || err != nil || back != d {
				t.Errorf("duration %q is %d, written %q, read %d, %v", s, d, d, back, err)
			}
		}
	})
}
