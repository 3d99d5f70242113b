package glovebox

import "time"

// LeaseRef names one attempt of a job and proves the right to write for it.
type LeaseRef struct {
	JobID   string `json:"job_id"`
	Attempt int    `json:"attempt"`
	// Token is the job token of this attempt: it opens the job's repository at
	// the git gateway, and its log, artifacts and result, until the attempt ends.
	Token string `json:"token"`
}

// Lease is a claimed job. Secret values exist here and nowhere else.
type Lease struct {
	LeaseRef
	Job Job `json:"job"`
	// Expires is when the lease ends unless a heartbeat extends it.
	Expires time.Time `json:"expires"`
	// TTL is how long each heartbeat extends the lease.
	TTL Duration `json:"ttl"`
	// CloneURL is where the job's repository is fetched from, with Token as the
	// password of any user name; empty when the job has none.
	CloneURL string `json:"clone_url,omitempty"`
	// Secrets maps the names that the steps list to their values.
	Secrets map[string]string `json:"secrets,omitempty"`
}

// LeaseStatus is a server's answer to a heartbeat for one lease.
type LeaseStatus struct {
	JobID   string `json:"job_id"`
	Attempt int    `json:"attempt"`
	// Verdict is LeaseHeld, LeaseCanceled or LeaseGone.
	Verdict string `json:"verdict"`
	// Expires is the new end of the lease when it is held.
	Expires time.Time `json:"expires,omitzero"`
}

// Verdicts of a heartbeat.
const (
	// LeaseHeld: go on.
	LeaseHeld = "held"
	// LeaseCanceled: stop the steps and complete with StateCanceled; the lease is still held.
	LeaseCanceled = "canceled"
	// LeaseGone: the attempt is over as the server sees it; stop and report nothing.
	LeaseGone = "gone"
)

// Offer is what an executor asks for when it claims.
type Offer struct {
	// Executor is the executor's name, unique among the living.
	Executor string `json:"executor"`
	// Queues it serves, in order of preference; all when empty.
	Queues []string `json:"queues,omitempty"`
	// Labels it has.
	Labels map[string]string `json:"labels,omitempty"`
	// Runtimes it can do, the first being its default.
	Runtimes []string `json:"runtimes,omitempty"`
	// Max is how many jobs it can take now, at least 1.
	Max int `json:"max"`
	// Free is what is left of the host; a job that needs more is not handed out.
	// Zero fields do not restrict.
	Free Limits `json:"free,omitzero"`
	// HostImage is set when the executor accepts the pseudo image "host".
	HostImage bool `json:"host_image,omitempty"`
	// Wait is how long the server may hold the claim open for a job to arrive.
	Wait Duration `json:"wait,omitzero"`
}

// Beat is an executor's heartbeat: it extends all its leases at once and
// carries its own condition.
type Beat struct {
	Executor string     `json:"executor"`
	Leases   []LeaseRef `json:"leases"`
	// Version, Labels, Runtimes, Queues, Slots and Draining are shown on the executors page.
	Version  string            `json:"version,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Runtimes []string          `json:"runtimes,omitempty"`
	Queues   []string          `json:"queues,omitempty"`
	Slots    int               `json:"slots"`
	Draining bool              `json:"draining,omitempty"`
	// Events are remarks for the jobs' timelines, made since the last beat.
	Events []JobEvent `json:"events,omitempty"`
}

// JobEvent is an Event of the job that it names.
type JobEvent struct {
	LeaseRef
	Event Event `json:"event"`
}

// BeatReply answers a Beat.
type BeatReply struct {
	Leases []LeaseStatus `json:"leases"`
	// Drain asks the executor to claim nothing more until a reply without it.
	Drain bool `json:"drain,omitempty"`
}
