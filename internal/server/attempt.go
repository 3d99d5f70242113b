package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

func (s *Server) appendLog(r *request) error {
	offset, err := r.number("offset", 1<<60)
	if err != nil {
		return err
	}
	if _, err := s.held(r); err != nil {
		return err
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	end, err := s.Logs.Append(r.Context(), r.ref.JobID, r.ref.Attempt, offset, data)
	if v, bad := errors.AsType[*glovebox.ValidationError](err); bad {
		return invalid("the log's bytes are not whole lines of records", v.Problems...)
	}
	if errors.Is(err, glovebox.ErrOffset) {
		return &offsetError{err: err, end: end}
	}
	if err != nil {
		return err
	}
	s.Metrics.logBytes.Add(float64(max(0, min(end-offset, int64(len(data))))))
	return r.w.json(http.StatusOK, api.AppendReply{End: end})
}

func (s *Server) completeAttempt(r *request) error {
	var result glovebox.Result
	if err := r.json(&result); err != nil {
		return err
	}
	// A repeated result is accepted after the attempt's end, so its artifacts are looked at only before.
	_, err := s.held(r)
	if err == nil {
		err = s.checkArtifacts(r.Context(), r.ref, result)
	}
	if err != nil && !errors.Is(err, glovebox.ErrLeaseLost) {
		return err
	}
	job, err := s.Queue.Complete(r.Context(), r.ref, result)
	if errors.Is(err, glovebox.ErrNotFound) {
		return fmt.Errorf("no such attempt: %w", glovebox.ErrLeaseLost)
	}
	if err != nil {
		return err
	}
	s.Metrics.finished.WithLabelValues(job.Queue, string(result.State)).Inc()
	s.Logger.Info("attempt completed", "job", r.ref.JobID, "attempt", r.ref.Attempt, "state", result.State, "job_state", job.State)
	return r.w.nothing()
}
