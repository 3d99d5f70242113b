package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

func (s *Server) listCodeHosts(r *request) error {
	hosts := s.Batches.CodeHosts()
	for i, h := range hosts {
		if _, secret := s.Batches.Webhook(h.Name); secret != "" {
			hosts[i].Webhook = strings.Replace(api.PathWebhook, "{name}", h.Name, 1)
		}
	}
	return r.w.json(http.StatusOK, api.CodeHosts{CodeHosts: hosts})
}

// webhook takes a code host's word that something has changed there. It proves itself by the webhook's secret.
func (s *Server) webhook(r *request) error {
	if !s.guard.mayTry(r.RemoteAddr, "") {
		return errGuessing
	}
	name := r.PathValue("name")
	kind, secret := s.Batches.Webhook(name)
	if secret == "" {
		s.guard.failed(r.RemoteAddr)
		return fmt.Errorf("webhook %.60q: %w", name, glovebox.ErrNotFound)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return bodyError(err)
	}
	event, err := codehost.ParseWebhook(kind, r.Header, body, secret)
	switch {
	case errors.Is(err, glovebox.ErrUnauthorized):
		s.guard.failed(r.RemoteAddr)
		return err
	case err != nil:
		return invalid(err.Error())
	case event.Kind == codehost.EventOther:
		return r.w.nothing()
	}
	n, err := s.Batches.Deliver(r.Context(), changeset.Delivery{Host: name, Repository: event.Repo,
		Mention: changeset.Mention{ID: event.ID, Branch: event.Branch, Commit: event.Commit}})
	if err != nil {
		return err
	}
	s.Logger.Debug("webhook", "code_host", name, "kind", event.Kind, "changesets", n)
	return r.w.nothing()
}
