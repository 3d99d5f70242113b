package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

// healthz says that the process answers.
func (s *Server) healthz(r *request) error {
	return r.w.text(http.StatusOK, "ok\n")
}

// readyz says that database and blobs answer too.
func (s *Server) readyz(r *request) error {
	ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
	defer cancel()
	err := s.Ready(ctx)
	if err == nil {
		_, err = s.Blobs.List(ctx, "ready")
	}
	select {
	case <-s.stopping:
		err = errStopping
	default:
	}
	if err != nil {
		s.Logger.Warn("not ready", "error", err)
		return &api.Error{Status: http.StatusServiceUnavailable, Code: api.CodeUnavailable, Message: "not ready; the server's log says why"}
	}
	return r.w.text(http.StatusOK, "ready\n")
}

func (s *Server) version(r *request) error {
	return r.w.json(http.StatusOK, api.Version{Version: s.cfg.Version, Commit: s.cfg.Commit})
}

func (s *Server) openAPI(r *request) error {
	r.w.Header().Set("Content-Type", "application/yaml")
	_, err := r.w.Write(api.OpenAPI)
	return err
}

func (s *Server) noSuchPath(*request) error {
	return fmt.Errorf("no such path: %w", glovebox.ErrNotFound)
}

func (s *Server) noSuchMethod(*request) error {
	return &api.Error{Status: http.StatusMethodNotAllowed, Code: api.CodeNoMethod, Message: "the path has no such method"}
}

func (w *reply) text(status int, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, err := w.Write([]byte(text))
	return err
}
