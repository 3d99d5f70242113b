package server

import (
	"net/http"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

func (s *Server) listTokens(r *request) error {
	list, err := s.Tokens.List(r.Context())
	if err != nil {
		return err
	}
	out := api.Tokens{Tokens: []glovebox.Token{}}
	for _, t := range list {
		t.Secret = ""
		out.Tokens = append(out.Tokens, t)
	}
	return r.w.json(http.StatusOK, out)
}

func (s *Server) createToken(r *request) error {
	var in api.CreateToken
	if err := r.json(&in); err != nil {
		return err
	}
	if in.Kind == "" {
		in.Kind = glovebox.TokenUser
	}
	if in.Kind == glovebox.TokenUser && in.Tenant == "" {
		in.Tenant = glovebox.DefaultTenant
	}
	token := glovebox.Token{Name: in.Name, Kind: in.Kind, Role: in.Role, Tenant: in.Tenant, Executor: in.Executor}
	if in.TTL > 0 {
		expires := s.Now().UTC().Add(time.Duration(in.TTL))
		token.ExpiresAt = &expires
	}
	made, err := s.Tokens.Create(r.Context(), token)
	if err != nil {
		return err
	}
	s.Logger.Info("token created", "token", made.ID, "kind", made.Kind, "role", made.Role, "by", r.user.Name)
	return r.w.json(http.StatusCreated, made)
}

func (s *Server) revokeToken(r *request) error {
	id := r.PathValue("id")
	if err := s.Tokens.Revoke(r.Context(), id); err != nil {
		return err
	}
	s.Logger.Info("token revoked", "token", id, "by", r.user.Name)
	return r.w.nothing()
}

func (s *Server) whoami(r *request) error {
	token := r.user
	token.Secret = ""
	return r.w.json(http.StatusOK, token)
}
