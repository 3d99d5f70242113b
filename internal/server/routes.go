package server

import (
	"net/http"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/codehost"
)

// access is what a route asks of its caller.
type access string

const (
	anybody  access = "anybody"                      // no credential is looked at
	viewer          = access(glovebox.RoleViewer)    // a user token
	operator        = access(glovebox.RoleOperator)  //
	admin           = access(glovebox.RoleAdmin)     //
	machine         = access(glovebox.TokenExecutor) // an executor token
	attempt  access = "job"                          // the job token of the attempt in the path; the handler checks it
	inBody   access = "git"                          // the git gateway's own: a job token by either scheme
)

// Bounds of bodies.
const (
	noBody    = 0
	smallBody = 64 << 10
	beatBody  = 4 << 20
	jobBody   = 40 << 20 // all of a job's files in base64, its scripts, and room for escapes
	logBody   = 8 << 20
	idsBody   = 1 << 20 // ten thousand ids, and more
	ownBound  = -1      // the handler sets it
)

// route is one operation of the server.
type route struct {
	method, path string
	access       access
	body         int64
	handle       func(*Server, *request) error
}

// routes is every operation, and who may call it.
var routes = []route{
	{"POST", api.PathJobs, operator, jobBody, (*Server).submitJob},
	{"GET", api.PathJobs, viewer, noBody, (*Server).listJobs},
	{"GET", api.PathJob, viewer, noBody, (*Server).getJob},
	{"POST", api.PathJobCancel, operator, smallBody, (*Server).cancelJob},
	{"POST", api.PathJobRetry, operator, smallBody, (*Server).retryJob},
	{"GET", api.PathJobLog, viewer, noBody, (*Server).getLog},
	{"GET", api.PathJobDiff, viewer, noBody, (*Server).getDiff},
	{"GET", api.PathOutputs, viewer, noBody, (*Server).listOutputs},
	{"GET", api.PathOutput, viewer, noBody, (*Server).getOutput},

	{"GET", api.PathRepos, viewer, noBody, (*Server).listRepos},
	{"POST", api.PathRepos, admin, smallBody, (*Server).addRepo},
	{"DELETE", api.PathRepo, admin, noBody, (*Server).removeRepo},

	{"GET", api.PathBatchChanges, viewer, noBody, (*Server).listBatchChanges},
	{"POST", api.PathBatchChanges, operator, jobBody, (*Server).createBatchRun},
	{"GET", api.PathBatchChange, viewer, noBody, (*Server).getBatchChange},
	{"POST", api.PathBatchClose, operator, smallBody, (*Server).closeBatchChange},
	{"POST", api.PathBatchPublish, operator, idsBody, (*Server).publishChangesets},
	{"GET", api.PathBatchRuns, viewer, noBody, (*Server).listBatchRuns},
	{"GET", api.PathBatchChangesets, viewer, noBody, (*Server).listChangesets},
	{"GET", api.PathBatchRun, viewer, noBody, (*Server).getBatchRun},
	{"GET", api.PathBatchRunWorkspaces, viewer, noBody, (*Server).listBatchWorkspaces},
	{"POST", api.PathBatchRunCancel, operator, smallBody, (*Server).cancelBatchRun},
	{"POST", api.PathBatchRunRetry, operator, idsBody, (*Server).retryBatchRun},
	{"GET", api.PathBatchRunPreview, viewer, noBody, (*Server).previewBatchRun},
	{"POST", api.PathBatchRunApply, operator, smallBody, (*Server).applyBatchRun},
	{"GET", api.PathBatchWorkspace, viewer, noBody, (*Server).getBatchWorkspace},
	{"GET", api.PathBatchWorkspaceDiff, viewer, noBody, (*Server).getBatchWorkspaceDiff},

	{"GET", api.PathCodeHosts, viewer, noBody, (*Server).listCodeHosts},
	{"POST", api.PathWebhook, anybody, codehost.MaxWebhook, (*Server).webhook},

	{"GET", api.PathStepCache, operator, noBody, (*Server).getStepCache},
	{"PUT", api.PathStepCache, operator, ownBound, (*Server).putStepCache},

	{"GET", api.PathExecutors, viewer, noBody, (*Server).listExecutors},
	{"POST", api.PathExecutorDrain, admin, smallBody, (*Server).drainExecutor},
	{"POST", api.PathExecutorUndrain, admin, smallBody, (*Server).undrainExecutor},

	{"GET", api.PathTokens, admin, noBody, (*Server).listTokens},
	{"POST", api.PathTokens, admin, smallBody, (*Server).createToken},
	{"DELETE", api.PathToken, admin, noBody, (*Server).revokeToken},
	{"GET", api.PathWhoami, viewer, noBody, (*Server).whoami},

	{"POST", api.PathExecutorClaim, machine, smallBody, (*Server).claim},
	{"POST", api.PathExecutorBeat, machine, beatBody, (*Server).heartbeat},

	{"POST", api.PathAttemptLog, attempt, logBody, (*Server).appendLog},
	{"PUT", api.PathAttemptArtifact, attempt, ownBound, (*Server).putArtifact},
	{"GET", api.PathAttemptStepCache, attempt, noBody, (*Server).getAttemptStepCache},
	{"PUT", api.PathAttemptStepCache, attempt, ownBound, (*Server).putAttemptStepCache},
	{"POST", api.PathAttemptCompleted, attempt, beatBody, (*Server).completeAttempt},

	{"GET", api.PathVersion, anybody, noBody, (*Server).version},
	{"GET", api.PathOpenAPI, anybody, noBody, (*Server).openAPI},
	{"GET", api.PathHealthz, anybody, noBody, (*Server).healthz},
	{"GET", api.PathReadyz, anybody, noBody, (*Server).readyz},
	{"GET", api.PathMetrics, anybody, noBody, (*Server).metrics},

	{"", api.PathGit + "{path...}", inBody, ownBound, (*Server).git},
}

// Handler returns the handler of everything: the routes, and web (which may be nil) for all other paths.
func (s *Server) Handler(web http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, r := range routes {
		pattern := r.path
		if r.method != "" {
			pattern = r.method + " " + r.path
		}
		mux.Handle(pattern, s.serve(r))
	}
	mux.Handle("/api/", s.serve(route{path: "/api/", access: anybody, handle: (*Server).noSuchPath}))
	for _, path := range apiPaths() {
		mux.Handle(path, s.serve(route{path: path, access: anybody, handle: (*Server).noSuchMethod}))
	}
	if web != nil {
		mux.Handle("/", s.measure("web", web))
	}
	traced := otelhttp.NewHandler(mux, "http", otelhttp.WithTracerProvider(s.Tracer), otelhttp.WithSpanNameFormatter(spanName),
		otelhttp.WithFilter(func(r *http.Request) bool { return r.URL.Path != api.PathHealthz && r.URL.Path != api.PathMetrics }))
	return traced
}

// apiPaths are the paths of the routes, once each.
func apiPaths() []string {
	var paths []string
	seen := map[string]bool{api.PathGit + "{path...}": true}
	for _, r := range routes {
		if !seen[r.path] {
			seen[r.path] = true
			paths = append(paths, r.path)
		}
	}
	return paths
}

func spanName(_ string, r *http.Request) string {
	if r.Pattern != "" {
		return r.Pattern
	}
	return r.Method
}

// measure counts the requests of a handler that is not one of our routes.
func (s *Server) measure(name string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := s.Now()
		reply := &reply{ResponseWriter: w, control: http.NewResponseController(w), idle: s.cfg.Idle}
		defer func() { s.Metrics.observeRequest(r.Method, name, reply.status, s.Now().Sub(begin)) }()
		next.ServeHTTP(reply, r)
	})
}

// bodyTime is how long a body of the route may take.
func (s *Server) bodyTime(r route) time.Duration {
	if r.body == ownBound {
		return s.cfg.BodyTime
	}
	return s.cfg.BodyTime / 10
}
