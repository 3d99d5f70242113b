// Package batch is the batch change: one tool over many repositories. It reads a batch
// spec (versions 1 and 2 of the format that Sourcegraph made known, with additions of our
// own), resolves it to workspaces, makes a job of each, and turns the jobs' results into
// changeset specs. It is text and values in, values out: repositories are looked at through
// Repos; it must not know how jobs are run or stored, nor any code host.
package batch

import "github.com/glovebox-dev/glovebox"

// Spec is a batch spec as it was read: its shape, names and templates are right.
type Spec struct {
	// Version is 1 or 2.
	Version     int    `json:"version"`
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	On          []On   `json:"on,omitempty"`
	// Workspaces split repositories into several workspaces each.
	Workspaces        []WorkspaceRule    `json:"workspaces,omitempty"`
	Steps             []Step             `json:"steps,omitempty"`
	TransformChanges  *TransformChanges  `json:"transformChanges,omitempty"`
	ImportChangesets  []ImportChangesets `json:"importChangesets,omitempty"`
	ChangesetTemplate *ChangesetTemplate `json:"changesetTemplate,omitempty"`

	// What follows is ours.

	// Image is that of the steps that name none ("host" too).
	Image   string                 `json:"image,omitempty"`
	Runtime string                 `json:"runtime,omitempty"`
	Network glovebox.NetworkPolicy `json:"network,omitempty"`
	// Limits hold for each workspace.
	Limits glovebox.Limits `json:"limits,omitzero"`
	// Timeout bounds each workspace's steps together; it stands for Limits.Timeout.
	Timeout glovebox.Duration `json:"timeout,omitzero"`
	// Cache are folders shared by all runs of the tenant: name to path in the sandbox.
	Cache []glovebox.CacheFolder `json:"cache,omitempty"`
}

// On chooses repositories. Exactly one of its first six fields is set.
type On struct {
	// Repository is a name (at the gateway, or a path relative to the folder of local clones), a git URL or, locally, a path.
	Repository string `json:"repository,omitempty"`
	// RepositoriesMatchingQuery is a search query: repo:, -repo:, file:, -file:, and text to find in files.
	RepositoriesMatchingQuery string `json:"repositoriesMatchingQuery,omitempty"`
	// RepositoriesMatching is a glob over names, "**" allowed. Ours.
	RepositoriesMatching string `json:"repositoriesMatching,omitempty"`
	// RepositoriesFrom is a file of names or URLs, one a line, "@BRANCH" allowed after each; relative to the spec. Ours.
	RepositoriesFrom string `json:"repositoriesFrom,omitempty"`
	// CodeHostQuery asks a code host for repositories. Ours.
	CodeHostQuery *CodeHostQuery `json:"codeHostQuery,omitempty"`
	// Folder is a local folder that is no repository; only without a server. Ours.
	Folder string `json:"folder,omitempty"`
	// Branch or Branches go with Repository; the default branch when both are empty.
	Branch   string   `json:"branch,omitempty"`
	Branches []string `json:"branches,omitempty"`
}

// CodeHostQuery is a query in a code host's own language.
type CodeHostQuery struct {
	// Host is the name of a code host that the server, or the user's configuration, knows.
	Host  string `json:"host"`
	Query string `json:"query"`
}

// WorkspaceRule makes a workspace of each folder that holds a file of a name.
type WorkspaceRule struct {
	RootAtLocationOf   string `json:"rootAtLocationOf"`
	In                 string `json:"in,omitempty"`
	OnlyFetchWorkspace bool   `json:"onlyFetchWorkspace,omitempty"`
}

// Step is one step of a spec.
type Step struct {
	Run string `json:"run,omitempty"`
	// Container, or Image as we write it, is the image; Image stands before Container when both are set.
	Container string `json:"container,omitempty"`
	Image     string `json:"image,omitempty"`
	Env       []Env  `json:"env,omitempty"`
	// Files maps paths in the sandbox to contents (templates).
	Files   map[string]string              `json:"files,omitempty"`
	Outputs map[string]glovebox.StepOutput `json:"outputs,omitempty"`
	// If is a template, "true", "false" or empty (true).
	If    string  `json:"if,omitempty"`
	Mount []Mount `json:"mount,omitempty"`
	// Timeout bounds the step. Ours.
	Timeout glovebox.Duration `json:"timeout,omitzero"`
}

// Env is one variable, in the order of the spec. When FromOutside is set, its value is that of the
// variable of the same name where the spec is run from, empty if unset; else Value is a template.
type Env struct {
	Name        string `json:"name"`
	Value       string `json:"value,omitempty"`
	FromOutside bool   `json:"fromOutside,omitempty"`
}

// Mount shows a file or folder beside the spec to a step, read-only.
type Mount struct {
	Path       string `json:"path"`
	Mountpoint string `json:"mountpoint"`
}

// TransformChanges splits a workspace's diff over several branches.
type TransformChanges struct {
	Group []Group `json:"group"`
}

// Group sends the files beneath a directory to a branch of their own.
type Group struct {
	Directory  string `json:"directory"`
	Branch     string `json:"branch"`
	Repository string `json:"repository,omitempty"`
}

// ImportChangesets names changesets that exist already.
type ImportChangesets struct {
	Repository  string   `json:"repository"`
	ExternalIDs []string `json:"externalIDs"`
}

// ChangesetTemplate is what the changesets are made from; texts are templates.
type ChangesetTemplate struct {
	Title     string         `json:"title"`
	Body      string         `json:"body,omitempty"`
	Branch    string         `json:"branch"`
	Fork      *bool          `json:"fork,omitempty"`
	Commit    CommitTemplate `json:"commit"`
	Published *Published     `json:"published,omitempty"`
}

// CommitTemplate is the commit of each changeset.
type CommitTemplate struct {
	Message string  `json:"message"`
	Author  *Author `json:"author,omitempty"`
}

// Author is a commit's author.
type Author struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Published says which changesets are published: All for every one, or Rules, of which the last that matches holds.
type Published struct {
	All   glovebox.Published `json:"all,omitempty"`
	Rules []PublishedRule    `json:"rules,omitempty"`
}

// PublishedRule matches repositories by a glob and, if Branch is set, changesets by their branch.
type PublishedRule struct {
	Repository string             `json:"repository"`
	Branch     string             `json:"branch,omitempty"`
	Published  glovebox.Published `json:"published"`
}
