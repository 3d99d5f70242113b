package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

// batchLinks makes the addresses of one batch change's pages.
type batchLinks struct {
	Name string
	// Tenant is set where the visitor is an admin of another one.
	Tenant string
}

func (s *site) linksOf(change glovebox.BatchChange, v *visitor) batchLinks {
	links := batchLinks{Name: change.Name}
	if tenantOf(change.Tenant) != tenantOf(v.token.Tenant) {
		links.Tenant = tenantOf(change.Tenant)
	}
	return links
}

// At is the address of a page beneath the batch change's.
func (l batchLinks) At(parts ...string) string { return l.with(url.Values{}, parts...) }

func (l batchLinks) with(query url.Values, parts ...string) string {
	address := "/batch-changes/" + url.PathEscape(l.Name)
	for _, part := range parts {
		address += "/" + url.PathEscape(part)
	}
	if l.Tenant != "" {
		query.Set("tenant", l.Tenant)
	}
	if encoded := query.Encode(); encoded != "" {
		address += "?" + encoded
	}
	return address
}

// batchChange reads the batch change that a request names. One of another tenant does not exist,
// but for an admin who names the tenant.
func (s *site) batchChange(r *http.Request, v *visitor) (glovebox.BatchChange, error) {
	tenant := tenantOf(v.token.Tenant)
	if asked := r.URL.Query().Get("tenant"); asked != "" && v.may(glovebox.RoleAdmin) {
		tenant = asked
	}
	name := r.PathValue("name")
	changes, _, err := s.Batches.BatchChanges(r.Context(), changeset.Filter{Tenant: tenant, Name: name, Limit: 1})
	if err != nil {
		return glovebox.BatchChange{}, err
	}
	if len(changes) == 0 || changes[0].Name != name || tenantOf(changes[0].Tenant) != tenant {
		return glovebox.BatchChange{}, glovebox.ErrNotFound
	}
	return changes[0], nil
}

// batchRun reads the run that a request names, with its spec.
func (s *site) batchRun(r *http.Request, v *visitor) (glovebox.BatchChange, glovebox.BatchRun, error) {
	change, err := s.batchChange(r, v)
	if err != nil {
		return change, glovebox.BatchRun{}, err
	}
	// Whose it is is asked before its input is read.
	run, err := s.Batches.RunOf(r.Context(), r.PathValue("id"))
	if err != nil {
		return change, run, err
	}
	if run.BatchChange != change.ID {
		return change, glovebox.BatchRun{}, glovebox.ErrNotFound
	}
	return change, run, nil
}

// count is a state with how many are in it.
type count struct {
	State string
	N     int
}

// stateBar is a bar of counts: where each begins and how wide it is, in percent.
type stateBar struct {
	Parts []barPart
	Total int
}

type barPart struct {
	count
	X, W float64
}

func newBar(counts []count) stateBar {
	var bar stateBar
	for _, c := range counts {
		bar.Total += c.N
	}
	at := 0
	for _, c := range counts {
		if c.N > 0 {
			bar.Parts = append(bar.Parts, barPart{c, 100 * float64(at) / float64(bar.Total), 100 * float64(c.N) / float64(bar.Total)})
			at += c.N
		}
	}
	return bar
}

// workspaceStates lists the states of a workspace, what is over first.
func workspaceStates() []glovebox.State {
	return []glovebox.State{glovebox.StateCompleted, glovebox.StateSkipped, glovebox.StateFailed, glovebox.StateErrored, glovebox.StateCanceled,
		glovebox.StateProcessing, glovebox.StateQueued}
}

// runBar is the bar of a run's workspaces.
func runBar(run glovebox.BatchRun) stateBar {
	var counts []count
	for _, state := range workspaceStates() {
		counts = append(counts, count{string(state), run.Workspaces[state]})
	}
	return newBar(counts)
}

// changesetBar is the bar of a batch change's changesets.
func changesetBar(change glovebox.BatchChange) stateBar {
	var counts []count
	for _, state := range glovebox.ChangesetStates() {
		counts = append(counts, count{string(state), change.Changesets[state]})
	}
	return newBar(counts)
}

// over counts the workspaces of a run that need nothing more.
func over(run glovebox.BatchRun) (done, total int) {
	for state, n := range run.Workspaces {
		total += n
		if state.Final() || state == glovebox.StateSkipped {
			done += n
		}
	}
	return done, total
}

// chosen returns the ids that a form names, which must be among those there are.
func chosen(r *http.Request, known func(id string) bool) ([]string, error) {
	ids := r.PostForm["id"]
	if len(ids) == 0 {
		return nil, invalid("choose at least one of the list")
	}
	for _, id := range ids {
		if !known(id) {
			return nil, glovebox.ErrNotFound
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// rowsPage bounds the rows of a list on a page, and the boxes of a form.
const rowsPage = 500
