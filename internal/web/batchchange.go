package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// batchPage is the data of templates/batchchange.html.
type batchPage struct {
	frame
	Links      batchLinks
	Change     glovebox.BatchChange
	Bar        stateBar
	Runs       []runRow
	Latest     *runRow
	Changesets []glovebox.Changeset
	// Total is how many changesets there are, Matching how many the filter leaves.
	Total, Matching int
	Filter          rowFilter
	Chips           []stateChip
	Prev, Next      string
	Events          []glovebox.Event
}

// CanClose says whether the button makes sense.
func (p batchPage) CanClose() bool {
	return p.Submit && p.Change.State != glovebox.BatchChangeClosed
}

// rowFilter narrows the rows of a page to a state and a text.
type rowFilter struct {
	State, Text string
	From        int
}

func readRowFilter(r *http.Request) rowFilter {
	q := r.URL.Query()
	from, err := strconv.Atoi(q.Get("from"))
	if err != nil || from < 0 {
		from = 0
	}
	return rowFilter{State: q.Get("state"), Text: q.Get("q"), From: from}
}

// address is that of a page with the filter and another state or place.
func (f rowFilter) address(links batchLinks, state string, from int, parts ...string) string {
	q := url.Values{}
	if state != "" {
		q.Set("state", state)
	}
	if f.Text != "" {
		q.Set("q", f.Text)
	}
	if from > 0 {
		q.Set("from", strconv.Itoa(from))
	}
	return links.with(q, parts...)
}

// holds reports whether one of texts holds the filter's, letters in any case.
func (f rowFilter) holds(texts ...string) bool {
	return f.Text == "" || slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(f.Text))
	})
}

// window returns the rows of a page, and the addresses of its neighbours.
func window[T any](f rowFilter, links batchLinks, rows []T, parts ...string) (shown []T, prev, next string) {
	from := min(f.From, len(rows))
	to := min(from+rowsPage, len(rows))
	if from > 0 {
		prev = f.address(links, f.State, max(0, from-rowsPage), parts...)
	}
	if to < len(rows) {
		next = f.address(links, f.State, to, parts...)
	}
	return rows[from:to], prev, next
}

func (s *site) showBatchChange(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, err := s.batchChange(r, v)
	if err != nil {
		return err
	}
	page := batchPage{frame: s.frame(change.Name, v), Links: s.linksOf(change, v), Change: change, Bar: changesetBar(change), Filter: readRowFilter(r)}
	runs, err := s.Batches.RunsOf(r.Context(), change.ID)
	if err != nil {
		return err
	}
	for _, run := range runs {
		page.Runs = append(page.Runs, newRunRow(run, change))
	}
	if len(page.Runs) > 0 {
		page.Latest = &page.Runs[0]
	}
	all, err := s.Batches.ChangesetsOf(r.Context(), change.ID)
	if err != nil {
		return err
	}
	page.Total = len(all)
	if !slices.Contains(glovebox.ChangesetStates(), glovebox.ChangesetState(page.Filter.State)) {
		page.Filter.State = ""
	}
	all = slices.DeleteFunc(all, func(c glovebox.Changeset) bool {
		return page.Filter.State != "" && string(c.State) != page.Filter.State || !page.Filter.holds(c.Repo, c.Branch, c.Title, c.Error, c.ExternalID)
	})
	page.Matching = len(all)
	page.Changesets, page.Prev, page.Next = window(page.Filter, page.Links, all)
	var states []glovebox.ChangesetState
	for _, part := range page.Bar.Parts {
		states = append(states, glovebox.ChangesetState(part.State))
	}
	page.Chips = chips(page.Filter.State, states, func(state string) string { return page.Filter.address(page.Links, state, 0) })
	page.Events = batchEvents(change, runs)
	return s.pages.render(w, http.StatusOK, "batchchange", page)
}

// batchEvents tells what happened from what is known of a batch change and its runs, newest first.
func batchEvents(change glovebox.BatchChange, runs []glovebox.BatchRun) []glovebox.Event {
	var events []glovebox.Event
	add := func(at *time.Time, kind, actor, message string) {
		if at != nil {
			events = append(events, glovebox.Event{Time: *at, Kind: kind, Actor: actor, Message: message})
		}
	}
	for _, run := range runs {
		add(run.FinishedAt, "run "+string(run.State), "", run.ID)
		add(&run.CreatedAt, "run begun", run.CreatedBy, run.ID)
	}
	add(change.ClosedAt, "closed", "", "")
	add(&change.CreatedAt, "created", change.CreatedBy, "")
	slices.SortStableFunc(events, func(a, b glovebox.Event) int { return b.Time.Compare(a.Time) })
	return events[:min(len(events), 50)]
}

// changeChangesets publishes or retries the changesets that the form names.
func (s *site) changeChangesets(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, err := s.batchChange(r, v)
	if err != nil {
		return err
	}
	all, err := s.Batches.ChangesetsOf(r.Context(), change.ID)
	if err != nil {
		return err
	}
	ids, err := chosen(r, func(id string) bool {
		return slices.ContainsFunc(all, func(c glovebox.Changeset) bool { return c.ID == id })
	})
	if err != nil {
		return err
	}
	switch r.PostForm.Get("do") {
	case "publish":
		_, err = s.Batches.Publish(r.Context(), change.ID, ids, glovebox.PublishedYes)
	case "draft":
		_, err = s.Batches.Publish(r.Context(), change.ID, ids, glovebox.PublishedDraft)
	case "retry":
		err = s.retryChangesets(r, change, all, ids)
	default:
		err = invalid("no such action")
	}
	if err != nil {
		return err
	}
	s.Logger.Info("change changesets", "batch_change", change.Name, "do", r.PostForm.Get("do"), "changesets", len(ids), "by", v.token.Name)
	http.Redirect(w, r, s.linksOf(change, v).At(), http.StatusSeeOther)
	return nil
}

// retryChangesets has failed changesets tried again, as what they were to be published.
func (s *site) retryChangesets(r *http.Request, change glovebox.BatchChange, all []glovebox.Changeset, ids []string) error {
	as := map[glovebox.Published][]string{}
	for _, c := range all {
		if !slices.Contains(ids, c.ID) {
			continue
		}
		if c.State != glovebox.ChangesetFailed {
			return fmt.Errorf("retry the changeset of %.100q, which is %s: %w", c.Repo, c.State, glovebox.ErrConflict)
		}
		how := glovebox.PublishedYes
		if c.Publish == glovebox.PublishedDraft {
			how = glovebox.PublishedDraft
		}
		as[how] = append(as[how], c.ID)
	}
	for how, ids := range as {
		if _, err := s.Batches.Publish(r.Context(), change.ID, ids, how); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) closeBatchChange(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, err := s.batchChange(r, v)
	if err != nil {
		return err
	}
	keep := r.PostForm.Get("requests") != "close"
	if _, err := s.Batches.Close(r.Context(), change.ID, keep); err != nil {
		return err
	}
	s.Logger.Info("close batch change", "batch_change", change.Name, "keep_open", keep, "by", v.token.Name)
	http.Redirect(w, r, s.linksOf(change, v).At(), http.StatusSeeOther)
	return nil
}
