package executor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/stepcache"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// attempt is one run of a job: what it made so far, and what it came to.
type attempt struct {
	deps     Deps
	lease    glovebox.Lease
	limits   glovebox.Limits
	dir      string
	redactor *logs.Redactor

	batch *logs.Batch
	limit *logs.Limit
	// sink takes the executor's remarks; steps write through limit.
	sink logs.Sink

	disk    Disk
	tree    *workspace.Workspace
	runtime sandbox.Runtime
	sandbox sandbox.Sandbox
	mu      sync.Mutex
	images  map[string]*image.Image
	// digests are what the images' names stood for when they were first looked up.
	digests  map[string]string
	releases []func()

	// cache is nil unless the job's step results are kept; running are the inputs of the step that runs.
	cache   stepcache.Store
	running stepcache.Inputs
	// watching is set when the tree is looked at after each step.
	watching bool
	progress progress
	// done is set when all that was left of the job was in the step cache.
	done bool

	firstStep, lastStep time.Time
	artifacts           []artifact
	result              glovebox.Result
}

func newAttempt(deps Deps, lease glovebox.Lease) *attempt {
	values := []string{lease.Token}
	for _, v := range lease.Secrets {
		values = append(values, v)
	}
	limits := lease.Job.Limits.WithDefaults(glovebox.DefaultLimits())
	if deps.CPUs > 0 {
		limits.CPUs = min(limits.CPUs, deps.CPUs)
	}
	return &attempt{deps: deps, lease: lease, limits: limits, redactor: logs.NewRedactor(values...), images: map[string]*image.Image{}, digests: map[string]string{},
		dir: filepath.Join(deps.Dir, attemptName(lease.LeaseRef))}
}

// attemptName names an attempt's folder and, shortened, its sandbox: ids may come from elsewhere.
func attemptName(ref glovebox.LeaseRef) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, ref.JobID)
	if len(clean) > 32 {
		clean = clean[len(clean)-32:]
	}
	return fmt.Sprintf("%s-%d", strings.Trim(clean, "-"), ref.Attempt)
}

// prepareFor bounds the fetching of repository and images.
const prepareFor = time.Hour

// open makes the attempt's folder and its log, and finds its runtime.
func (a *attempt) open(ctx context.Context) (err error) {
	if err := os.RemoveAll(a.dir); err != nil {
		return fmt.Errorf("make job folder: %w", err)
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return fmt.Errorf("make job folder: %w", err)
	}
	if err := a.openLog(ctx); err != nil {
		return err
	}
	if a.runtime, err = a.deps.runtime(a.lease.Job); err != nil {
		return err
	}
	a.result.Runtime = a.runtime.Name()
	if err := a.checkSecrets(); err != nil {
		return err
	}
	a.openCache()
	a.watching = a.watchesTree()
	return a.recall(ctx, false)
}

// setUp lays out disk, workspace and images, and creates the sandbox meanwhile: starting one takes as long as
// all that. The sandbox waits for its gate, where a job that is prepared ahead waits for its slot.
func (a *attempt) setUp(ctx context.Context, gate func(context.Context) error) error {
	disk := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return a.prepare(ctx, disk) })
	group.Go(func() error {
		if gate != nil {
			if err := gate(ctx); err != nil {
				return err
			}
		}
		return a.create(ctx, disk)
	})
	return group.Wait()
}

// prepare makes disk, workspace and images; it closes made once the disk is there.
func (a *attempt) prepare(ctx context.Context, made chan<- struct{}) (err error) {
	ctx, span := a.deps.Tracer.Start(ctx, "prepare")
	defer span.End()
	ctx, cancel := context.WithTimeoutCause(ctx, prepareFor, fmt.Errorf("preparation took longer than %s", prepareFor))
	defer cancel()
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := a.makeDisk(gctx); err != nil {
			return err
		}
		close(made)
		return a.prepareWorkspace(gctx)
	})
	seen := map[string]bool{}
	for i, s := range a.lease.Job.Steps {
		// What only templates will tell is prepared when the step is reached.
		known := a.lease.Job.Template == nil || !strings.Contains(s.Image, "${{") && s.Condition == ""
		if i >= len(a.result.Steps) && known && !seen[s.Image] {
			seen[s.Image] = true
			group.Go(func() error { return a.prepareImage(gctx, s.Image) })
		}
	}
	return group.Wait()
}

// checkSecrets refuses a job with a secret that the lease has no value for.
func (a *attempt) checkSecrets() error {
	for _, s := range a.lease.Job.Steps {
		for _, name := range s.Secrets {
			if _, ok := a.lease.Secrets[name]; !ok {
				return fmt.Errorf("secret %s has no value", name)
			}
		}
	}
	return nil
}

// slowest is how many bytes a second get through at least.
const slowest = 32 << 10

func (a *attempt) openLog(ctx context.Context) error {
	batch, err := logs.NewBatch(ctx, logs.BatchOptions{
		Path:   filepath.Join(a.dir, "spool"),
		Logger: a.deps.Logger.With("job", a.lease.JobID),
		Append: func(ctx context.Context, offset int64, records []byte) (int64, error) {
			// A connection that the network forgot must not hold lines back for long, nor a slow one fail for ever.
			ctx, cancel := context.WithTimeout(ctx, answerFor+time.Duration(len(records)/slowest)*time.Second)
			defer cancel()
			end, err := a.deps.Source.AppendLog(ctx, a.lease.LeaseRef, offset, records)
			if err != nil && final(err) && !errors.Is(err, glovebox.ErrLeaseLost) {
				err = fmt.Errorf("%w: %w", glovebox.ErrLeaseLost, err) // nothing will be taken any more
			}
			return end, err
		},
	})
	if err != nil {
		return err
	}
	a.batch = batch
	a.sink = a.redactor.Sink(batch)
	a.limit = logs.NewLimit(batch, int64(a.limits.Log), a.deps.Now)
	return nil
}

func (a *attempt) makeDisk(ctx context.Context) error {
	disk, err := a.deps.MakeDisk(ctx, filepath.Join(a.dir, "disk"), int64(a.limits.Disk))
	if err != nil {
		return err
	}
	a.disk = disk
	return nil
}

func (a *attempt) prepareWorkspace(ctx context.Context) (err error) {
	started := time.Now()
	opts := workspace.Options{Root: a.disk.Work(), GitDir: filepath.Join(a.dir, "git"), Cache: a.deps.Cache, Files: a.lease.Job.Files, Transports: a.deps.Transports, MaxBytes: int64(a.limits.Disk)}
	if repo := a.lease.Job.Repo; repo != nil {
		if a.lease.CloneURL == "" {
			return fmt.Errorf("prepare workspace: no address for the repository %s", repo.Name)
		}
		opts.URL, opts.Password, opts.Commit, opts.Only = a.lease.CloneURL, a.lease.Token, repo.Commit, repo.Only
	}
	if a.tree, err = workspace.Prepare(ctx, opts); err != nil {
		if full, _ := a.disk.Full(); full && errors.Is(err, unix.ENOSPC) {
			a.remark("", "the repository does not fit into the disk limit of %s", a.limits.Disk)
			return &stepFault{glovebox.ReasonDiskFull}
		}
		return blame(fmt.Errorf("prepare workspace: %w", err))
	}
	a.result.Commit = a.tree.Commit
	took := time.Since(started)
	a.deps.Metrics.prepared(took, a.tree.Fetched)
	if a.tree.Commit != "" {
		from := "from the cache"
		if a.tree.Fetched {
			from = "fetched"
		}
		a.remark("", "workspace at %.12s, %s, in %s", a.tree.Commit, from, rounded(took))
	}
	if err := a.restore(ctx); err != nil {
		return err
	}
	a.event(glovebox.EventProgress, "workspace ready")
	return nil
}

func (a *attempt) prepareImage(ctx context.Context, ref string) error {
	if ref == image.Host && !a.deps.AllowHostImage {
		return fmt.Errorf("image %q: this executor was not started with --allow-host-image", ref)
	}
	started := time.Now()
	img, release, err := a.deps.Images.Ensure(ctx, ref)
	if err != nil {
		return fmt.Errorf("prepare image %s: %w", ref, err)
	}
	a.mu.Lock()
	a.images[ref] = img
	if ref != image.Host {
		a.digests[ref] = img.Digest
	}
	a.releases = append(a.releases, release)
	a.mu.Unlock()
	if ref != image.Host {
		a.remark("", "image %s is %s, ready in %s", ref, img.Digest, rounded(time.Since(started)))
	}
	return nil
}

// create makes the sandbox. The channel is closed once the disk is there.
func (a *attempt) create(ctx context.Context, disk <-chan struct{}) (err error) {
	ctx, span := a.deps.Tracer.Start(ctx, "create sandbox")
	defer span.End()
	started := time.Now()
	caches, err := a.acquireCaches(ctx)
	if err != nil {
		return fmt.Errorf("create sandbox: %w", err)
	}
	state := filepath.Join(a.dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		return fmt.Errorf("create sandbox: %w", err)
	}
	network := a.lease.Job.Network
	if network == "" {
		network = glovebox.NetworkPublic
	}
	ready := func(ctx context.Context) (workspace, scratch string, err error) {
		select {
		case <-disk:
			return a.disk.Work(), a.disk.Scratch(), nil
		case <-ctx.Done():
			return "", "", context.Cause(ctx)
		}
	}
	a.sandbox, err = a.runtime.Create(ctx, sandbox.Spec{
		ID: attemptName(a.lease.LeaseRef), Instance: a.deps.Instance, State: state,
		Ready: ready, Limits: a.limits, Network: network, Caches: caches,
	})
	if err != nil {
		return fmt.Errorf("create sandbox: %w", err)
	}
	a.deps.Metrics.created(a.runtime.Name(), time.Since(started))
	a.event(glovebox.EventProgress, fmt.Sprintf("sandbox ready on %s in %s", a.runtime.Name(), rounded(time.Since(started))))
	return nil
}

// remark writes a line of the executor's own into the job's log.
func (a *attempt) remark(step, format string, args ...any) {
	if a.sink == nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	for line := range strings.SplitSeq(strings.ToValidUTF8(text, "\uFFFD"), "\n") {
		if len(line) > glovebox.MaxLogText {
			line = strings.ToValidUTF8(line[:glovebox.MaxLogText], "")
		}
		if err := a.sink.Write(glovebox.LogRecord{Time: a.deps.Now().UTC(), Step: step, Stream: glovebox.StreamSystem, Text: line}); err != nil {
			a.deps.Logger.Warn("write to log", "job", a.lease.JobID, "error", err)
		}
	}
}

func (a *attempt) event(kind, message string) {
	a.deps.Event(glovebox.JobEvent{LeaseRef: a.lease.LeaseRef, Event: glovebox.Event{
		Time: a.deps.Now().UTC(), Kind: kind, Attempt: a.lease.Attempt, Message: a.redactor.Text(message)}})
}

func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
