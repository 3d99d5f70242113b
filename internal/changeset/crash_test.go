package changeset_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

var errDead = errors.New("the process is dead")

// dying is a store whose process dies at its n-th write: before it, or after it and before anybody hears of it. A dead
// process reads and writes nothing more.
type dying struct {
	changeset.Store
	mu     sync.Mutex
	left   int
	after  bool
	dead   bool
	died   chan struct{}
	writes int
}

// write runs a write, or dies.
func (d *dying) write(do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	d.writes++
	d.left--
	if d.left != 0 {
		return do()
	}
	d.dead = true
	close(d.died)
	if d.after {
		if err := do(); err != nil {
			return err
		}
	}
	return errDead
}

func (d *dying) alive() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	return nil
}

func (d *dying) UpdateRun(ctx context.Context, id string, change func(*glovebox.BatchRun) error) (run glovebox.BatchRun, err error) {
	return run, d.write(func() error { run, err = d.Store.UpdateRun(ctx, id, change); return err })
}

func (d *dying) Resolved(ctx context.Context, run string, ws []changeset.Workspace, specs []changeset.Spec, change func(*glovebox.BatchRun) error) error {
	return d.write(func() error { return d.Store.Resolved(ctx, run, ws, specs, change) })
}

func (d *dying) UpdateWorkspace(ctx context.Context, id string, change func(*changeset.Workspace) error) (w changeset.Workspace, err error) {
	return w, d.write(func() error { w, err = d.Store.UpdateWorkspace(ctx, id, change); return err })
}

func (d *dying) Collect(ctx context.Context, id string, specs []changeset.Spec, change func(*changeset.Workspace) error) error {
	return d.write(func() error { return d.Store.Collect(ctx, id, specs, change) })
}

func (d *dying) UpdateChangeset(ctx context.Context, id string, change func(*changeset.Changeset) error) (c changeset.Changeset, err error) {
	err = d.write(func() error { c, err = d.Store.UpdateChangeset(ctx, id, change); return err })
	return c, err
}

func (d *dying) OpenRuns(ctx context.Context) ([]glovebox.BatchRun, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	return d.Store.OpenRuns(ctx)
}

func (d *dying) DueLanes(ctx context.Context, now time.Time) ([]string, time.Time, error) {
	if err := d.alive(); err != nil {
		return nil, time.Time{}, err
	}
	return d.Store.DueLanes(ctx, now)
}

// life is a whole life of a batch change, on a server that may die at any write and is started again each time.
func life(t *testing.T, at int, after bool) (writes int) {
	var d *dying
	f := newFixture(t, func(o *changeset.Options) {
		d = &dying{Store: o.Store, left: at, after: after, died: make(chan struct{})}
		o.Store = d
	})
	real := f.store
	ended := make(chan struct{})
	revived := make(chan struct{})
	go func() { // the supervisor
		defer close(revived)
		select {
		case <-d.died:
			f.mu.Lock()
			defer f.mu.Unlock()
			f.stop()
			f.opt.Store = real
			f.start()
		case <-ended:
		}
	}()
	f.repo("acme/a", "https://code.test/acme/a", "")
	f.repo("plain/b", "https://plain.test/b", "")
	line := "one"
	var jobs sync.Map
	defer f.execute(func(job glovebox.Job) outcome {
		if n, loaded := jobs.LoadOrStore(job.ID, 1); loaded {
			t.Errorf("job %s was run again (%v)", job.ID, n)
		}
		return outcome{diff: adds("hello.txt", line)}
	})()
	begin := func(in glovebox.BatchRunInput) glovebox.BatchRun { return f.ended(f.createAlive(in).ID) }
	run := begin(spec("hello", "*/*", "true", "Say hello"))
	change := f.applyAlive(run.ID)
	f.states(change, map[string]glovebox.ChangesetState{"acme/a": glovebox.ChangesetOpen, "plain/b": glovebox.ChangesetOpen})
	line = "two"
	run = begin(spec("hello", "*/*", "true", "Say hello again"))
	f.applyAlive(run.ID)
	f.until("the update", func() bool {
		r, ok := f.host.request("acme/a", "batch/hello")
		return ok && r.Title == "Say hello again" && f.git.count("https://plain.test/b", "batch/hello") == 2
	})
	f.settled(change)
	run = begin(spec("hello", "*/none", "true", "Say hello again"))
	f.applyAlive(run.ID)
	f.states(change, map[string]glovebox.ChangesetState{"acme/a": glovebox.ChangesetClosed, "plain/b": glovebox.ChangesetClosed})
	f.settled(change)
	close(ended)
	<-revived

	count := 0
	jobs.Range(func(any, any) bool { count++; return true })
	if count != 4 {
		t.Errorf("%d jobs were run, want 4", count)
	}
	if n := f.host.opened["acme/a batch/hello"]; n != 1 || len(f.host.requests) != 1 {
		t.Errorf("the request was opened %d times, there are %d", n, len(f.host.requests))
	}
	if n := f.host.closed["acme/a batch/hello"]; n < 1 || n > 2 {
		t.Errorf("the request was closed %d times", n)
	}
	for _, remote := range []string{"https://code.test/acme/a", "https://plain.test/b"} {
		if n := f.git.count(remote, "batch/hello"); n != 2 {
			t.Errorf("the branch at %s moved %d times, want 2", remote, n)
		}
	}
	return d.writes
}

// A server that dies at any write, or right after it, loses nothing and publishes nothing twice.
func TestDeathAtEveryWrite(t *testing.T) {
	total := life(t, -1, false)
	if total < 20 {
		t.Fatalf("only %d writes: the test misses what it is for", total)
	}
	t.Logf("%d writes in a life", total)
	for at := 1; at <= total; at++ {
		after := at%2 == 0 // each kind of write comes several times in a life
		t.Run(fmt.Sprintf("%d after %v", at, after), func(t *testing.T) {
			t.Parallel()
			life(t, at, after)
		})
	}
}

// createAlive and applyAlive are what a user does, who is answered by the server that lives.
func (f *fixture) createAlive(in glovebox.BatchRunInput) glovebox.BatchRun {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	run, err := f.b.Create(f.Context(), "", "user:ada", in)
	if err != nil {
		f.Fatal(err)
	}
	return run
}

func (f *fixture) applyAlive(run string) string {
	f.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	change, err := f.b.Apply(f.Context(), run, "user:ada")
	if err != nil {
		f.Fatal(err)
	}
	return change.ID
}

// settled waits until nothing is under way.
func (f *fixture) settled(batchChange string) {
	f.Helper()
	f.until("rest", func() bool {
		for _, c := range f.changesets(batchChange) {
			if c.Effect != nil || c.NextAt != nil && c.NextAt.Before(time.Now()) {
				return false
			}
		}
		return true
	})
}

func (f *fakeRemotes) count(remote, branch string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moves[remote+" "+branch]
}
