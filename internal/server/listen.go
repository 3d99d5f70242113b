package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// HTTPServer returns an http.Server with the limits that hold before a handler is
// reached. Bodies and replies have no time limit of their own here: the handlers
// move the connection's deadlines with every chunk.
func (s *Server) HTTPServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.Logger.Handler(), slog.LevelDebug),
	}
}

// Serve answers on listener until ctx ends. Then it ends followers and waiting claims at
// once, lets other requests go on for Config.ShutdownTime and returns when none is left.
func (s *Server) Serve(ctx context.Context, listener net.Listener, handler http.Handler) error {
	server := s.HTTPServer(handler)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(limitConnections(listener, s.cfg.MaxConnections)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	s.Stop()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTime)
	defer cancel()
	err := server.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		err = server.Close()
	}
	<-ended
	if err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	return nil
}
