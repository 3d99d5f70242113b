package glovebox

import "time"

// Executor is an executor as the server last heard of it.
type Executor struct {
	Name     string            `json:"name"`
	Version  string            `json:"version,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Runtimes []string          `json:"runtimes,omitempty"`
	Queues   []string          `json:"queues,omitempty"`
	Slots    int               `json:"slots"`
	// Active is the number of jobs it holds a lease on.
	Active int `json:"active"`
	// Draining is what the executor says of itself; DrainAsked is what an admin asked of it.
	Draining   bool      `json:"draining"`
	DrainAsked bool      `json:"drain_asked"`
	FirstSeen  time.Time `json:"first_seen"`
	LastSeen   time.Time `json:"last_seen"`
}
