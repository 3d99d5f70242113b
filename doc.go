// Package glovebox holds the nouns of the system: jobs, steps, leases, results,
// states, log records and events. They are what a job file holds, what travels
// between server and executor, and what is stored. The package uses the
// standard library only, does no I/O and imports nothing else of the project.
//
// A job's way through the tree: internal/jobfile reads it, internal/server
// accepts it, internal/queue hands it out with a lease, internal/executor lays
// out a workspace (internal/workspace), runs each step in a sandbox
// (internal/sandbox), streams its output (internal/logs) and reports a Result.
package glovebox
