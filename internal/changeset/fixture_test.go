package changeset_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/blob"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/store"
)

// fixture is a server's batch changes on SQLite, blobs in a folder and a real queue; mirrors, pushes and the code host
// are fakes unless a test brings real ones.
type fixture struct {
	*testing.T
	db    *store.DB
	store *store.Batches
	repos *store.Repos
	queue *queue.Queue
	blobs *blob.Folder
	host  *fakeHost
	other *fakeHost
	git   *fakeRemotes
	opt   changeset.Options

	mu   sync.Mutex // while a server is replaced by another
	b    *changeset.Batches
	stop func()
}

const commitName = "0123456789abcdef0123456789abcdef01234567"

// fakeMirrors has every branch of every repository at one commit.
type fakeMirrors struct{}

func (fakeMirrors) Branch(_ context.Context, _ glovebox.Repository, branch string) (string, string, error) {
	if branch == "" {
		branch = "main"
	}
	if branch == "missing" {
		return "", "", glovebox.ErrNotFound
	}
	return "refs/heads/" + strings.TrimPrefix(branch, "refs/heads/"), commitName, nil
}

func (fakeMirrors) GitDir(context.Context, glovebox.Repository, string) (string, error) {
	return "/nonexistent", nil
}

func newFixture(t *testing.T, change ...func(*changeset.Options)) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{T: t, db: db, store: store.NewBatches(db), repos: store.NewRepos(db), blobs: blobs, host: newFakeHost(t), other: newFakeHost(t), git: newFakeRemotes(t)}
	f.queue = queue.New(store.NewJobs(db), queue.Options{Backoff: func(int) time.Duration { return 0 }})
	for _, h := range []*fakeHost{f.host, f.other} {
		h.branches = func(repo, branch string) (string, bool) { return f.git.head(h.clones[repo], branch) }
	}
	f.opt = changeset.Options{
		Store: f.store, Queue: f.queue, Repositories: f.repos, Mirrors: fakeMirrors{}, Blobs: blobs, Push: f.git.Push,
		Hosts: []changeset.Host{
			{Name: "code", URL: "https://code.test", Client: f.host, Token: "secret", WebhookSecret: "hook"},
			{Name: "other", URL: "https://other.test", Client: f.other, Max: 1},
		},
		PollOpen: time.Hour, PollMax: time.Hour, Backoff: func(int) time.Duration { return time.Millisecond }, MaxTries: 5,
		Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	for _, c := range change {
		c(&f.opt)
	}
	f.start()
	t.Cleanup(func() {
		f.stop()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		blobs.Close()
	})
	return f
}

// start makes batch changes on the store, as a server's start does.
func (f *fixture) start() {
	f.Helper()
	b, err := changeset.New(f.opt)
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := b.Run(ctx); err != nil {
			f.Error(err)
		}
	}()
	f.b = b
	f.stop = func() { cancel(); <-done }
}

func (f *fixture) restart() { f.stop(); f.start() }

// repo registers a repository, at a code host if its address is there.
func (f *fixture) repo(name, url, tenant string) {
	f.Helper()
	if _, err := f.repos.Add(f.Context(), glovebox.Repository{Name: name, URL: url, Tenant: tenant, CreatedAt: time.Now()}); err != nil {
		f.Fatal(err)
	}
	for prefix, h := range map[string]*fakeHost{"https://code.test/": f.host, "https://other.test/": f.other} {
		if at, ok := strings.CutPrefix(url, prefix); ok {
			h.mu.Lock()
			h.clones[at] = url
			h.mu.Unlock()
		}
	}
}

// three registers three repositories of the code host.
func (f *fixture) three() {
	for _, name := range []string{"a", "b", "c"} {
		f.repo("acme/"+name, "https://code.test/acme/"+name, "")
	}
}

// outcome is what the steps of a job come to.
type outcome struct {
	diff  string
	state glovebox.State
}

// execute is an executor of one slot that does as told, until the returned function is called.
func (f *fixture) execute(do func(glovebox.Job) outcome) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			leases, err := f.queue.Claim(ctx, glovebox.Offer{Executor: "e", HostImage: true, Max: 1, Wait: glovebox.Duration(time.Minute)})
			if err != nil {
				if ctx.Err() == nil {
					f.Error(err)
				}
				return
			}
			for _, lease := range leases {
				f.complete(lease, do(lease.Job))
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

func (f *fixture) complete(lease glovebox.Lease, out outcome) {
	if out.state == "" {
		out.state = glovebox.StateCompleted
	}
	result := glovebox.Result{State: out.state, Commit: lease.Job.Repo.Commit, Steps: []glovebox.StepResult{{Key: "step-1", State: out.state}}}
	if out.diff != "" {
		if _, err := f.blobs.Put(context.Background(), blob.ArtifactKey(lease.JobID, lease.Attempt, "diff"), strings.NewReader(out.diff)); err != nil {
			f.Error(err)
		}
		sum := sha256.Sum256([]byte(out.diff))
		result.Diff = &glovebox.Diff{Files: 1, Insertions: 1, Size: int64(len(out.diff)), SHA256: hex.EncodeToString(sum[:])}
	}
	if _, err := f.queue.Complete(context.Background(), lease.LeaseRef, result); err != nil {
		f.Error(err)
	}
}

// adds is the diff that adds a file with a line.
func adds(name, line string) string {
	return fmt.Sprintf("diff --git a/%[1]s b/%[1]s\nnew file mode 100644\nindex 0000000..1111111\n--- /dev/null\n+++ b/%[1]s\n@@ -0,0 +1 @@\n+%[2]s\n", name, line)
}

// spec is a batch spec over repositories that match a glob.
func spec(name, glob, published, title string) glovebox.BatchRunInput {
	text := fmt.Sprintf(`version: 2
name: %s
description: A change
on: [{repositoriesMatching: %q}]
steps: [{run: "echo hello > hello.txt", image: host}]
changesetTemplate:
  title: %q
  body: Body
  branch: batch/%s
  commit: {message: Say hello, author: {name: Ada, email: ada@example.org}}
`, name, glob, title, name)
	if published != "" {
		text += "  published: " + published + "\n"
	}
	return glovebox.BatchRunInput{Spec: text}
}

// create begins a run.
func (f *fixture) create(tenant string, in glovebox.BatchRunInput) glovebox.BatchRun {
	f.Helper()
	run, err := f.b.Create(f.Context(), tenant, "user:ada", in)
	if err != nil {
		f.Fatal(err)
	}
	return run
}

// until waits for a condition on the store, which changes by itself.
func (f *fixture) until(what string, cond func() bool) {
	f.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			f.dump()
			f.Fatalf("never came: %s", what)
		}
		<-tick.C
	}
}

// dump says how things stand.
func (f *fixture) dump() {
	changes, _, _ := f.store.BatchChanges(context.Background(), changeset.Filter{})
	for _, c := range changes {
		runs, _ := f.store.RunsOf(context.Background(), c.ID, 10)
		for _, r := range runs {
			f.Logf("run %s: %s %q %v %v", r.ID, r.State, r.Reason, r.Workspaces, r.Problems)
		}
		list, _ := f.store.ChangesetsOf(context.Background(), c.ID)
		for _, s := range list {
			f.Logf("changeset %s %s: %s, publish %q, closing %v, id %q, next %v, tries %d, error %q, effect %+v", s.Repo, s.Branch, s.State, s.Publish, s.Closing, s.ExternalID, s.NextAt, s.Tries, s.Error, s.Effect)
		}
	}
}

// ended waits for a run's end.
func (f *fixture) ended(id string) glovebox.BatchRun {
	f.Helper()
	var run glovebox.BatchRun
	f.until("the end of the run", func() bool {
		var err error
		if run, err = f.store.Run(f.Context(), id); err != nil {
			f.Fatal(err)
		}
		return run.State.Final()
	})
	return run
}

func (f *fixture) apply(run string) glovebox.BatchChange {
	f.Helper()
	change, err := f.b.Apply(f.Context(), run, "user:ada")
	if err != nil {
		f.Fatal(err)
	}
	return change
}

// changesets are those of a batch change by repository.
func (f *fixture) changesets(batchChange string) map[string]changeset.Changeset {
	f.Helper()
	list, err := f.store.ChangesetsOf(context.Background(), batchChange)
	if err != nil {
		f.Fatal(err)
	}
	by := map[string]changeset.Changeset{}
	for _, c := range list {
		by[c.Repo] = c
	}
	return by
}

// states waits until the changesets of a batch change are in the states given by repository.
func (f *fixture) states(batchChange string, want map[string]glovebox.ChangesetState) {
	f.Helper()
	f.until(fmt.Sprint("changesets ", want), func() bool {
		have := f.changesets(batchChange)
		for repo, state := range want {
			if have[repo].State != state {
				return false
			}
		}
		return true
	})
}

// preview lists "REPO: ACTIONS" of a run.
func (f *fixture) preview(run string) string {
	f.Helper()
	entries, err := f.b.Preview(f.Context(), run)
	if err != nil {
		f.Fatal(err)
	}
	var out bytes.Buffer
	for _, e := range entries {
		fmt.Fprintf(&out, "%s: %v", e.Repo, e.Actions)
		if len(e.Reasons) > 0 {
			fmt.Fprintf(&out, " (%s)", strings.Join(e.Reasons, "; "))
		}
		if e.Blocked != "" {
			fmt.Fprintf(&out, " BLOCKED %s", e.Blocked)
		}
		out.WriteByte('\n')
	}
	return out.String()
}
