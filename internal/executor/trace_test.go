package executor

import (
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/glovebox-dev/glovebox"
)

// TestTraceJoinsTheSubmission: the spans of a job continue the trace that its submission began.
func TestTraceJoinsTheSubmission(t *testing.T) {
	spans := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
	r := newRig(t, newMemorySource())
	r.deps.Tracer = provider.Tracer("test")
	const id = "0af7651916cd43dd8448eb211c80319c"
	job := glovebox.JobSpec{Steps: steps("echo hi"), Network: glovebox.NetworkNone, Trace: "00-" + id + "-b7ad6b7169203331-01"}
	if result := Run(t.Context(), r.deps, lease("traced", job)); result.State != glovebox.StateCompleted {
		t.Fatalf("job is %s: %s", result.State, result.Reason)
	}
	seen := map[string]bool{}
	for _, span := range spans.Ended() {
		seen[span.Name()] = true
		if got := span.SpanContext().TraceID().String(); got != id {
			t.Errorf("span %q is of trace %s, want %s", span.Name(), got, id)
		}
	}
	for _, name := range []string{"job", "prepare", "create sandbox"} {
		if !seen[name] {
			t.Errorf("no span %q among %v", name, seen)
		}
	}
}
