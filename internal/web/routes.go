package web

import (
	"net/http"

	"github.com/glovebox-dev/glovebox"
)

// anyone marks a route that needs no session.
const anyone glovebox.Role = ""

// handlerFunc answers a request of a visitor; an error becomes a page.
type handlerFunc func(w http.ResponseWriter, r *http.Request, v *visitor) error

// route is one line of the table of routes: who may do what.
type route struct {
	pattern string
	role    glovebox.Role
	handle  handlerFunc
}

// routes lists every route. A job that is not of the visitor's tenant does not
// exist for it; that is checked where the job is read (site.job).
func (s *site) routes() []route {
	routes := []route{
		{"GET /{$}", glovebox.RoleViewer, s.showJobs},
		{"GET /events", glovebox.RoleViewer, s.streamJobs},
		{"GET /jobs/new", glovebox.RoleOperator, s.showSubmit},
		{"POST /jobs", glovebox.RoleOperator, s.submitJob},
		{"GET /jobs/{id}", glovebox.RoleViewer, s.showJob},
		{"GET /jobs/{id}/events", glovebox.RoleViewer, s.streamJob},
		{"GET /jobs/{id}/lines", glovebox.RoleViewer, s.readLines},
		{"GET /jobs/{id}/search", glovebox.RoleViewer, s.searchLog},
		{"GET /jobs/{id}/log", glovebox.RoleViewer, s.downloadLog},
		{"GET /jobs/{id}/diff", glovebox.RoleViewer, s.downloadDiff},
		{"GET /jobs/{id}/diff/files/{n}", glovebox.RoleViewer, s.showDiffFile},
		{"GET /jobs/{id}/output", glovebox.RoleViewer, s.downloadOutput},
		{"POST /jobs/{id}/cancel", glovebox.RoleOperator, s.cancelJob},
		{"POST /jobs/{id}/retry", glovebox.RoleOperator, s.retryJob},
		{"GET /executors", glovebox.RoleViewer, s.showExecutors},
		{"POST /executors/drain", glovebox.RoleAdmin, s.drainExecutor},
		{"GET /login", anyone, s.showLogin},
		{"POST /login", anyone, s.login},
		{"POST /logout", anyone, s.logout},
		{"GET /static/{version}/{name}", anyone, s.serveStatic},
		{"/", anyone, s.notFound},
	}
	if s.Batches != nil {
		routes = append(routes, s.batchRoutes()...)
	}
	return routes
}

// batchRoutes lists those of batch changes. Whose one is is checked where it is read (site.batchChange).
func (s *site) batchRoutes() []route {
	return []route{
		{"GET /batch-changes", glovebox.RoleViewer, s.showBatchChanges},
		{"GET /events/batch-changes", glovebox.RoleViewer, s.streamBatchChanges},
		{"GET /batch-changes/NEW", glovebox.RoleOperator, s.showBatchNew},
		{"POST /batch-changes", glovebox.RoleOperator, s.createBatchRun},
		{"GET /batch-changes/{name}", glovebox.RoleViewer, s.showBatchChange},
		{"GET /batch-changes/{name}/events", glovebox.RoleViewer, s.streamBatchChange},
		{"POST /batch-changes/{name}/changesets", glovebox.RoleOperator, s.changeChangesets},
		{"POST /batch-changes/{name}/close", glovebox.RoleOperator, s.closeBatchChange},
		{"GET /batch-changes/{name}/runs/{id}", glovebox.RoleViewer, s.showBatchRun},
		{"GET /batch-changes/{name}/runs/{id}/spec", glovebox.RoleViewer, s.downloadSpec},
		{"POST /batch-changes/{name}/runs/{id}/cancel", glovebox.RoleOperator, s.cancelBatchRun},
		{"POST /batch-changes/{name}/runs/{id}/retry", glovebox.RoleOperator, s.retryWorkspaces},
		{"GET /batch-changes/{name}/runs/{id}/preview", glovebox.RoleViewer, s.showPreview},
		{"POST /batch-changes/{name}/runs/{id}/apply", glovebox.RoleOperator, s.applyRun},
		{"GET /batch-changes/{name}/runs/{id}/workspaces/{workspace}", glovebox.RoleViewer, s.showWorkspace},
	}
}

// handler wires the routes behind the security headers and the check of where
// a request that changes something came from.
func (s *site) handler() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.Handle(r.pattern, s.guard(r))
	}
	return secureHeaders(http.NewCrossOriginProtection().Handler(mux))
}

// notFound answers what no other route does.
func (s *site) notFound(w http.ResponseWriter, r *http.Request, v *visitor) error {
	return glovebox.ErrNotFound
}
