package glovebox

// State is where a job, or a step of it, stands.
type State string

const (
	// StateQueued waits for an executor.
	StateQueued State = "queued"
	// StateProcessing is claimed by an executor, under a lease.
	StateProcessing State = "processing"
	// StateCompleted ran all its steps, each with exit code 0.
	StateCompleted State = "completed"
	// StateFailed was stopped by a step: an exit code, a time-out or a limit.
	StateFailed State = "failed"
	// StateErrored was stopped by a fault of ours, after its last attempt.
	StateErrored State = "errored"
	// StateCanceled was stopped by a user.
	StateCanceled State = "canceled"
	// StateSkipped is a step that was not run; never a job.
	StateSkipped State = "skipped"
)

// transitions is the table of the state machine of a job. From a final state a
// job leaves only by a user's retry.
var transitions = map[State][]State{
	StateQueued:     {StateProcessing, StateCanceled},
	StateProcessing: {StateCompleted, StateFailed, StateErrored, StateCanceled, StateQueued},
	StateCompleted:  {StateQueued},
	StateFailed:     {StateQueued},
	StateErrored:    {StateQueued},
	StateCanceled:   {StateQueued},
}

// Final reports whether a job in s is over.
func (s State) Final() bool {
	return s == StateCompleted || s == StateFailed || s == StateErrored || s == StateCanceled
}

// CanBecome reports whether a job may go from s to next.
func (s State) CanBecome(next State) bool {
	for _, t := range transitions[s] {
		if t == next {
			return true
		}
	}
	return false
}

// JobStates lists the states of a job in the order of its life.
func JobStates() []State {
	return []State{StateQueued, StateProcessing, StateCompleted, StateFailed, StateErrored, StateCanceled}
}
