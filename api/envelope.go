package api

import "github.com/glovebox-dev/glovebox"

// JobsPage is a page of jobs, newest first. Next is the cursor of the page after it, empty on the last.
type JobsPage struct {
	Jobs []glovebox.Job `json:"jobs"`
	Next string         `json:"next,omitempty"`
}

// JobsQuery says which jobs to list; zero fields do not restrict.
type JobsQuery struct {
	States []glovebox.State
	Queue  string
	// Tenant is for admins; others see their own tenant only.
	Tenant string
	Repo   string
	// Text is looked for in names and ids.
	Text string
	// Limit is 1 to 500; 50 when zero.
	Limit  int
	Cursor string
}

// CancelRequest is the optional body of a cancel.
type CancelRequest struct {
	Reason string `json:"reason,omitempty"`
}

// LogQuery says which part of a job's log to read.
type LogQuery struct {
	// Attempt is the latest when zero.
	Attempt int
	// Step restricts to one step's records.
	Step string
	// Offset counts bytes of the attempt's encoded log.
	Offset int64
	// Text asks JobLog for plain text rather than JSON lines.
	Text bool
}

// LogEvent is one record of a followed log. Attempt and Next are where to go on from after a broken connection.
type LogEvent struct {
	Attempt int
	Next    int64
	Record  glovebox.LogRecord
}

// LogEnd is the last event of a followed log.
type LogEnd struct {
	State  glovebox.State `json:"state"`
	Reason string         `json:"reason,omitempty"`
}

// AppendReply answers a log append with the log's new end.
type AppendReply struct {
	End int64 `json:"end"`
}

// Outputs lists a job's outputs.
type Outputs struct {
	Attempt int               `json:"attempt"`
	Outputs []glovebox.Output `json:"outputs"`
}

// Repositories lists repositories.
type Repositories struct {
	Repositories []glovebox.Repository `json:"repositories"`
}

// AddRepository is the body that adds a repository. An absolute path as URL is one on the server.
type AddRepository struct {
	Name   string `json:"name"`
	URL    string `json:"url"`
	Tenant string `json:"tenant,omitempty"`
}

// Executors lists executors.
type Executors struct {
	Executors []glovebox.Executor `json:"executors"`
}

// Tokens lists tokens, without their secrets.
type Tokens struct {
	Tokens []glovebox.Token `json:"tokens"`
}

// CreateToken is the body that creates a token.
type CreateToken struct {
	Name string `json:"name"`
	// Kind is glovebox.TokenUser (the default) or glovebox.TokenExecutor.
	Kind     string        `json:"kind,omitempty"`
	Role     glovebox.Role `json:"role,omitempty"`
	Tenant   string        `json:"tenant,omitempty"`
	Executor string        `json:"executor,omitempty"`
	// TTL is how long it lives; for ever when zero.
	TTL glovebox.Duration `json:"ttl,omitzero"`
}

// Leases answers a claim.
type Leases struct {
	Leases []glovebox.Lease `json:"leases"`
}

// Version describes the server.
type Version struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
}
