package web

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// policy forbids everything that the pages don't do themselves. Trusted Types
// without any policy make every sink of markup in a script throw.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// maxForm bounds forms; submitted job files and what is about batch changes have their own bound.
const maxForm = 64 << 10

// formWait is how long a client may take to send a form.
const formWait = time.Minute

// secureHeaders sets the headers that every answer carries.
func secureHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// visitor is who makes a request; session is nil for who is not logged in.
type visitor struct {
	token   glovebox.Token
	session *session
}

// may reports whether the visitor has the rights of role.
func (v *visitor) may(role glovebox.Role) bool {
	rank := map[glovebox.Role]int{anyone: 0, glovebox.RoleViewer: 1, glovebox.RoleOperator: 2, glovebox.RoleAdmin: 3}
	need, known := rank[role]
	return known && rank[v.token.Role] >= need
}

// actor is the visitor's name on a timeline.
func (v *visitor) actor() string { return "user:" + v.token.Name }

// guard checks session, role and the form's token before a route is handled.
func (s *site) guard(rt route) http.Handler {
	changes := strings.HasPrefix(rt.pattern, "POST ")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, err := s.visitor(r)
		if err == nil && rt.role != anyone {
			err = admit(v, rt.role)
		}
		if err == nil && changes {
			err = s.checkForm(w, r, v)
		}
		if err == nil {
			err = rt.handle(w, r, v)
		}
		if err != nil {
			s.fail(w, r, v, err)
		}
	})
}

// admit says whether a visitor may use a route.
func admit(v *visitor, role glovebox.Role) error {
	if v.session == nil {
		return glovebox.ErrUnauthorized
	}
	if !v.may(role) {
		return glovebox.ErrForbidden
	}
	return nil
}

// visitor finds the session of a request and asks anew whether its token holds.
func (s *site) visitor(r *http.Request) (*visitor, error) {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return &visitor{}, nil
	}
	sess := s.sessions.get(cookie.Value)
	if sess == nil {
		return &visitor{}, nil
	}
	token, err := s.authenticate(r.Context(), sess.secret)
	if errors.Is(err, glovebox.ErrUnauthorized) {
		s.sessions.remove(cookie.Value)
		return &visitor{}, nil
	}
	if err != nil {
		return &visitor{}, err
	}
	return &visitor{token: token, session: sess}, nil
}

// authenticate accepts users' tokens alone.
func (s *site) authenticate(ctx context.Context, secret string) (glovebox.Token, error) {
	token, err := s.Tokens.Authenticate(ctx, secret)
	if errors.Is(err, glovebox.ErrNotFound) || (err == nil && token.Kind != glovebox.TokenUser) {
		return glovebox.Token{}, glovebox.ErrUnauthorized
	}
	return token, err
}

// checkForm bounds and reads a form, and holds it to the session's form token.
func (s *site) checkForm(w http.ResponseWriter, r *http.Request, v *visitor) error {
	limit := int64(maxForm)
	if r.URL.Path == "/jobs" || strings.HasPrefix(r.URL.Path, "/batch-changes") {
		limit = maxJobForm
	}
	r.Body = http.MaxBytesReader(w, r.Body, limit)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(formWait))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	if err := r.ParseForm(); err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return glovebox.ErrTooLarge
		}
		return &glovebox.ValidationError{Problems: []glovebox.Problem{{Message: "the form can't be read"}}}
	}
	if v.session == nil {
		return nil
	}
	if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf")), []byte(v.session.csrf)) != 1 {
		return glovebox.ErrForbidden
	}
	return nil
}

// localPath returns target when it is a path on this site, else "/".
func localPath(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(target, "/") ||
		strings.HasPrefix(target, "//") || strings.ContainsAny(target, "\\\r\n\t\x00") {
		return "/"
	}
	return target
}
