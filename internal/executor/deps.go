package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/stepcache"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// Images makes the images that steps name available; internal/image has one.
type Images interface {
	// Ensure returns the unpacked image, and a function that lets go of it.
	Ensure(ctx context.Context, ref string) (*image.Image, func(), error)
	// Digest says what ref names now, without fetching it: the same text as long as it names the same.
	Digest(ctx context.Context, ref string) (string, error)
}

// Disk is a job's bounded file system; internal/disk has one.
type Disk interface {
	// Work is the folder for the workspace, Scratch the one for a runtime's writable layers.
	Work() string
	Scratch() string
	// Full reports whether there is no room left worth speaking of.
	Full() (bool, error)
	Close() error
}

// Deps are what running a job needs.
type Deps struct {
	Source Source
	// Runtimes by name; jobs that name none get DefaultRuntime.
	Runtimes       map[string]sandbox.Runtime
	DefaultRuntime string
	Images         Images
	// MakeDisk makes the folder path with a disk of size bytes in it.
	MakeDisk func(ctx context.Context, path string, size int64) (Disk, error)
	Cache    *workspace.Cache
	// StepCache returns where a job's step results are kept; jobs that ask for it run all their steps when nil.
	StepCache func(glovebox.Lease) stepcache.Store
	// Caches keeps folders for jobs that name some; without it they are refused.
	Caches Caches
	// Dir holds one folder per running attempt.
	Dir string
	// Instance is on every object that outlives the process: lower-case letters, digits and "-".
	Instance string
	// AllowHostImage permits the pseudo image "host".
	AllowHostImage bool
	// Transports are those by which repositories may be fetched. When nil: https and http, so that no server
	// can have an executor read its own host; for a LocalSource, whose user names the repository, every one.
	Transports []string
	// CPUs is how many the host has; a job that asks for more gets that many. No bound when 0.
	CPUs float64
	// DeliverFor bounds how long log, artifacts and result are tried to be delivered after the
	// steps ended; an hour when 0.
	DeliverFor time.Duration
	// MaxDiff and Outputs bound what is collected; the defaults of workspace when zero.
	MaxDiff int64
	Outputs workspace.OutputLimits
	// Event is told remarks for the job's timeline; it must not block. May be nil.
	Event func(glovebox.JobEvent)
	// Flush delivers the remarks that Event was told, as well as it can; the attempt's result is next. May be nil.
	Flush func(context.Context, glovebox.LeaseRef)
	// FreeDisk measures the free disk where a folder is; it asks the system when nil.
	FreeDisk func(dir string) (glovebox.Size, error)
	// stop ends when nobody wants to wait for an executor any longer; nil for never.
	stop    context.Context
	Now     func() time.Time
	Logger  *slog.Logger
	Metrics *Metrics
	Tracer  trace.Tracer
	// Wait waits before the n-th further try of a failed delivery, n from 1, or until ctx ends; a back-off
	// from 200 ms to 10 s when nil.
	Wait func(ctx context.Context, n int)
}

func (d Deps) withDefaults() Deps {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.Tracer == nil {
		d.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if d.DeliverFor == 0 {
		d.DeliverFor = time.Hour
	}
	if d.Event == nil {
		d.Event = func(glovebox.JobEvent) {}
	}
	if _, local := d.Source.(*LocalSource); local && d.Transports == nil {
		d.Transports = []string{"https", "http", "ssh", "git", "file"}
	}
	if d.Flush == nil {
		d.Flush = func(context.Context, glovebox.LeaseRef) {}
	}
	if d.FreeDisk == nil {
		d.FreeDisk = freeDisk
	}
	if d.stop == nil {
		d.stop = context.Background()
	}
	if d.Wait == nil {
		d.Wait = backOff
	}
	return d
}

// Validate reports what is missing.
func (d Deps) Validate() error {
	var missing []string
	for name, ok := range map[string]bool{
		"source": d.Source != nil, "images": d.Images != nil, "disk": d.MakeDisk != nil, "cache": d.Cache != nil,
		"folder": d.Dir != "", "instance": d.Instance != "", "default runtime": d.Runtimes[d.DefaultRuntime] != nil,
	} {
		if !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("executor lacks: %s", strings.Join(missing, ", "))
	}
	return nil
}

// runtime picks the runtime of a job.
func (d Deps) runtime(job glovebox.Job) (sandbox.Runtime, error) {
	name := job.Runtime
	if name == "" {
		name = d.DefaultRuntime
	}
	if r := d.Runtimes[name]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("runtime %q: %w by this executor", name, glovebox.ErrUnsupported)
}

func backOff(ctx context.Context, n int) {
	t := time.NewTimer(min(10*time.Second, 200*time.Millisecond<<min(n-1, 10)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// final reports whether a far side's refusal will not change by asking again.
func final(err error) bool {
	for _, target := range []error{glovebox.ErrLeaseLost, glovebox.ErrForbidden, glovebox.ErrUnauthorized, glovebox.ErrTooLarge, glovebox.ErrNotFound} {
		if errors.Is(err, target) {
			return true
		}
	}
	var invalid *glovebox.ValidationError
	return errors.As(err, &invalid)
}
