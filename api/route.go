package api

// Paths of the API as net/http patterns without their methods.
const (
	PathJobs      = "/api/v1/jobs"
	PathJob       = "/api/v1/jobs/{id}"
	PathJobCancel = "/api/v1/jobs/{id}/cancel"
	PathJobRetry  = "/api/v1/jobs/{id}/retry"
	PathJobLog    = "/api/v1/jobs/{id}/log"
	PathJobDiff   = "/api/v1/jobs/{id}/diff"
	PathOutputs   = "/api/v1/jobs/{id}/outputs"
	PathOutput    = "/api/v1/jobs/{id}/outputs/{name...}"

	PathRepos = "/api/v1/repos"
	PathRepo  = "/api/v1/repos/{name...}"

	PathExecutors        = "/api/v1/executors"
	PathExecutorDrain    = "/api/v1/executors/{name}/drain"
	PathExecutorUndrain  = "/api/v1/executors/{name}/undrain"
	PathExecutorClaim    = "/api/v1/executor/claim"
	PathExecutorBeat     = "/api/v1/executor/heartbeat"
	PathAttemptLog       = "/api/v1/attempts/{id}/{attempt}/log"
	PathAttemptArtifact  = "/api/v1/attempts/{id}/{attempt}/artifacts/{name...}"
	PathAttemptCompleted = "/api/v1/attempts/{id}/{attempt}/complete"

	PathBatchChanges       = "/api/v1/batch-changes"
	PathBatchChange        = "/api/v1/batch-changes/{id}"
	PathBatchClose         = "/api/v1/batch-changes/{id}/close"
	PathBatchPublish       = "/api/v1/batch-changes/{id}/publish"
	PathBatchRuns          = "/api/v1/batch-changes/{id}/runs"
	PathBatchChangesets    = "/api/v1/batch-changes/{id}/changesets"
	PathBatchRun           = "/api/v1/batch-runs/{id}"
	PathBatchRunWorkspaces = "/api/v1/batch-runs/{id}/workspaces"
	PathBatchRunCancel     = "/api/v1/batch-runs/{id}/cancel"
	PathBatchRunRetry      = "/api/v1/batch-runs/{id}/retry"
	PathBatchRunPreview    = "/api/v1/batch-runs/{id}/preview"
	PathBatchRunApply      = "/api/v1/batch-runs/{id}/apply"
	PathBatchWorkspace     = "/api/v1/batch-workspaces/{id}"
	PathBatchWorkspaceDiff = "/api/v1/batch-workspaces/{id}/diff"
	PathCodeHosts          = "/api/v1/code-hosts"
	PathWebhook            = "/api/v1/webhooks/{name}"
	PathStepCache          = "/api/v1/step-cache/{key}"
	PathAttemptStepCache   = "/api/v1/attempts/{id}/{attempt}/step-cache/{key}"

	PathTokens  = "/api/v1/tokens"
	PathToken   = "/api/v1/tokens/{id}"
	PathWhoami  = "/api/v1/whoami"
	PathVersion = "/api/v1/version"
	PathOpenAPI = "/api/v1/openapi.yaml"

	// PathGit is what a repository's clone URL begins with.
	PathGit     = "/git/"
	PathHealthz = "/healthz"
	PathReadyz  = "/readyz"
	PathMetrics = "/metrics"
)

// Prefixes by which the kinds of token are told apart.
const (
	UserTokenPrefix     = "gbu_"
	ExecutorTokenPrefix = "gbe_"
	JobTokenPrefix      = "gbj_"
)
