package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// jobPage is the data of templates/job.html.
type jobPage struct {
	frame
	Job      glovebox.Job
	Steps    []stepView
	Timeline []glovebox.Event
	// Attempt is the one whose log is shown, Attempts are all there were.
	Attempt  int
	Attempts []int
	// Live is set when the page should follow; After is from where.
	Live  bool
	After string
	Diff  *diffView
	Now   time.Time
}

// stepView is a step with what is known of its run.
type stepView struct {
	Key, Title string
	Step       *glovebox.Step // nil for the executor's own remarks
	State      glovebox.State // "" before anything is known: waiting
	Result     *glovebox.StepResult
	StartedAt  *time.Time
	Open       bool
	Lines      []Line
	First      int // number of the first line shown
	Total      int
}

// Running reports whether the step is the one at work.
func (v stepView) Running() bool { return v.State == glovebox.StateProcessing }

// CanCancel and CanRetry say which buttons make sense.
func (p jobPage) CanCancel() bool {
	return p.Submit && !p.Job.State.Final() && !p.Job.CancelRequested
}
func (p jobPage) CanRetry() bool { return p.Submit && p.Job.State.Final() }

// job reads the job that a request names. One of another tenant does not exist.
func (s *site) job(r *http.Request, v *visitor) (glovebox.Job, error) {
	job, err := s.Jobs.Get(r.Context(), r.PathValue("id"))
	if err != nil {
		return glovebox.Job{}, err
	}
	if !v.may(glovebox.RoleAdmin) && tenantOf(job.Tenant) != tenantOf(v.token.Tenant) {
		return glovebox.Job{}, glovebox.ErrNotFound
	}
	return job, nil
}

func tenantOf(name string) string {
	if name == "" {
		return glovebox.DefaultTenant
	}
	return name
}

// jobAttempt is job with Attempt set to the one that the request asks for.
func (s *site) jobAttempt(r *http.Request, v *visitor) (glovebox.Job, error) {
	job, err := s.job(r, v)
	if err != nil || !r.URL.Query().Has("attempt") {
		return job, err
	}
	n, err := strconv.Atoi(r.URL.Query().Get("attempt"))
	if err != nil || n < 0 || n > job.Attempt {
		return job, glovebox.ErrNotFound
	}
	job.Attempt = n
	return job, nil
}

// showJob shows a job; with "?part=summary" only what changes while it runs but the log.
func (s *site) showJob(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.job(r, v)
	if err != nil {
		return err
	}
	shown, err := s.jobAttempt(r, v)
	if err != nil {
		return err
	}
	summary := r.URL.Query().Get("part") == "summary"
	page, err := s.jobPage(r, v, job, shown.Attempt, summary)
	if err != nil {
		return err
	}
	part := "layout"
	if summary {
		part = "summary"
	}
	return s.pages.renderPart(w, http.StatusOK, "job", part, page)
}

// jobPage is the page of a job with the log of one of its attempts, or without when it is a summary.
func (s *site) jobPage(r *http.Request, v *visitor, job glovebox.Job, attempt int, summary bool) (*jobPage, error) {
	page := &jobPage{frame: s.frame(jobTitle(job), v), Job: job, Attempt: attempt, Timeline: slices.Clone(job.Timeline), Now: s.Now()}
	slices.Reverse(page.Timeline)
	for n := job.Attempt; n > 0 && len(page.Attempts) < 20; n-- {
		page.Attempts = append(page.Attempts, n)
	}
	page.Steps = stepViews(job, attempt)
	page.Live = attempt == job.Attempt && !job.State.Final()
	shown := job
	shown.Attempt = attempt
	if err := s.addLines(r, shown, page, summary); err != nil {
		return nil, err
	}
	return page, s.addDiff(r, job, page)
}

// addLines puts the end of each step's log on the page, and what the log says of the steps' states.
func (s *site) addLines(r *http.Request, shown glovebox.Job, page *jobPage, summary bool) error {
	x, err := s.index(r.Context(), shown.ID, shown.Attempt)
	if err != nil {
		return fmt.Errorf("read the log: %w", err)
	}
	page.After = fmt.Sprintf("%d-%d", shown.Attempt, x.size())
	tail := min(max(maxPageLines/len(page.Steps), pageLines), tailLines)
	for i := range page.Steps {
		step := &page.Steps[i]
		step.Total, _ = x.lines(step.Key)
	}
	if page.Live && shown.State == glovebox.StateProcessing {
		addProgress(page.Steps)
	}
	if summary {
		return nil
	}
	for i := range page.Steps {
		step := &page.Steps[i]
		step.First = max(1, step.Total-tail+1)
		if step.Lines, err = s.window(r.Context(), shown, x, step.Key, step.First, step.Total); err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
	}
	return nil
}

func jobTitle(job glovebox.Job) string {
	if job.Name != "" {
		return job.Name
	}
	return job.ID
}

// stepViews joins the steps with the result, or with the timeline while there is none.
func stepViews(job glovebox.Job, attempt int) []stepView {
	views := []stepView{{Title: stepTitle("")}}
	for i := range job.Steps {
		key := stepKey(job.Steps[i], i)
		views = append(views, stepView{Key: key, Title: key, Step: &job.Steps[i]})
	}
	if attempt != job.Attempt {
		return views
	}
	if job.Result != nil {
		addResults(views, job.Result.Steps)
	} else {
		addEvents(views, job)
	}
	shown := 0
	for i := range views {
		v := &views[i]
		v.Open = v.Running() || (v.State != glovebox.StateCompleted && v.Result != nil && v.State != glovebox.StateSkipped)
		if v.Open {
			shown++
		}
	}
	if shown == 0 && len(views) > 1 {
		views[len(views)-1].Open = true
	}
	return views
}

func addResults(views []stepView, results []glovebox.StepResult) {
	for i := range views {
		for j := range results {
			if results[j].Key == views[i].Key && views[i].Step != nil {
				views[i].Result, views[i].State, views[i].StartedAt = &results[j], results[j].State, results[j].StartedAt
			}
		}
	}
}

// addEvents marks the steps that the present attempt's timeline speaks of.
func addEvents(views []stepView, job glovebox.Job) {
	for _, e := range job.Timeline {
		if e.Attempt != job.Attempt {
			continue
		}
		for i := range views {
			v := &views[i]
			if v.Step == nil || !speaksOf(e.Message, v.Key) {
				continue
			}
			switch e.Kind {
			case glovebox.EventStepStarted:
				at := e.Time
				v.State, v.StartedAt = glovebox.StateProcessing, &at
			case glovebox.EventStepFinished:
				v.State = glovebox.StateCompleted
				if !strings.HasSuffix(e.Message, ": exit code 0") {
					v.State = glovebox.StateFailed
				}
			}
		}
	}
}

// addProgress marks steps by what is in the log, which is known sooner than events
// are: one with lines has begun, and one before it is over.
func addProgress(views []stepView) {
	begun := false
	for i := len(views) - 1; i > 0; i-- {
		v := &views[i]
		switch {
		case begun && (v.State == "" || v.Running()) && v.Total > 0:
			v.State, v.Open = stateDone, false
		case v.State == "" && v.Total > 0:
			v.State, v.Open = glovebox.StateProcessing, true
		}
		begun = begun || v.State != ""
	}
}

// stateDone is shown of a step that is over, while its outcome is not known.
const stateDone glovebox.State = "done"

// speaksOf reports whether a step's event names the step: its message is the key, or begins with it.
func speaksOf(message, key string) bool {
	rest, found := strings.CutPrefix(strings.TrimPrefix(message, "step "), key)
	return found && (rest == "" || strings.ContainsAny(rest[:1], " :,("))
}

// cancelJob asks for a job to be stopped.
func (s *site) cancelJob(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.job(r, v)
	if err != nil {
		return err
	}
	if _, err := s.Control.Cancel(r.Context(), job.ID, v.actor(), ""); err != nil {
		return err
	}
	http.Redirect(w, r, "/jobs/"+job.ID, http.StatusSeeOther)
	return nil
}

// retryJob queues a finished job again.
func (s *site) retryJob(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.job(r, v)
	if err != nil {
		return err
	}
	if _, err := s.Control.Retry(r.Context(), job.ID, v.actor()); err != nil {
		return err
	}
	http.Redirect(w, r, "/jobs/"+job.ID, http.StatusSeeOther)
	return nil
}

// addDiff puts the diff on the page when the job left one.
func (s *site) addDiff(r *http.Request, job glovebox.Job, page *jobPage) error {
	if job.Result == nil || job.Result.Diff == nil {
		return nil
	}
	body, err := s.Artifacts.Open(r.Context(), job.ID, job.Attempt, glovebox.DiffArtifact)
	if errors.Is(err, glovebox.ErrNotFound) {
		page.Diff = &diffView{Missing: true}
		return nil
	}
	if err != nil {
		return fmt.Errorf("open diff: %w", err)
	}
	defer body.Close()
	page.Diff, err = readDiff(body, diffAddress(job))
	return err
}
