package web

import (
	"context"
	"errors"
	"io"
	"sort"
	"sync"

	"github.com/glovebox-dev/glovebox"
)

const (
	// markEvery is how many lines of a step lie between the places where a reader may begin.
	markEvery = 512
	// indexCacheSize is how many attempts' indexes are kept in memory.
	indexCacheSize = 64
)

// logMark is a place in a log where a step's lines can be read from without
// having read what is before.
type logMark struct {
	offset int64
	lines  int // before the mark
	styles [3]style
}

// stepIndex is what is known of one step's part of a log.
type stepIndex struct {
	log   stepLog
	marks []logMark
	// end is where the step's last record so far ends.
	end int64
}

// before returns the last mark that fits.
func (s *stepIndex) before(fits func(logMark) bool) logMark {
	i := sort.Search(len(s.marks), func(i int) bool { return !fits(s.marks[i]) })
	if i == 0 {
		return logMark{}
	}
	return s.marks[i-1]
}

// logIndex knows how many lines each step of an attempt's log has and where they
// are. It is built by reading the log once, and goes on where it stopped.
type logIndex struct {
	mu    sync.Mutex
	end   int64
	steps map[string]*stepIndex
}

// extend reads what the log has got since.
func (x *logIndex) extend(ctx context.Context, logs Logs, jobID string, attempt int) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	r, err := logs.Open(ctx, jobID, attempt, x.end)
	if errors.Is(err, glovebox.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer r.Close()
	records := newRecordReader(r, x.end)
	for ctx.Err() == nil {
		at := records.offset
		rec, err := records.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		x.add(rec, at, records.offset)
	}
	return ctx.Err()
}

func (x *logIndex) add(rec glovebox.LogRecord, at, end int64) {
	step := x.steps[rec.Step]
	if step == nil {
		step = &stepIndex{}
		x.steps[rec.Step] = step
	}
	last := logMark{lines: -markEvery}
	if len(step.marks) > 0 {
		last = step.marks[len(step.marks)-1]
	}
	if step.log.lines-last.lines >= markEvery && step.log.settled() {
		step.marks = append(step.marks, logMark{offset: at, lines: step.log.lines, styles: step.log.styles()})
	}
	step.log.add(rec)
	step.end, x.end = end, end
}

// lines returns how many lines a step has and where its records end.
func (x *logIndex) lines(step string) (n int, end int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.steps[step]; s != nil {
		return s.log.lines, s.end
	}
	return 0, 0
}

// markOf returns where to begin reading for line n of a step.
func (x *logIndex) markOf(step string, n int) logMark {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s := x.steps[step]; s != nil {
		return s.before(func(m logMark) bool { return m.lines < n })
	}
	return logMark{}
}

// starts returns for each step the mark to begin at in order to know all lines
// that end after offset, and the least of their offsets.
func (x *logIndex) starts(offset int64) (marks map[string]logMark, least int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	marks, least = map[string]logMark{}, offset
	for key, s := range x.steps {
		m := s.before(func(m logMark) bool { return m.offset <= offset })
		if s.end <= offset && s.log.settled() {
			m = logMark{offset: s.end, lines: s.log.lines, styles: s.log.styles()}
		} else {
			least = min(least, m.offset)
		}
		marks[key] = m
	}
	return marks, least
}

// indexKey names an attempt.
type indexKey struct {
	jobID   string
	attempt int
}

// indexCache keeps the indexes that were used last.
type indexCache struct {
	size  int
	mu    sync.Mutex
	byKey map[indexKey]*logIndex
	order []indexKey // least recently used first
}

func newIndexCache(size int) *indexCache {
	return &indexCache{size: size, byKey: map[indexKey]*logIndex{}}
}

func (c *indexCache) get(key indexKey) *logIndex {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, k := range c.order {
		if k == key {
			c.order = append(c.order[:i:i], c.order[i+1:]...)
			break
		}
	}
	c.order = append(c.order, key)
	if x := c.byKey[key]; x != nil {
		return x
	}
	if len(c.order) > c.size {
		delete(c.byKey, c.order[0])
		c.order = c.order[1:]
	}
	x := &logIndex{steps: map[string]*stepIndex{}}
	c.byKey[key] = x
	return x
}

// index returns the index of an attempt's log as it is now.
func (s *site) index(ctx context.Context, jobID string, attempt int) (*logIndex, error) {
	x := s.indexes.get(indexKey{jobID, attempt})
	return x, x.extend(ctx, s.Logs, jobID, attempt)
}

// size returns how many bytes of the log are known.
func (x *logIndex) size() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.end
}
