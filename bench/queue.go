package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/executor"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/fake"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// jobsAtOnce is how many jobs one run of queueThroughput submits.
const jobsAtOnce = 200

// queueThroughput measures what everything but the sandbox takes: trivial jobs go through a server
// process, over HTTP, to 1, 4 and 16 executors of one slot each with the fake runtime.
func queueThroughput(ctx context.Context, env environment) ([]series, error) {
	d, err := startDev(ctx, env, "--slots", "0")
	if err != nil {
		return nil, err
	}
	defer d.stop()
	client, err := d.client()
	if err != nil {
		return nil, err
	}
	var variants []variant
	for _, claimers := range []int{1, 4, 16} {
		variants = append(variants, variant{fmt.Sprintf("claimers: %d", claimers), func(ctx context.Context) (float64, error) {
			return jobsPerSecond(ctx, env, client, claimers)
		}})
	}
	return takeTurns(ctx, env.runs, variants)
}

// jobsPerSecond submits the jobs, then lets the claimers loose on them: its figure spans from the
// first claim to the last accepted result.
func jobsPerSecond(ctx context.Context, env environment, client *api.Client, claimers int) (float64, error) {
	queue := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	var last glovebox.Job
	for range jobsAtOnce {
		var err error
		if last, err = client.SubmitJob(ctx, glovebox.JobSpec{Queue: queue, Runtime: "fake", Network: glovebox.NetworkNone,
			Steps: []glovebox.Step{{Image: image.Host, Run: "echo hello"}}}); err != nil {
			return 0, err
		}
	}
	done := make(chan struct{}, jobsAtOnce)
	var daemons []*executor.Daemon
	for i := range claimers {
		daemon, err := claimer(ctx, env, client, queue, i, done)
		if err != nil {
			return 0, err
		}
		daemons = append(daemons, daemon)
	}
	var group sync.WaitGroup
	errs := make(chan error, claimers)
	start := time.Now()
	for _, daemon := range daemons {
		group.Go(func() { errs <- daemon.Run(ctx) })
	}
	for range jobsAtOnce {
		select {
		case <-done:
		case err := <-errs:
			return 0, fmt.Errorf("an executor ended: %w", err)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	taken := time.Since(start)
	for _, daemon := range daemons {
		daemon.Drain()
	}
	group.Wait()
	job, err := client.Job(ctx, last.ID)
	if err == nil && job.State != glovebox.StateCompleted {
		err = fmt.Errorf("job %s is %s: %s", job.ID, job.State, job.Reason)
	}
	return jobsAtOnce / taken.Seconds(), err
}

func claimer(ctx context.Context, env environment, admin *api.Client, queue string, n int, done chan<- struct{}) (*executor.Daemon, error) {
	name := fmt.Sprintf("%s-%d", queue, n)
	dir := filepath.Join(env.dir, name)
	token, err := admin.CreateToken(ctx, api.CreateToken{Name: name, Kind: glovebox.TokenExecutor, Executor: name})
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(admin.BaseURL(), token.Secret)
	if err != nil {
		return nil, err
	}
	cache, err := workspace.OpenCache(workspace.CacheOptions{Dir: filepath.Join(dir, "cache")})
	if err != nil {
		return nil, err
	}
	return executor.NewDaemon(executor.Config{
		Name: name, Queues: []string{queue}, Slots: 1,
		Deps: executor.Deps{
			Source: counted{client, done}, Runtimes: map[string]sandbox.Runtime{"fake": &fake.Runtime{}}, DefaultRuntime: "fake",
			Images: noImages{}, MakeDisk: makeFolder, Cache: cache, Dir: filepath.Join(dir, "jobs"), Instance: name, AllowHostImage: true,
		},
	})
}

// counted tells of each accepted result.
type counted struct {
	*api.Client
	done chan<- struct{}
}

func (c counted) Complete(ctx context.Context, ref glovebox.LeaseRef, result glovebox.Result) error {
	err := c.Client.Complete(ctx, ref, result)
	if err == nil {
		c.done <- struct{}{}
	}
	return err
}

// noImages gives the fake runtime, which looks at none, an image.
type noImages struct{}

func (noImages) Ensure(context.Context, string) (*image.Image, func(), error) {
	return &image.Image{Ref: image.Host, Digest: image.Host}, func() {}, nil
}

func (noImages) Digest(context.Context, string) (string, error) { return image.Host, nil }

// folder is a disk without a bound: the measured jobs write nothing.
type folder string

func makeFolder(_ context.Context, path string, _ int64) (executor.Disk, error) {
	f := folder(path)
	for _, dir := range []string{f.Work(), f.Scratch()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f folder) Work() string        { return filepath.Join(string(f), "work") }
func (f folder) Scratch() string     { return filepath.Join(string(f), "scratch") }
func (f folder) Full() (bool, error) { return false, nil }
func (f folder) Close() error        { return os.RemoveAll(string(f)) }
