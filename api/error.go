package api

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/glovebox-dev/glovebox"
)

// Codes of errors. They are part of the contract; messages are not.
const (
	CodeInvalid      = "invalid"      // 400: the request can't be read
	CodeUnauthorized = "unauthorized" // 401
	CodeForbidden    = "forbidden"    // 403
	CodeNotFound     = "not_found"    // 404
	CodeNoMethod     = "no_method"    // 405
	CodeConflict     = "conflict"     // 409
	CodeLeaseLost    = "lease_lost"   // 409: the attempt is over
	CodeTooLarge     = "too_large"    // 413
	CodeOffset       = "offset"       // 416: a log append beyond the end; End says where it is
	CodeInvalidJob   = "invalid_job"  // 422: Problems say what is wrong
	CodeRateLimited  = "rate_limited" // 429
	CodeTimedOut     = "timed_out"    // 408: the body did not come in time
	CodeUnavailable  = "unavailable"  // 503: try again
	CodeInternal     = "internal"     // 500
)

// Error is a refused request, as the envelope's "error" holds it and as the Client returns it.
// errors.Is finds the root package's sentinel that its code stands for, errors.As a
// *glovebox.ValidationError when it has problems.
type Error struct {
	// Status is the HTTP status; it does not travel in the body.
	Status  int    `json:"-"`
	Code    string `json:"code"`
	Message string `json:"message"`
	// Problems are set with CodeInvalid and CodeInvalidJob where single places are to blame.
	Problems []glovebox.Problem `json:"problems,omitempty"`
}

// ErrorBody is the envelope of every refused request.
type ErrorBody struct {
	Error Error `json:"error"`
	// End is set with CodeOffset: the log's end.
	End *int64 `json:"end,omitempty"`
}

func (e *Error) Error() string {
	if e.Message != "" {
		return e.Message
	}
	return fmt.Sprintf("status %d: %s", e.Status, e.Code)
}

var sentinels = map[string]error{
	CodeUnauthorized: glovebox.ErrUnauthorized,
	CodeForbidden:    glovebox.ErrForbidden,
	CodeNotFound:     glovebox.ErrNotFound,
	CodeConflict:     glovebox.ErrConflict,
	CodeLeaseLost:    glovebox.ErrLeaseLost,
	CodeTooLarge:     glovebox.ErrTooLarge,
	CodeOffset:       glovebox.ErrOffset,
}

// Unwrap returns the sentinel and the validation error that e stands for.
func (e *Error) Unwrap() []error {
	var errs []error
	if s, ok := sentinels[e.Code]; ok {
		errs = append(errs, s)
	}
	if len(e.Problems) > 0 {
		errs = append(errs, &glovebox.ValidationError{Problems: e.Problems})
	}
	return errs
}

// ErrorOf translates err for the wire. Errors that are none of the root
// package's become CodeInternal with no detail, so that nothing of the server leaks.
func ErrorOf(err error) *Error {
	if own, ok := errors.AsType[*Error](err); ok {
		return own
	}
	if v, ok := errors.AsType[*glovebox.ValidationError](err); ok {
		return &Error{Status: http.StatusUnprocessableEntity, Code: CodeInvalidJob, Message: v.Error(), Problems: v.Problems}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Error{Status: http.StatusRequestEntityTooLarge, Code: CodeTooLarge, Message: "the request's body is too large"}
	}
	for _, m := range []struct {
		is     error
		status int
		code   string
	}{
		{glovebox.ErrLeaseLost, http.StatusConflict, CodeLeaseLost},
		{glovebox.ErrOffset, http.StatusRequestedRangeNotSatisfiable, CodeOffset},
		{glovebox.ErrTooLarge, http.StatusRequestEntityTooLarge, CodeTooLarge},
		{glovebox.ErrNotFound, http.StatusNotFound, CodeNotFound},
		{glovebox.ErrConflict, http.StatusConflict, CodeConflict},
		{glovebox.ErrUnauthorized, http.StatusUnauthorized, CodeUnauthorized},
		{glovebox.ErrForbidden, http.StatusForbidden, CodeForbidden},
	} {
		if errors.Is(err, m.is) {
			return &Error{Status: m.status, Code: m.code, Message: err.Error()}
		}
	}
	return &Error{Status: http.StatusInternalServerError, Code: CodeInternal, Message: "the server could not do it; its log says why"}
}
