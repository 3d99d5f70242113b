package web

import (
	"errors"
	"net/http"

	"github.com/glovebox-dev/glovebox"
)

// maxJobForm bounds a submitted job file: it may have 4 MiB, which a form encodes at up to three times that.
const maxJobForm = 13 << 20

// exampleJob is what the form shows at first.
const exampleJob = `# A small job: two steps in one sandbox. Unknown fields are refused.
name: hello
steps:
  - key: hello
    image: host
    run: |
      echo "Hello from $(uname -s), process $$"
      for i in 1 2 3; do echo "tick $i"; sleep 1; done
  - key: write
    image: host
    run: mkdir -p report && date > report/when.txt
limits: {memory: 512M, cpus: 1, timeout: 5m}
network: none
outputs: ["report/*.txt"]
`

// submitPage is the data of templates/submit.html.
type submitPage struct {
	frame
	Text     string
	Problems []glovebox.Problem
}

func (s *site) showSubmit(w http.ResponseWriter, r *http.Request, v *visitor) error {
	return s.pages.render(w, http.StatusOK, "submit", submitPage{frame: s.frame("New job", v), Text: exampleJob})
}

// submitJob reads the job file of the form, and shows the form again with what is wrong with it.
func (s *site) submitJob(w http.ResponseWriter, r *http.Request, v *visitor) error {
	text := r.PostForm.Get("job")
	job, err := s.parseAndSubmit(r, v, text)
	problems := new(glovebox.ValidationError)
	switch {
	case errors.As(err, &problems):
		page := submitPage{frame: s.frame("New job", v), Text: text, Problems: problems.Problems}
		return s.pages.render(w, http.StatusUnprocessableEntity, "submit", page)
	case errors.Is(err, glovebox.ErrUnsupported), errors.Is(err, glovebox.ErrNotFound), errors.Is(err, glovebox.ErrTooLarge):
		page := submitPage{frame: s.frame("New job", v), Text: text, Problems: []glovebox.Problem{{Message: err.Error()}}}
		return s.pages.render(w, http.StatusUnprocessableEntity, "submit", page)
	case err != nil:
		return err
	}
	http.Redirect(w, r, "/jobs/"+job.ID, http.StatusSeeOther)
	return nil
}

func (s *site) parseAndSubmit(r *http.Request, v *visitor, text string) (glovebox.Job, error) {
	spec, err := s.Parse([]byte(text))
	if err != nil {
		return glovebox.Job{}, err
	}
	return s.Submit(r.Context(), v.token, spec)
}
