package glovebox

import "testing"

func TestTransitions(t *testing.T) {
	allowed := map[[2]State]bool{}
	for _, final := range []State{StateCompleted, StateFailed, StateErrored, StateCanceled} {
		allowed[[2]State{StateProcessing, final}] = true
		allowed[[2]State{final, StateQueued}] = true
	}
	allowed[[2]State{StateQueued, StateProcessing}] = true
	allowed[[2]State{StateQueued, StateCanceled}] = true
	allowed[[2]State{StateProcessing, StateQueued}] = true
	for _, from := range append(JobStates(), StateSkipped, "") {
		for _, to := range append(JobStates(), StateSkipped, "") {
			if got := from.CanBecome(to); got != allowed[[2]State{from, to}] {
				t.Errorf("%q to %q: %v", from, to, got)
			}
		}
		if final := from != StateQueued && from != StateProcessing && from != StateSkipped && from != ""; from.Final() != final {
			t.Errorf("%q is final: %v", from, from.Final())
		}
	}
}
