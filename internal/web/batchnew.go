package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// exampleSpec is what the form shows at first.
const exampleSpec = `# Repositories are named as this server's git gateway knows them ("glovebox repo list").
name: hello-world
description: Adds a line to each README
on:
  - repository: local/app
steps:
  - run: echo "Hello ${{ repository.name }}" >> README.md
    container: alpine:3
changesetTemplate:
  title: Hello
  body: Says hello.
  branch: batch/hello-world
  commit:
    message: Say hello
  published: false
`

// batchNewPage is the data of templates/batchnew.html.
type batchNewPage struct {
	frame
	Text              string
	Refresh, FailFast bool
	Problems          []glovebox.Problem
	// Excerpt are the lines of the text that have faults, with those around them.
	Excerpt []codeLine
	// Again is the batch change whose spec this was.
	Again string
}

func (s *site) showBatchNew(w http.ResponseWriter, r *http.Request, v *visitor) error {
	page := batchNewPage{frame: s.frame("New batch change", v), Text: exampleSpec}
	if r.URL.Query().Has("run") {
		r.SetPathValue("name", r.URL.Query().Get("name"))
		r.SetPathValue("id", r.URL.Query().Get("run"))
		change, run, err := s.batchRun(r, v)
		if err != nil {
			return err
		}
		if run, err = s.Batches.BatchRun(r.Context(), run.ID); err != nil {
			return err
		}
		page.Text, page.Again, page.frame.Title = run.Spec, change.Name, "Run "+change.Name+" again"
	}
	return s.pages.render(w, http.StatusOK, "batchnew", page)
}

// createBatchRun begins a run of the form's spec, or shows the form again with what is wrong with it.
func (s *site) createBatchRun(w http.ResponseWriter, r *http.Request, v *visitor) error {
	// A form has lines that end with CR LF; the spec had none, and its scripts must not.
	text := strings.ReplaceAll(r.PostForm.Get("spec"), "\r\n", "\n")
	input := glovebox.BatchRunInput{Spec: text, FailFast: r.PostForm.Get("fail_fast") == "1"}
	if r.PostForm.Get("refresh") == "1" {
		input.StepCache = glovebox.StepCacheRefresh
	}
	run, err := s.Batches.Create(r.Context(), tenantOf(v.token.Tenant), v.actor(), input)
	problems := new(glovebox.ValidationError)
	page := batchNewPage{frame: s.frame("New batch change", v), Text: text, Refresh: input.StepCache != "", FailFast: input.FailFast}
	switch {
	case errors.As(err, &problems):
		page.Problems = problems.Problems
	case errors.Is(err, glovebox.ErrUnsupported), errors.Is(err, glovebox.ErrNotFound), errors.Is(err, glovebox.ErrTooLarge):
		page.Problems = []glovebox.Problem{{Message: err.Error()}}
	case err != nil:
		return err
	default:
		http.Redirect(w, r, batchLinks{Name: run.Name}.At("runs", run.ID), http.StatusSeeOther)
		return nil
	}
	page.Excerpt = excerpt(text, page.Problems)
	return s.pages.render(w, http.StatusUnprocessableEntity, "batchnew", page)
}

// excerpt returns the lines with faults and two before and after each; a line of number 0 is a gap.
func excerpt(text string, problems []glovebox.Problem) []codeLine {
	faults := map[int][]string{}
	near := map[int]bool{}
	for _, p := range problems {
		if p.Line <= 0 {
			continue
		}
		faults[p.Line] = append(faults[p.Line], p.Message)
		for n := p.Line - 2; n <= p.Line+2; n++ {
			near[n] = true
		}
	}
	var lines []codeLine
	last := 0
	for _, line := range readSource("spec.yaml", text).Lines {
		if !near[line.N] {
			continue
		}
		if last > 0 && line.N > last+1 {
			lines = append(lines, codeLine{})
		}
		line.Faults, last = faults[line.N], line.N
		lines = append(lines, line)
	}
	return lines
}
