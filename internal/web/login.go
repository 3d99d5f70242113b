package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// loginPage is the data of templates/login.html.
type loginPage struct {
	frame
	Next    string
	Problem string
}

// showLogin shows the form. A script posts the token of "/login#token=…" at once.
func (s *site) showLogin(w http.ResponseWriter, r *http.Request, v *visitor) error {
	next := localPath(r.URL.Query().Get("next"))
	if v.session != nil {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	page := loginPage{frame: s.frame("Log in", v), Next: next}
	// The cookie is SameSite=Strict: a link from another site arrives without it.
	// One step within the site brings it along; without a session we are back here.
	if r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.URL.Query().Has("next") {
		page.Refresh = next
	}
	return s.pages.render(w, http.StatusOK, "login", page)
}

// login begins a session for a valid user token.
func (s *site) login(w http.ResponseWriter, r *http.Request, v *visitor) error {
	secret, next := strings.TrimSpace(r.PostForm.Get("token")), localPath(r.PostForm.Get("next"))
	token, err := s.authenticate(r.Context(), secret)
	if errors.Is(err, glovebox.ErrUnauthorized) {
		page := loginPage{frame: s.frame("Log in", &visitor{}), Next: next, Problem: "This token is not valid, or no longer."}
		return s.pages.render(w, http.StatusUnauthorized, "login", page)
	}
	if err != nil {
		return err
	}
	s.dropSession(r)
	s.setCookie(w, r, s.sessions.create(secret))
	s.Logger.Info("user logged in", "token", token.ID, "name", token.Name)
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// logout ends the session.
func (s *site) logout(w http.ResponseWriter, r *http.Request, v *visitor) error {
	s.dropSession(r)
	s.setCookie(w, r, "")
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

func (s *site) dropSession(r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		s.sessions.remove(cookie.Value)
	}
}
