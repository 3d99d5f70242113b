// Package changeset owns batch changes on a server: it resolves the spec of a run to
// workspaces, has a job run for each, collects their diffs, shows what applying would do, and
// keeps branches and requests at code hosts as the run applied last wants them. Everything goes
// on from the Store's rows after a crash. It must not know HTTP, SQL or any one code host's API.
package changeset
