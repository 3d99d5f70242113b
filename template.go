package glovebox

// Template makes the texts of a job's steps templates: what stands between "${{" and "}}" in
// Run, Env, Files, Outputs, Condition and Image is evaluated just before the step, over these
// values and over what the steps before it came to (internal/template has the language).
type Template struct {
	Repository  TemplateRepository  `json:"repository,omitzero"`
	BatchChange TemplateBatchChange `json:"batch_change,omitzero"`
	// Path is the folder of the repository that the job works in: steps.path.
	Path string `json:"path,omitempty"`
}

// TemplateRepository is what templates call repository.
type TemplateRepository struct {
	Name string `json:"name,omitempty"`
	// Branch is a full ref, such as refs/heads/main.
	Branch            string   `json:"branch,omitempty"`
	SearchResultPaths []string `json:"search_result_paths,omitempty"`
}

// TemplateBatchChange is what templates call batch_change.
type TemplateBatchChange struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
}

// StepOutput is a named value that a step leaves for later templates: outputs.NAME.
type StepOutput struct {
	// Value is a template over the step itself (step.stdout) besides all else.
	Value string `json:"value"`
	// Format is how the value is read: "text" (the default), "yaml" or "json".
	Format string `json:"format,omitempty"`
}

// StepFile is a file that one step sees, read-only, at an absolute path of its sandbox.
type StepFile struct {
	Path string `json:"path"`
	// Content is the file's text; in a templated job it is a template.
	Content string `json:"content,omitempty"`
	// Base64 is the file's bytes in standard base64, never a template. Only one of both is set.
	Base64     string `json:"base64,omitempty"`
	Executable bool   `json:"executable,omitempty"`
}

// CacheFolder is a folder that jobs of one tenant share from run to run, such as a package
// manager's downloads. Everything in it is as hostile as the jobs that filled it.
type CacheFolder struct {
	// Name is the folder's name among the tenant's: letters, digits, "-", "_" and ".".
	Name string `json:"name"`
	// Path is where steps see it: absolute, outside of the workspace.
	Path string `json:"path"`
}

// Uses of the step cache.
const (
	// StepCacheUse takes a step's result from the cache if all that goes into the step is unchanged, and keeps new ones.
	StepCacheUse = "use"
	// StepCacheRefresh runs every step and keeps the results.
	StepCacheRefresh = "refresh"
)

// Changes are the paths that a job's steps changed so far, against the commit, each list
// sorted. A renamed file is there by its new name only.
type Changes struct {
	Modified []string `json:"modified,omitempty"`
	Added    []string `json:"added,omitempty"`
	Deleted  []string `json:"deleted,omitempty"`
	Renamed  []string `json:"renamed,omitempty"`
}
