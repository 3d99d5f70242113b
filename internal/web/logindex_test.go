package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox"
)

// memoryLogs is one log in memory.
type memoryLogs struct{ data []byte }

func (m *memoryLogs) Open(_ context.Context, _ string, _ int, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m.data[min(offset, int64(len(m.data))):])), nil
}

func (m *memoryLogs) Follow(ctx context.Context, jobID string, attempt int, offset int64, _ <-chan struct{}) (io.ReadCloser, error) {
	return m.Open(ctx, jobID, attempt, offset)
}

// randomLog makes a log of three parts with streams mixed, open lines, colours
// and lines longer than a screen's.
func randomLog(t *testing.T, seed uint64, records int) (m *memoryLogs, ends []int64) {
	t.Helper()
	r, m := shuffled(seed), &memoryLogs{}
	texts := []string{"", "plain", "\x1b[31mred", "\x1b[0mreset", "50%\r", "\x1b[3", "8;5;9m", "\x1b]0;open", "\b\b", "é日本"}
	steps := []string{"", "a", "b"}
	step := 0
	for i := range records {
		if r.IntN(records/3+1) == 0 {
			step = (step + 1) % len(steps)
		}
		rec := glovebox.LogRecord{Time: time.Unix(int64(i), 0).UTC(), Step: steps[step], Stream: streamNames[r.IntN(2)],
			Text: texts[r.IntN(len(texts))] + fmt.Sprint(i) + strings.Repeat("x", max(0, r.IntN(4000)-3900)*60), Partial: r.IntN(4) == 0}
		line, err := json.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		m.data = append(append(m.data, line...), '\n')
		ends = append(ends, int64(len(m.data)))
	}
	return m, ends
}

// naive reads a whole log in one go: what every other way of reading must agree with.
func naive(m *memoryLogs) map[string][]Line {
	live := newLiveLog(map[string]logMark{}, 0)
	all := map[string]map[int]Line{}
	records := newRecordReader(bytes.NewReader(m.data), 0)
	for {
		at := records.offset
		rec, err := records.next()
		if err != nil {
			break
		}
		live.add(located{rec, at, records.offset})
		events, _ := live.take()
		for _, e := range events {
			if all[e.Step] == nil {
				all[e.Step] = map[int]Line{}
			}
			for _, line := range e.Lines {
				all[e.Step][line.N] = line
			}
		}
	}
	out := map[string][]Line{}
	for step, lines := range all {
		for _, n := range slices.Sorted(maps.Keys(lines)) {
			out[step] = append(out[step], lines[n])
		}
	}
	return out
}

func TestWindowsAgreeWithTheWholeLog(t *testing.T) {
	for seed := range uint64(3) {
		m, _ := randomLog(t, seed, 3000)
		want := naive(m)
		s := &site{Deps: Deps{Logs: m}, indexes: newIndexCache(4)}
		x, err := s.index(t.Context(), "job", 1)
		if err != nil {
			t.Fatal(err)
		}
		r := shuffled(seed)
		for step, lines := range want {
			if total, _ := x.lines(step); total != len(lines) {
				t.Fatalf("seed %d step %q: %d lines, want %d", seed, step, total, len(lines))
			}
			for range 10 {
				from := 1 + r.IntN(len(lines))
				to := min(from+r.IntN(300), len(lines))
				got, err := s.window(t.Context(), glovebox.Job{ID: "job", Attempt: 1}, x, step, from, to)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(lines[from-1:to], got); diff != "" {
					t.Fatalf("seed %d step %q lines %d to %d: %s", seed, step, from, to, diff)
				}
			}
		}
	}
}

// TestStreamsResumeAnywhere holds that a page of the log up to some record and a
// stream from there make the whole log.
func TestStreamsResumeAnywhere(t *testing.T) {
	for seed := range uint64(3) {
		m, ends := randomLog(t, seed, 2500)
		want := naive(m)
		r := shuffled(seed)
		for range 4 {
			cut := ends[r.IntN(len(ends))]
			page := naive(&memoryLogs{data: m.data[:cut]})
			x := &logIndex{steps: map[string]*stepIndex{}}
			// The index may know less or more than the page.
			if err := x.extend(t.Context(), &memoryLogs{data: m.data[:ends[r.IntN(len(ends))]]}, "job", 1); err != nil {
				t.Fatal(err)
			}
			if x.size() < cut {
				if err := x.extend(t.Context(), m, "job", 1); err != nil {
					t.Fatal(err)
				}
			}
			marks, least := x.starts(cut)
			live := newLiveLog(marks, cut)
			records := newRecordReader(bytes.NewReader(m.data[least:]), least)
			for {
				at := records.offset
				rec, err := records.next()
				if err != nil {
					break
				}
				live.add(located{rec, at, records.offset})
				events, _ := live.take()
				for _, e := range events {
					for _, line := range e.Lines {
						if line.N <= len(page[e.Step]) {
							page[e.Step][line.N-1] = line
						} else {
							page[e.Step] = append(page[e.Step], line)
						}
					}
				}
			}
			if diff := cmp.Diff(want, page); diff != "" {
				t.Fatalf("seed %d cut at %d: %s", seed, cut, diff[:min(len(diff), 2000)])
			}
		}
	}
}

func TestUnreadableRecordsBecomeRemarks(t *testing.T) {
	m := &memoryLogs{data: []byte("{\"stream\":\"stdout\",\"text\":\"ok\"}\nnot json\n" + strings.Repeat("x", 3*maxRecord) + "\n{\"stream\":\"stdout\",\"text\":\"after\"}\n{\"stream\":\"stdout\",\"te")}
	got := naive(m)[""]
	if len(got) != 4 || !strings.HasPrefix(got[1].Spans[0].Text, "unreadable") || got[3].Spans[0].Text != "after" {
		t.Errorf("got %+v", got)
	}
}

func TestIndexCacheForgetsTheOldest(t *testing.T) {
	c := newIndexCache(2)
	a := c.get(indexKey{"a", 1})
	c.get(indexKey{"b", 1})
	if c.get(indexKey{"a", 1}) != a {
		t.Fatal("a was forgotten too early")
	}
	c.get(indexKey{"c", 1})
	if len(c.byKey) != 2 || len(c.order) != 2 || c.byKey[indexKey{"a", 1}] != a {
		t.Errorf("cache holds %v", c.order)
	}
}

// BenchmarkOpenALargeLog measures the first look at a log of 64 MiB of text.
func BenchmarkOpenALargeLog(b *testing.B) {
	line := strings.Repeat("x", 99)
	var data []byte
	for range 64 << 20 / 100 {
		data = append(data, `{"time":"2026-01-02T03:04:05.123456789Z","step":"a","stream":"stdout","text":"`+line+"\"}\n"...)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		x := &logIndex{steps: map[string]*stepIndex{}}
		if err := x.extend(b.Context(), &memoryLogs{data: data}, "job", 1); err != nil {
			b.Fatal(err)
		}
		if n, _ := x.lines("a"); n != 64<<20/100 {
			b.Fatalf("%d lines", n)
		}
	}
}

func TestQuickRecordsAgreeWithJSON(t *testing.T) {
	for _, line := range []string{
		`{"time":"2026-01-02T03:04:05.123456789Z","step":"a","stream":"stdout","text":"x"}`,
		`{"time":"2026-01-02T03:04:05Z","stream":"stderr","text":"é","partial":true}`,
		`{"time":"2026-01-02T03:04:05Z","stream":"stdout","text":""}`,
		`{"time":"2026-01-02T03:04:05Z","step":"a\"b","stream":"stdout","text":"x"}`,
		`{"time":"2026-01-02T03:04:05Z","stream":"stdout","text":"\u001b[31mx"}`,
		`{"time":"2026-01-02T03:04:05Z","step":"a\\\\","stream":"stdout","text":"x"}`,
		`{"time":"no time","stream":"stdout","text":"x"}`,
		`{"time":"2026-01-02T03:04:05Z","stream":"stdout","text":"x","partial":false}`,
		`{"time":"2026-01-02T03:04:05Z","stream":"stdout","text":"x"}}`,
		`{"text":"x"}`, `{`, ``,
	} {
		quick, ok := quickRecord([]byte(line + "\n"))
		var slow glovebox.LogRecord
		err := json.Unmarshal([]byte(line), &slow)
		if ok && (err != nil || quick != slow) {
			t.Errorf("%s: quick %+v, JSON %+v, %v", line, quick, slow, err)
		}
	}
}
