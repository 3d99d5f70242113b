// Package logs carries a job's output from the step that writes it to whoever
// reads it: sinks of records and their decorators (lines, redaction, limits, batches)
// at the executor, and the stored log with its followers at the server. It must not
// know jobs, sandboxes or HTTP.
package logs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/glovebox-dev/glovebox"
)

// Sink takes the records of a job's log, in order. Write may be called from several
// goroutines; an error means that the record was not kept.
type Sink interface {
	Write(record glovebox.LogRecord) error
}

// Encode writes a record in its stored form: one line of JSON.
func Encode(record glovebox.LogRecord) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(record); err != nil {
		return nil, fmt.Errorf("encode log record: %w", err)
	}
	return buf.Bytes(), nil
}

// Decode reads one line of JSON.
func Decode(line []byte) (glovebox.LogRecord, error) {
	var record glovebox.LogRecord
	if err := json.Unmarshal(line, &record); err != nil {
		return record, fmt.Errorf("decode log record: %w", err)
	}
	return record, nil
}

// Tee writes each record to every sink, and joins their errors.
func Tee(sinks ...Sink) Sink { return tee(sinks) }

type tee []Sink

func (t tee) Write(record glovebox.LogRecord) error {
	var errs []error
	for _, s := range t {
		if err := s.Write(record); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Memory keeps records in memory; the zero value is ready.
type Memory struct {
	mu      sync.Mutex
	records []glovebox.LogRecord
}

// Write keeps the record.
func (m *Memory) Write(record glovebox.LogRecord) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, record)
	return nil
}

// Records returns what was written so far.
func (m *Memory) Records() []glovebox.LogRecord {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]glovebox.LogRecord(nil), m.records...)
}

// Text returns the text of one step and stream, with its newlines; all steps or
// streams where the name is empty.
func (m *Memory) Text(step, stream string) string {
	var buf bytes.Buffer
	for _, r := range m.Records() {
		if (step == "" || r.Step == step) && (stream == "" || r.Stream == stream) {
			buf.WriteString(r.Text)
			if !r.Partial {
				buf.WriteByte('\n')
			}
		}
	}
	return buf.String()
}
