package web

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

//go:embed templates
var templateFiles embed.FS

var errTooManyStreams = errors.New("too many open pages of this session follow something live; close some")

// frame is what every page's data begins with.
type frame struct {
	Title string
	// User is nil on pages for who is not logged in.
	User   *glovebox.Token
	CSRF   string
	Submit bool // may submit, cancel and retry
	Admin  bool
	// Batches is set when there are pages of batch changes.
	Batches bool
	Version string
	// Refresh is where the browser goes at once by itself.
	Refresh string
}

func (s *site) frame(title string, v *visitor) frame {
	f := frame{Title: title, Version: s.Version, Batches: s.Batches != nil}
	if v != nil && v.session != nil {
		f.User, f.CSRF = &v.token, v.session.csrf
		f.Submit, f.Admin = v.may(glovebox.RoleOperator), v.may(glovebox.RoleAdmin)
	}
	return f
}

// pages are the parsed templates: one set a page, each with the layout.
type pages struct {
	byName map[string]*template.Template
}

// pageNames are the templates that are pages.
func pageNames() []string {
	return []string{"jobs", "job", "diff", "submit", "batchchanges", "batchnew", "batchchange", "batchrun", "batchworkspace", "batchpreview", "executors", "login", "error"}
}

func newPages(static *static) *pages {
	funcs := templateFuncs()
	funcs["asset"] = static.path
	layout := template.Must(template.New("").Funcs(funcs).ParseFS(templateFiles, "templates/layout.html", "templates/*parts.html"))
	p := &pages{byName: map[string]*template.Template{}}
	for _, name := range pageNames() {
		clone := template.Must(layout.Clone())
		p.byName[name] = template.Must(clone.ParseFS(templateFiles, "templates/"+name+".html"))
	}
	return p
}

// render writes a page.
func (p *pages) render(w http.ResponseWriter, status int, name string, data any) error {
	return p.renderPart(w, status, name, "layout", data)
}

// renderPart writes one template of a page's set. Nothing is written before all
// of it is known to be whole, and nothing passes that Visible would change.
func (p *pages) renderPart(w http.ResponseWriter, status int, name, part string, data any) error {
	var body bytes.Buffer
	if err := p.byName[name].ExecuteTemplate(&body, part, data); err != nil {
		return fmt.Errorf("render page %s: %w", name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if _, err := w.Write(Visible(body.Bytes())); err != nil {
		return nil // the client is gone
	}
	return nil
}

// errorPage is the data of templates/error.html.
type errorPage struct {
	frame
	Status  int
	Message string
}

// fail answers a request that went wrong: the log-in page for who has no
// session, else a page that says what is wrong, without saying what is inside.
func (s *site) fail(w http.ResponseWriter, r *http.Request, v *visitor, err error) {
	status, message := http.StatusInternalServerError, "Something went wrong on the server. Its log says more."
	validation := new(glovebox.ValidationError)
	switch {
	case errors.Is(err, glovebox.ErrUnauthorized):
		if r.Method == http.MethodGet && !wantsData(r) {
			http.Redirect(w, r, "/login?next="+url.QueryEscape(localPath(r.URL.RequestURI())), http.StatusSeeOther)
			return
		}
		status, message = http.StatusUnauthorized, "You are not logged in, or no longer."
	case errors.Is(err, glovebox.ErrForbidden):
		status, message = http.StatusForbidden, "Your token does not allow this, or the form was too old. Go back, reload and try again."
	case errors.Is(err, glovebox.ErrNotFound):
		status, message = http.StatusNotFound, "There is no such page, or it is not yours to see."
	case errors.Is(err, glovebox.ErrConflict):
		status, message = http.StatusConflict, "It is not in a state that allows this: "+err.Error()
	case errors.Is(err, glovebox.ErrTooLarge):
		status, message = http.StatusRequestEntityTooLarge, "What you sent is too large."
	case errors.Is(err, errTooManyStreams):
		status, message = http.StatusTooManyRequests, err.Error()
	case errors.As(err, &validation):
		status, message = http.StatusBadRequest, validation.Error()
	case r.Context().Err() != nil:
		return
	default:
		s.Logger.Error("answer a page", "path", r.URL.Path, "error", err)
	}
	page := errorPage{frame: s.frame(http.StatusText(status), v), Status: status, Message: message}
	if err := s.pages.render(w, status, "error", page); err != nil {
		s.Logger.Error("answer an error page", "error", err)
	}
}

// wantsData reports whether a script asks, which a redirect to a page would confuse.
func wantsData(r *http.Request) bool {
	mode := r.Header.Get("Sec-Fetch-Mode")
	return (mode != "" && mode != "navigate") || strings.Contains(r.Header.Get("Accept"), "text/event-stream")
}
