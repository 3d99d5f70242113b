package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

// request is one request with what the routes' common part found out about it.
type request struct {
	*http.Request
	w *reply
	// user is set on routes for users and executors.
	user glovebox.Token
	// ref is set on routes of an attempt: what the caller claims to hold, not yet checked.
	ref glovebox.LeaseRef
}

// serve is the common part of all routes: limits, credentials, errors, metrics.
func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := s.Now()
		out := &reply{ResponseWriter: w, control: http.NewResponseController(w), idle: s.cfg.Idle}
		defer func() { s.Metrics.observeRequest(r.Method, rt.path, out.status, s.Now().Sub(begin)) }()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		body := &body{ReadCloser: r.Body, control: out.control, idle: s.cfg.Idle, until: time.Now().Add(s.bodyTime(rt))}
		if r.Body != http.NoBody {
			// Holds too when nobody reads the body and net/http discards it before the answer,
			// and ends then before the answer's own deadline.
			_ = out.control.SetReadDeadline(time.Now().Add(s.cfg.Idle / 2))
			r.Body = body
		}
		if rt.body >= 0 {
			r.Body = http.MaxBytesReader(w, body, rt.body)
		}
		in := &request{Request: r, w: out}
		err := s.admit(in, rt.access)
		if err == nil {
			err = rt.handle(s, in)
		}
		if err != nil {
			s.refuse(in, rt, err)
		}
	})
}

// refuse answers with the error, or cuts the connection when an answer has begun.
func (s *Server) refuse(r *request, rt route, err error) {
	if r.w.status != 0 {
		s.Logger.Debug("request ended early", "method", r.Method, "route", rt.path, "error", err)
		panic(http.ErrAbortHandler)
	}
	refusal := refusalOf(r.Context(), err)
	if refusal.Code == api.CodeInternal {
		s.Logger.Error("request failed", "method", r.Method, "route", rt.path, "error", err)
	}
	envelope := api.ErrorBody{Error: *refusal}
	if at, ok := errors.AsType[*offsetError](err); ok {
		envelope.End = &at.end
	}
	if refusal.Status == http.StatusUnauthorized {
		scheme := `Bearer realm="glovebox"`
		if rt.access == inBody {
			scheme = `Basic realm="glovebox"`
		}
		r.w.Header().Set("WWW-Authenticate", scheme)
	}
	if refusal.Status == http.StatusTooManyRequests || refusal.Status == http.StatusServiceUnavailable {
		r.w.Header().Set("Retry-After", "2")
	}
	_ = r.w.json(refusal.Status, envelope)
}

func refusalOf(ctx context.Context, err error) *api.Error {
	switch {
	case errors.Is(err, errStopping):
		return &api.Error{Status: http.StatusServiceUnavailable, Code: api.CodeUnavailable, Message: errStopping.Error()}
	case errors.Is(err, errSlow):
		return &api.Error{Status: http.StatusRequestTimeout, Code: api.CodeTimedOut, Message: errSlow.Error()}
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return &api.Error{Status: 499, Code: api.CodeTimedOut, Message: "the client has left"}
	}
	return api.ErrorOf(err)
}

// offsetError carries a log's end to the envelope.
type offsetError struct {
	err error
	end int64
}

func (e *offsetError) Error() string { return e.err.Error() }
func (e *offsetError) Unwrap() error { return e.err }

// invalid is a request that can't be read.
func invalid(message string, problems ...glovebox.Problem) error {
	return &api.Error{Status: http.StatusBadRequest, Code: api.CodeInvalid, Message: message, Problems: problems}
}

// number reads a query parameter of whole numbers from 0 on.
func (r *request) number(name string, max int64) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > max {
		return 0, invalid("parameter " + name + ": want a number from 0 to " + strconv.FormatInt(max, 10))
	}
	return n, nil
}

// flag reads a query parameter of 0 or 1.
func (r *request) flag(name string) bool {
	v := r.URL.Query().Get(name)
	return v != "" && v != "0" && v != "false"
}

// json reads the body strictly into v.
func (r *request) json(v any) error {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	return decodeStrict(raw, v)
}

// optionalJSON is json for a body that may be empty.
func (r *request) optionalJSON(v any) error {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	if len(raw) == 0 {
		return nil
	}
	return decodeStrict(raw, v)
}

// bodyError tells a body that is too large or too slow from one that ended early.
func bodyError(err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large || errors.Is(err, errSlow) {
		return err
	}
	return invalid("the body can't be read to its end")
}

// json answers with v.
func (w *reply) json(status int, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)+1))
	w.WriteHeader(status)
	_, err = w.Write(append(raw, '\n'))
	return err
}

// nothing answers that it is done.
func (w *reply) nothing() error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}
