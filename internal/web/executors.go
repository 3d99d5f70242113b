package web

import (
	"net/http"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// An executor that was not heard of for lateAfter is late, for lostAfter it is lost.
const (
	lateAfter = 45 * time.Second
	lostAfter = 3 * time.Minute
)

// executorsPage is the data of templates/executors.html.
type executorsPage struct {
	frame
	Executors []executorView
}

// executorView is an executor with its condition: "online", "late", "lost" or "draining".
type executorView struct {
	glovebox.Executor
	Health string
}

func (s *site) showExecutors(w http.ResponseWriter, r *http.Request, v *visitor) error {
	list, err := s.Executors.List(r.Context())
	if err != nil {
		return err
	}
	page := executorsPage{frame: s.frame("Executors", v)}
	for _, e := range list {
		page.Executors = append(page.Executors, executorView{Executor: e, Health: health(e, s.Now())})
	}
	return s.pages.render(w, http.StatusOK, "executors", page)
}

func health(e glovebox.Executor, now time.Time) string {
	switch silent := now.Sub(e.LastSeen); {
	case silent > lostAfter:
		return "lost"
	case silent > lateAfter:
		return "late"
	case e.Draining || e.DrainAsked:
		return "draining"
	}
	return "online"
}

// drainExecutor asks an executor to claim nothing more, or to claim again.
func (s *site) drainExecutor(w http.ResponseWriter, r *http.Request, v *visitor) error {
	name, drain := r.PostForm.Get("name"), r.PostForm.Get("drain") == "1"
	if err := s.Executors.SetDrain(r.Context(), name, drain); err != nil {
		return err
	}
	s.Logger.Info("set drain", "executor", name, "drain", drain, "by", v.token.Name)
	http.Redirect(w, r, "/executors", http.StatusSeeOther)
	return nil
}
