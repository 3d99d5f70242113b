package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/glovebox-dev/glovebox"
)

// Run runs one leased job to its end and reports it to the source. The returned result is
// what was reported. When ctx ends, context.Cause(ctx) says why: ErrCanceled (any other
// cancellation counts as that), ErrTimedOut, ErrShutdown, or ErrLeaseLost, after which nothing more
// is reported.
func Run(ctx context.Context, deps Deps, lease glovebox.Lease) glovebox.Result {
	return run(ctx, deps, lease, nil)
}

// run is Run with a gate before the sandbox: a job that is prepared ahead waits there for its slot.
func run(ctx context.Context, deps Deps, lease glovebox.Lease, gate func(context.Context) error) glovebox.Result {
	deps = deps.withDefaults()
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": lease.Job.Trace})
	ctx, span := deps.Tracer.Start(ctx, "job", trace.WithAttributes(
		attribute.String("job", lease.JobID), attribute.Int("attempt", lease.Attempt), attribute.String("tenant", lease.Job.Tenant)))
	defer span.End()
	started := time.Now()
	a := newAttempt(deps, lease)
	defer a.cleanUp()

	err := a.open(ctx)
	if err == nil && !a.done && !a.idle(ctx) {
		if err = a.setUp(ctx, gate); err == nil {
			err = a.steps(ctx)
		}
	}
	if err == nil && context.Cause(ctx) == nil {
		err = a.collect(ctx)
	}
	if host := a.checkHost(); host != nil && context.Cause(ctx) == nil {
		if err != nil {
			host = fmt.Errorf("%w: %w", host, err)
		}
		err = host
	}
	a.conclude(ctx, err)
	a.close()
	a.deliver(ctx)

	span.SetAttributes(attribute.String("state", string(a.result.State)))
	if a.result.State == glovebox.StateErrored {
		span.SetStatus(codes.Error, a.result.Reason)
	}
	deps.Metrics.job(a.result, time.Since(started))
	return a.result
}

// conclude turns what happened into the result's state and reason. Three outcomes are never mixed:
// stopped (the cause of ctx), a fault of ours (err), or what the steps came to.
func (a *attempt) conclude(ctx context.Context, err error) {
	r := &a.result
	cause := context.Cause(ctx)
	var fault *stepFault
	switch {
	case cause != nil && errors.Is(cause, glovebox.ErrShutdown):
		r.State, r.Reason = glovebox.StateErrored, glovebox.ErrShutdown.Error()
	case cause != nil && errors.Is(cause, glovebox.ErrLeaseLost):
		r.State, r.Reason = glovebox.StateErrored, glovebox.ErrLeaseLost.Error()
	case cause != nil && isTimeout(cause):
		r.State, r.Reason = glovebox.StateFailed, glovebox.ReasonTimedOut
	case cause != nil:
		r.State, r.Reason = glovebox.StateCanceled, glovebox.ReasonCanceled
	case errors.As(err, &fault) && !errors.Is(err, errHostFull):
		if r.State == "" || r.State == glovebox.StateCompleted {
			r.State, r.Reason = glovebox.StateFailed, fault.Error()
		}
	case err != nil:
		r.State, r.Reason = glovebox.StateErrored, a.redactor.Text(err.Error())
	}
	a.skipRest()
	for _, s := range r.Steps {
		r.Usage.CPUSeconds += s.Usage.CPUSeconds
		r.Usage.PeakMemory = max(r.Usage.PeakMemory, s.Usage.PeakMemory)
	}
	if !a.firstStep.IsZero() {
		r.Usage.WallSeconds = a.lastStep.Sub(a.firstStep).Seconds()
	}
	if r.Reason != "" {
		a.remark("", "%s: %s", r.State, r.Reason)
	}
}

// skipRest gives every step that was not reached a result.
func (a *attempt) skipRest() {
	for i := len(a.result.Steps); i < len(a.lease.Job.Steps); i++ {
		a.result.Steps = append(a.result.Steps, glovebox.StepResult{Key: stepKey(a.lease.Job.Steps, i), State: glovebox.StateSkipped})
	}
}

func isTimeout(cause error) bool {
	return errors.Is(cause, glovebox.ErrTimedOut) || errors.Is(cause, context.DeadlineExceeded)
}

// stepFault is an end that the job itself is to blame for.
type stepFault struct{ reason string }

func (f *stepFault) Error() string { return f.reason }

func stepKey(steps []glovebox.Step, i int) string {
	if steps[i].Key != "" {
		return steps[i].Key
	}
	return fmt.Sprintf("step-%d", i+1)
}
