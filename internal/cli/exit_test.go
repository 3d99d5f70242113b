package cli

import (
	"testing"

	"github.com/glovebox-dev/glovebox"
)

func TestJobExit(t *testing.T) {
	step := func(state glovebox.State, code int, reason string) glovebox.StepResult {
		return glovebox.StepResult{State: state, ExitCode: code, Reason: reason}
	}
	const ok, failed, skipped = glovebox.StateCompleted, glovebox.StateFailed, glovebox.StateSkipped
	for _, c := range []struct {
		name   string
		state  glovebox.State
		reason string
		steps  []glovebox.StepResult
		want   int
	}{
		{"completed", ok, "", []glovebox.StepResult{step(ok, 0, "")}, 0},
		{"the first failing step's code", failed, "", []glovebox.StepResult{step(ok, 0, ""), step(failed, 3, ""), step(skipped, 0, ""), step(failed, 4, "")}, 3},
		{"step timed out", failed, "timed out", []glovebox.StepResult{step(failed, 137, glovebox.ReasonTimedOut)}, 124},
		{"job timed out", failed, glovebox.ReasonTimedOut, []glovebox.StepResult{step(skipped, 0, "")}, 124},
		{"out of memory", failed, glovebox.ReasonOutOfMemory, []glovebox.StepResult{step(failed, 137, glovebox.ReasonOutOfMemory)}, 137},
		{"failed with no code", failed, "disk full", []glovebox.StepResult{step(failed, 0, glovebox.ReasonDiskFull)}, 1},
		{"canceled", glovebox.StateCanceled, "", nil, 130},
		{"errored", glovebox.StateErrored, "no image", nil, 125},
		{"queued is no end", glovebox.StateQueued, "", nil, 125},
	} {
		if got := jobExit(c.state, c.reason, c.steps); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
