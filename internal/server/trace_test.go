package server

import (
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/glovebox-dev/glovebox"
)

// TestTraceOfSubmission: a job carries the trace it was submitted in, unless it brings its own.
func TestTraceOfSubmission(t *testing.T) {
	f := newFixture(t)
	user := glovebox.Token{Name: "ada", Kind: glovebox.TokenUser, Role: glovebox.RoleOperator, Tenant: "acme"}
	provider := sdk.NewTracerProvider()
	ctx, span := provider.Tracer("test").Start(t.Context(), "submit")
	defer span.End()
	job, err := f.server.Submit(ctx, user, trueJob())
	if err != nil {
		t.Fatal(err)
	}
	if want := span.SpanContext().TraceID().String(); !strings.Contains(job.Trace, want) {
		t.Errorf("trace is %q, want one with %s", job.Trace, want)
	}
	own := trueJob()
	own.Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	if job, err = f.server.Submit(ctx, user, own); err != nil || job.Trace != own.Trace {
		t.Errorf("trace is %q (%v), want the job's own", job.Trace, err)
	}
	if job, err = f.server.Submit(t.Context(), user, trueJob()); err != nil || job.Trace != "" {
		t.Errorf("trace is %q (%v) where nobody traces", job.Trace, err)
	}
}
