package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// batchesPage is the data of templates/batchchanges.html.
type batchesPage struct {
	frame
	Filter  batchFilter
	Chips   []stateChip
	Rows    []batchRow
	Next    string // address of the next page
	First   string // address of the first page, when this is another
	Filters bool
}

// batchFilter is the filter as the form shows it.
type batchFilter struct{ State, Text, Tenant string }

// batchRow is a batch change with its latest run, if it has one.
type batchRow struct {
	glovebox.BatchChange
	Links  batchLinks
	Bar    stateBar
	Latest *runRow
}

// runRow is a run with how far it is.
type runRow struct {
	glovebox.BatchRun
	Bar         stateBar
	Done, Total int
	Applied     bool
}

func newRunRow(run glovebox.BatchRun, change glovebox.BatchChange) runRow {
	row := runRow{BatchRun: run, Bar: runBar(run), Applied: run.ID == change.AppliedRun}
	row.Done, row.Total = over(run)
	return row
}

// batchStates lists the states of a batch change in the order of its life.
func batchStates() []glovebox.BatchChangeState {
	return []glovebox.BatchChangeState{glovebox.BatchChangeDraft, glovebox.BatchChangeOpen, glovebox.BatchChangeClosed}
}

// showBatchChanges lists the batch changes of the visitor's tenant, of all for an admin.
func (s *site) showBatchChanges(w http.ResponseWriter, r *http.Request, v *visitor) error {
	q := r.URL.Query()
	page := batchesPage{frame: s.frame("Batch changes", v), Filter: batchFilter{State: q.Get("state"), Text: q.Get("q"), Tenant: q.Get("tenant")}}
	filter := changeset.Filter{Tenant: tenantOf(v.token.Tenant), Text: page.Filter.Text, Cursor: q.Get("cursor")}
	if v.may(glovebox.RoleAdmin) {
		filter.Tenant = page.Filter.Tenant
	} else {
		page.Filter.Tenant = ""
	}
	if state := glovebox.BatchChangeState(page.Filter.State); slices.Contains(batchStates(), state) {
		filter.State = state
	} else {
		page.Filter.State = ""
	}
	changes, next, err := s.Batches.BatchChanges(r.Context(), filter)
	if err != nil {
		return err
	}
	for _, change := range changes {
		row := batchRow{BatchChange: change, Links: s.linksOf(change, v), Bar: changesetBar(change)}
		if change.LatestRun != "" {
			run, err := s.Batches.RunOf(r.Context(), change.LatestRun)
			if err != nil {
				return err
			}
			latest := newRunRow(run, change)
			row.Latest = &latest
		}
		page.Rows = append(page.Rows, row)
	}
	if next != "" {
		page.Next = page.Filter.address("cursor", next)
	}
	if filter.Cursor != "" {
		page.First = page.Filter.address("", "")
	}
	page.Filters = page.Filter != batchFilter{}
	page.Chips = page.Filter.chips()
	return s.pages.render(w, http.StatusOK, "batchchanges", page)
}

// address is the list's with this filter and one more value.
func (f batchFilter) address(key, value string) string {
	return address("/batch-changes", map[string]string{"state": f.State, "q": f.Text, "tenant": f.Tenant, key: value})
}

func (f batchFilter) chips() []stateChip {
	return chips(f.State, batchStates(), func(state string) string { return f.address("state", state) })
}

// address is a path with the values of a query that are set.
func address(path string, values map[string]string) string {
	q := url.Values{}
	for k, v := range values {
		if v != "" && k != "" {
			q.Set(k, v)
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// chips are links that narrow a list to one of states.
func chips[S ~string](current string, states []S, address func(state string) string) []stateChip {
	list := []stateChip{{Name: "all", URL: address(""), Current: current == ""}}
	for _, state := range states {
		list = append(list, stateChip{Name: string(state), URL: address(string(state)), Current: current == string(state)})
	}
	return list
}
