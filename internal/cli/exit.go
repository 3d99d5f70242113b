package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/glovebox-dev/glovebox"
)

// Exit codes of "run" and of what waits for a job; a failing step's own code stands before them.
const (
	exitUsage    = 2
	exitTimedOut = 124
	exitErrored  = 125 // Glovebox failed
	exitCanceled = 130
)

const exitCodesHelp = `
Exit codes: that of the step that failed; 124 timed out, 125 Glovebox failed,
130 canceled, 2 wrong usage.`

// exitError ends the program with a code; err may be nil when everything was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}
func (e *exitError) Unwrap() error { return e.err }

func usageErrorf(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// hinted is an error with what to do next.
type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{error: err, hint: hint}
}

// exit prints err and returns the exit code it stands for.
func (a *app) exit(err error) int {
	if err == nil {
		return 0
	}
	code := 1
	if !a.started {
		code = exitUsage
	}
	var coded *exitError
	if errors.As(err, &coded) {
		if code = coded.code; coded.err == nil {
			return code
		}
	}
	text := strings.Split(strings.TrimRight(err.Error(), "\n"), "\n")
	for i, line := range text {
		text[i] = visible(line)
	}
	fmt.Fprintf(a.err, "glovebox: %s\n", strings.Join(text, "\n          "))
	if hint := hintFor(err, a.started); hint != "" {
		fmt.Fprintf(a.err, "          %s\n", hint)
	}
	return code
}

// hintFor says what to do next.
func hintFor(err error, started bool) string {
	var hint *hinted
	switch {
	case errors.As(err, &hint):
		return hint.hint
	case !started:
		return "see --help"
	case errors.Is(err, glovebox.ErrUnauthorized):
		return "is the token right? give it by --token or GLOVEBOX_TOKEN; an admin makes one with: glovebox token create NAME"
	case errors.Is(err, glovebox.ErrForbidden):
		return "the token's role does not allow this; ask an admin for one that does"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "no server listens there; start one with: glovebox dev"
	case isDNS(err):
		return "is the address in --server or GLOVEBOX_SERVER right?"
	case errors.Is(err, context.DeadlineExceeded):
		return "the server did not answer in time; try again"
	}
	return ""
}

func isDNS(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}

// jobExit returns the exit code that a finished job stands for.
func jobExit(state glovebox.State, reason string, steps []glovebox.StepResult) int {
	switch state {
	case glovebox.StateCompleted:
		return 0
	case glovebox.StateCanceled:
		return exitCanceled
	case glovebox.StateFailed:
		for _, s := range steps {
			if s.State != glovebox.StateFailed {
				continue
			}
			switch {
			case s.Reason == glovebox.ReasonTimedOut:
				return exitTimedOut
			case s.ExitCode != 0:
				return s.ExitCode
			}
		}
		if reason == glovebox.ReasonTimedOut {
			return exitTimedOut
		}
		return 1
	}
	return exitErrored
}
