package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// jobsPage is the data of templates/jobs.html.
type jobsPage struct {
	frame
	Filter  jobsFilter
	Jobs    []glovebox.Job
	Next    string // address of the next page
	First   string // address of the first page, when this is another
	Chips   []stateChip
	Filters bool // any filter is set
}

// jobsFilter is the filter as the form shows it.
type jobsFilter struct {
	State, Queue, Repo, Text, Tenant string
}

// stateChip is a link that narrows the list to a state.
type stateChip struct {
	Name, URL string
	Current   bool
}

// showJobs lists the jobs of the visitor's tenant, of all for an admin.
func (s *site) showJobs(w http.ResponseWriter, r *http.Request, v *visitor) error {
	q := r.URL.Query()
	page := jobsPage{frame: s.frame("Jobs", v), Filter: jobsFilter{
		State: q.Get("state"), Queue: q.Get("queue"), Repo: q.Get("repo"), Text: q.Get("q"), Tenant: q.Get("tenant"),
	}}
	filter := queue.Filter{Tenant: v.token.Tenant, Queue: page.Filter.Queue, Repo: page.Filter.Repo,
		Text: page.Filter.Text, Cursor: q.Get("cursor")}
	if v.may(glovebox.RoleAdmin) {
		filter.Tenant = page.Filter.Tenant
	} else if filter.Tenant == "" {
		filter.Tenant = glovebox.DefaultTenant
	}
	if state := glovebox.State(page.Filter.State); slices.Contains(glovebox.JobStates(), state) {
		filter.States = []glovebox.State{state}
	} else {
		page.Filter.State = ""
	}
	jobs, next, err := s.Jobs.List(r.Context(), filter)
	if err != nil {
		return err
	}
	page.Jobs = jobs
	if next != "" {
		page.Next = page.Filter.address("cursor", next)
	}
	if filter.Cursor != "" {
		page.First = page.Filter.address("cursor", "")
	}
	page.Filters = page.Filter != jobsFilter{}
	page.Chips = page.Filter.chips()
	return s.pages.render(w, http.StatusOK, "jobs", page)
}

// address is the list's with this filter and one more value.
func (f jobsFilter) address(key, value string) string {
	q := url.Values{}
	for k, v := range map[string]string{"state": f.State, "queue": f.Queue, "repo": f.Repo, "q": f.Text, "tenant": f.Tenant, key: value} {
		if v != "" {
			q.Set(k, v)
		}
	}
	return strings.TrimSuffix("/?"+q.Encode(), "?")
}

func (f jobsFilter) chips() []stateChip {
	all := f
	all.State = ""
	chips := []stateChip{{Name: "all", URL: all.address("", ""), Current: f.State == ""}}
	for _, state := range glovebox.JobStates() {
		chips = append(chips, stateChip{Name: string(state), URL: all.address("state", string(state)), Current: f.State == string(state)})
	}
	return chips
}
