package glovebox

import "time"

// LogRecord is a piece of a job's log: at most one line of one stream of one
// step. A job's attempt has one log, a sequence of records, each stored as one
// line of JSON; offsets into a log count bytes of that form.
type LogRecord struct {
	Time time.Time `json:"time"`
	// Step is the step's key; empty for the executor's own remarks.
	Step string `json:"step,omitempty"`
	// Stream is StreamStdout, StreamStderr or StreamSystem.
	Stream string `json:"stream"`
	// Text is valid UTF-8 with at most MaxLogText bytes and no newline.
	// ANSI sequences and carriage returns are kept as the step wrote them: who
	// shows a log makes it safe for where it shows it.
	Text string `json:"text"`
	// Partial is set when the line goes on in the next record of the stream:
	// it was too long, or was shown before its newline came.
	Partial bool `json:"partial,omitempty"`
}

// Streams of a log record.
const (
	StreamStdout = "stdout"
	StreamStderr = "stderr"
	StreamSystem = "system"
)

// MaxLogText is the largest Text of one record, in bytes; longer lines are split.
const MaxLogText = 16 << 10
