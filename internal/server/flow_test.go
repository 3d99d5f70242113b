package server

import (
	"errors"
	"io"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

// The whole way of a job on a repository: submit, claim, fetch, log, artifacts, result.
func TestJobFromSubmissionToResult(t *testing.T) {
	f := newFixture(t)
	admin, user, executor := f.user(glovebox.RoleAdmin, ""), f.user(glovebox.RoleOperator, ""), f.executor()
	dir, commit := gitRepo(t)
	if _, err := admin.AddRepo(t.Context(), api.AddRepository{Name: "local/app", URL: dir}); err != nil {
		t.Fatal(err)
	}
	spec := trueJob()
	spec.Repo = &glovebox.Repo{Name: "local/app", Rev: "main"}
	job := f.submit(user, spec)
	if job.State != glovebox.StateQueued || job.Repo.Commit != commit || job.SubmittedBy != "test" {
		t.Fatalf("submitted: %+v", job)
	}
	lease := f.claim(executor)
	if lease.CloneURL != f.url+"/git/local/app" {
		t.Errorf("clone URL %q", lease.CloneURL)
	}
	clone := t.TempDir()
	withToken := strings.Replace(lease.CloneURL, "http://", "http://job:"+url.QueryEscape(lease.Token)+"@", 1)
	gitIn(t, clone, "init", "-q")
	gitIn(t, clone, "fetch", "-q", "--depth=1", withToken, commit)

	line := logLine(t, "hello")
	if end, err := executor.AppendLog(t.Context(), lease.LeaseRef, 0, line); err != nil || end != int64(len(line)) {
		t.Fatalf("append: %d, %v", end, err)
	}
	if end, err := executor.AppendLog(t.Context(), lease.LeaseRef, 1000, line); !errors.Is(err, glovebox.ErrOffset) || end != int64(len(line)) {
		t.Fatalf("append beyond the end: %d, %v", end, err)
	}
	const diff, report = "diff --git a/x b/x\n", "<script>alert(1)</script>"
	odd := "report/ü \"x\"\n%2e.html"
	for name, content := range map[string]string{"diff": diff, "outputs/" + odd: report, "outputs/empty": ""} {
		if err := executor.PutArtifact(t.Context(), lease.LeaseRef, name, int64(len(content)), strings.NewReader(content)); err != nil {
			t.Fatalf("put %q: %v", name, err)
		}
	}
	result := glovebox.Result{
		State: glovebox.StateCompleted, Commit: commit, Steps: []glovebox.StepResult{{Key: "one", State: glovebox.StateCompleted}},
		Diff:    &glovebox.Diff{Files: 1, Size: int64(len(diff)), SHA256: sumOf(diff)},
		Outputs: []glovebox.Output{{Name: odd, Size: int64(len(report)), SHA256: sumOf(report)}, {Name: "empty", SHA256: sumOf("")}},
	}
	for range 2 { // repeating is accepted
		if err := executor.Complete(t.Context(), lease.LeaseRef, result); err != nil {
			t.Fatal(err)
		}
	}
	if job, err := user.Job(t.Context(), job.ID); err != nil || job.State != glovebox.StateCompleted || len(job.Timeline) < 3 {
		t.Fatalf("%+v, %v", job, err)
	}
	readAll(t, "hello\n")(user.JobLog(t.Context(), job.ID, api.LogQuery{Text: true}))
	readAll(t, string(line))(user.JobLog(t.Context(), job.ID, api.LogQuery{}))
	readAll(t, "")(user.JobLog(t.Context(), job.ID, api.LogQuery{Step: "other"}))
	readAll(t, diff)(user.JobDiff(t.Context(), job.ID))
	readAll(t, report)(user.JobOutput(t.Context(), job.ID, odd))
	if outputs, err := user.JobOutputs(t.Context(), job.ID); err != nil || len(outputs) != 2 {
		t.Errorf("outputs: %v, %v", outputs, err)
	}
	if _, err := tryGit(clone, "fetch", "-q", withToken, commit); err == nil {
		t.Error("the job's token opened the repository after the attempt's end")
	}
}

func readAll(t *testing.T, want string) func(io.ReadCloser, error) {
	return func(r io.ReadCloser, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
			return
		}
		defer r.Close()
		if got, err := io.ReadAll(r); err != nil || string(got) != want {
			t.Errorf("read %q, %v; want %q", got, err, want)
		}
	}
}

// A claim that waits is answered when a job comes.
func TestWaitingClaimIsAnsweredAtOnce(t *testing.T) {
	f := newFixture(t)
	user, executor := f.user(glovebox.RoleOperator, ""), f.executor()
	var wg sync.WaitGroup
	wg.Go(func() { f.claim(executor) })
	f.submit(user, trueJob())
	wg.Wait()
}

func TestFollowUntilTheEnd(t *testing.T) {
	f := newFixture(t)
	user, executor := f.user(glovebox.RoleOperator, ""), f.executor()
	job := f.submit(user, trueJob())
	type outcome struct {
		end api.LogEnd
		err error
	}
	records, ended := make(chan api.LogEvent, 10), make(chan outcome, 1)
	go func() { // begins while the job is queued
		end, err := user.FollowLog(t.Context(), job.ID, api.LogQuery{}, func(e api.LogEvent) error { records <- e; return nil })
		ended <- outcome{end, err}
	}()
	lease := f.claim(executor)
	var end int64
	var err error
	for _, text := range []string{"one", "two"} {
		if end, err = executor.AppendLog(t.Context(), lease.LeaseRef, end, logLine(t, text)); err != nil {
			t.Fatal(err)
		}
		if e := <-records; e.Record.Text != text || e.Attempt != 1 || e.Next != end { // seen before the next is written
			t.Fatalf("followed %+v", e)
		}
	}
	// The first attempt errs; the follower goes on with the second.
	if err := executor.Complete(t.Context(), lease.LeaseRef, glovebox.Result{State: glovebox.StateErrored, Reason: "disk"}); err != nil {
		t.Fatal(err)
	}
	lease = f.claim(executor)
	if _, err := executor.AppendLog(t.Context(), lease.LeaseRef, 0, logLine(t, "again")); err != nil {
		t.Fatal(err)
	}
	if e := <-records; e.Attempt != 2 || e.Record.Text != "again" {
		t.Fatalf("followed %+v", e)
	}
	if err := executor.Complete(t.Context(), lease.LeaseRef, glovebox.Result{State: glovebox.StateFailed, Reason: "exit code 1"}); err != nil {
		t.Fatal(err)
	}
	if got := <-ended; got.err != nil || got.end.State != glovebox.StateFailed {
		t.Errorf("ended with %+v", got)
	}
	// Resumed from a position, only what follows comes.
	var texts []string
	if _, err := user.FollowLog(t.Context(), job.ID, api.LogQuery{Attempt: 1, Offset: int64(len(logLine(t, "one")))}, func(e api.LogEvent) error {
		texts = append(texts, e.Record.Text)
		return nil
	}); err != nil || strings.Join(texts, ",") != "two" {
		t.Errorf("resumed: %v, %v", texts, err)
	}
	secret := f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: glovebox.RoleViewer})
	_, body := f.raw("GET", "/api/v1/jobs/"+job.ID+"/log", secret, nil, "Accept", "text/event-stream", "Last-Event-ID", api.FormatLogPosition(1, end))
	if strings.Contains(body, "two") || !strings.Contains(body, "again") || !strings.Contains(body, "event: end") {
		t.Errorf("resumed by Last-Event-ID: %q", body)
	}
	if _, body := f.raw("GET", "/api/v1/jobs/"+job.ID+"/log?follow=1&format=text", secret, nil); body != "again\n" {
		t.Errorf("followed as text: %q", body)
	}
}

func TestCancelReachesWaitingHeartbeat(t *testing.T) {
	f := newFixture(t)
	user, executor, lease := f.held()
	beat := glovebox.Beat{Executor: "e1", Leases: []glovebox.LeaseRef{lease.LeaseRef}, Slots: 1}
	if reply, err := executor.Heartbeat(t.Context(), beat); err != nil || reply.Leases[0].Verdict != glovebox.LeaseHeld {
		t.Fatalf("%+v, %v", reply, err)
	}
	replies := make(chan glovebox.BeatReply, 1)
	go func() {
		reply, err := executor.HeartbeatWait(t.Context(), beat, 20*time.Second)
		if err != nil {
			t.Error(err)
		}
		replies <- reply
	}()
	if _, err := user.CancelJob(t.Context(), lease.JobID, "no longer needed"); err != nil {
		t.Fatal(err)
	}
	if reply := <-replies; len(reply.Leases) != 1 || reply.Leases[0].Verdict != glovebox.LeaseCanceled {
		t.Errorf("%+v", reply)
	}
	if err := executor.Complete(t.Context(), lease.LeaseRef, glovebox.Result{State: glovebox.StateCanceled}); err != nil {
		t.Fatal(err)
	}
	job, err := user.RetryJob(t.Context(), lease.JobID)
	if err != nil || job.State != glovebox.StateQueued {
		t.Errorf("retried: %+v, %v", job.State, err)
	}
}

func TestDrain(t *testing.T) {
	f := newFixture(t)
	admin, executor := f.user(glovebox.RoleAdmin, ""), f.executor()
	beat := glovebox.Beat{Executor: "e1", Slots: 1}
	if _, err := executor.Heartbeat(t.Context(), beat); err != nil {
		t.Fatal(err)
	}
	replies := make(chan glovebox.BeatReply, 1)
	go func() {
		reply, err := executor.HeartbeatWait(t.Context(), beat, 20*time.Second)
		if err != nil {
			t.Error(err)
		}
		replies <- reply
	}()
	if err := admin.DrainExecutor(t.Context(), "e1"); err != nil {
		t.Fatal(err)
	}
	if reply := <-replies; !reply.Drain {
		t.Error("the waiting heartbeat did not hear of the drain")
	}
	f.submit(admin, trueJob())
	if leases, err := executor.Claim(t.Context(), glovebox.Offer{Executor: "e1", Max: 1, HostImage: true}); err != nil || len(leases) != 0 {
		t.Errorf("a draining executor claimed %d jobs, %v", len(leases), err)
	}
	if err := admin.UndrainExecutor(t.Context(), "e1"); err != nil {
		t.Fatal(err)
	}
	f.claim(executor)
	if list, err := admin.Executors(t.Context()); err != nil || len(list) != 1 || list[0].Name != "e1" {
		t.Errorf("%v, %v", list, err)
	}
	if err := admin.DrainExecutor(t.Context(), "nobody"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Errorf("drain of nobody: %v", err)
	}
}

func TestTokensReposAndLists(t *testing.T) {
	f := newFixture(t)
	admin := f.user(glovebox.RoleAdmin, "")
	made, err := admin.CreateToken(t.Context(), api.CreateToken{Name: "ada", Role: glovebox.RoleViewer, Tenant: "t1", TTL: glovebox.Duration(time.Hour)})
	if err != nil || made.Secret == "" || made.ExpiresAt == nil {
		t.Fatalf("%+v, %v", made, err)
	}
	ada := f.client(made.Secret)
	if me, err := ada.Whoami(t.Context()); err != nil || me.Name != "ada" || me.Secret != "" {
		t.Errorf("%+v, %v", me, err)
	}
	list, err := admin.Tokens(t.Context())
	if err != nil || len(list) != 2 || list[0].Secret != "" {
		t.Errorf("%+v, %v", list, err)
	}
	if err := admin.RevokeToken(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := ada.Whoami(t.Context()); !errors.Is(err, glovebox.ErrUnauthorized) {
		t.Errorf("with a revoked token: %v", err)
	}
	dir, _ := gitRepo(t)
	if _, err := admin.AddRepo(t.Context(), api.AddRepository{Name: "r", URL: dir, Tenant: "t1"}); err != nil {
		t.Fatal(err)
	}
	viewer := f.user(glovebox.RoleViewer, "t2")
	if repos, err := viewer.Repos(t.Context()); err != nil || len(repos) != 0 {
		t.Errorf("another tenant sees %v, %v", repos, err)
	}
	viewer = f.user(glovebox.RoleViewer, "t1")
	if repos, err := viewer.Repos(t.Context()); err != nil || len(repos) != 1 || repos[0].URL != "" {
		t.Errorf("a viewer sees %v, %v", repos, err)
	}
	if err := admin.RemoveRepo(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		f.submit(admin, trueJob())
	}
	page, err := admin.Jobs(t.Context(), api.JobsQuery{States: []glovebox.State{glovebox.StateQueued}, Limit: 2})
	if err != nil || len(page.Jobs) != 2 || page.Next == "" {
		t.Fatalf("%+v, %v", page, err)
	}
	if page, err = admin.Jobs(t.Context(), api.JobsQuery{Cursor: page.Next}); err != nil || len(page.Jobs) != 1 || page.Next != "" {
		t.Errorf("%+v, %v", page, err)
	}
	status, body := f.raw("GET", "/metrics", "", nil)
	if status != 200 || !strings.Contains(body, `glovebox_jobs{queue="default",state="queued"} 3`) {
		t.Errorf("metrics: %d\n%s", status, body)
	}
	for _, path := range []string{"/healthz", "/readyz", "/api/v1/version", "/api/v1/openapi.yaml"} {
		if status, _ := f.raw("GET", path, "", nil); status != 200 {
			t.Errorf("%s: %d", path, status)
		}
	}
}
