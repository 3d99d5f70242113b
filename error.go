package glovebox

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that callers branch on.
var (
	// ErrNotFound: the thing named does not exist, or not for this caller.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the thing is not in a state that allows the change.
	ErrConflict = errors.New("conflict")
	// ErrLeaseLost: the attempt is not, or no longer, the job's current one. Nothing was changed.
	ErrLeaseLost = errors.New("lease lost")
	// ErrOffset: a log append does not begin at or before the log's end.
	ErrOffset = errors.New("log offset beyond the end")
	// ErrUnsupported: a runtime can't enforce what the job asks for.
	ErrUnsupported = errors.New("unsupported")
	// ErrTooLarge: a size limit was passed.
	ErrTooLarge = errors.New("too large")
	// ErrUnauthorized: no valid credential. ErrForbidden: a valid one without the right.
	ErrUnauthorized = errors.New("unauthorized")
	ErrForbidden    = errors.New("forbidden")
)

// Causes with which a job's context is ended (context.Cause).
var (
	ErrCanceled = errors.New("canceled")
	ErrTimedOut = errors.New("timed out")
	ErrShutdown = errors.New("executor is shutting down")
)

// ValidationError lists what is wrong with a job, a path or a name that came from outside.
type ValidationError struct {
	Problems []Problem `json:"problems"`
}

// Problem is one fault. Path points into the JSON form ("steps[0].run");
// Line and Column are 1-based, 0 where the source has none.
type Problem struct {
	Path    string `json:"path,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

// Error joins the problems, one a line.
func (e *ValidationError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		switch {
		case p.Line > 0:
			lines = append(lines, fmt.Sprintf("%d:%d: %s: %s", p.Line, p.Column, p.Path, p.Message))
		case p.Path != "":
			lines = append(lines, p.Path+": "+p.Message)
		default:
			lines = append(lines, p.Message)
		}
	}
	return strings.Join(lines, "\n")
}
