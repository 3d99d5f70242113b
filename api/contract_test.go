package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox"
)

var update = flag.Bool("update", false, "write testdata anew")

// examples holds each shape of the contract, named as openapi.yaml names it, with every field set.
func examples() map[string]any {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ref := glovebox.LeaseRef{JobID: "01kdz", Attempt: 2, Token: "gbj_x"}
	usage := glovebox.Usage{CPUSeconds: 1.5, PeakMemory: 1 << 20, WallSeconds: 2.25}
	event := glovebox.Event{Time: at, Kind: glovebox.EventStepStarted, Actor: "executor:e1", Attempt: 2, Message: "one"}
	spec := glovebox.JobSpec{
		Name: "gofmt", Queue: "default", Priority: 5, Labels: map[string]string{"zone": "a"}, Runtime: "gvisor",
		Repo:  &glovebox.Repo{Name: "local/app", Rev: "main", Commit: "0123456789012345678901234567890123456789", Only: "src"},
		Files: []glovebox.File{{Path: "a.sh", Content: "true\n", Executable: true}, {Path: "b.bin", Base64: "AAE="}},
		Steps: []glovebox.Step{
			{Key: "vet", Image: "host", Run: "go vet ./...", KeepGoing: true, Dir: "src", Env: map[string]string{"K": "V"}, Timeout: glovebox.Duration(10 * time.Minute), Condition: "${{ true }}",
				Files: []glovebox.StepFile{{Path: "/etc/a", Content: "x", Executable: true}}, Outputs: map[string]glovebox.StepOutput{"o": {Value: "${{ step.stdout }}", Format: "json"}}},
			{Key: "sum", Image: "debian:12", Command: []string{"sha256sum", "a.sh"}, Secrets: []string{"TOKEN"}, If: "always"},
		},
		Limits:  glovebox.DefaultLimits(),
		Network: glovebox.NetworkNone, Outputs: []string{"report/*.json"}, Attempts: 3,
		Template: &glovebox.Template{Repository: glovebox.TemplateRepository{Name: "local/app", Branch: "refs/heads/main", SearchResultPaths: []string{"a.go"}},
			BatchChange: glovebox.TemplateBatchChange{Name: "gofmt", Description: "d"}, Path: "src"},
		StepCache: glovebox.StepCacheUse, Caches: []glovebox.CacheFolder{{Name: "go", Path: "/cache/go"}},
	}
	result := glovebox.Result{
		State: glovebox.StateFailed, Reason: "exit code 1", Usage: usage, Commit: spec.Repo.Commit, Runtime: "gvisor",
		Steps: []glovebox.StepResult{{Key: "vet", State: glovebox.StateFailed, ExitCode: 1, Reason: glovebox.ReasonOutOfMemory, Image: "host", StartedAt: &at, FinishedAt: &at, Usage: usage,
			Cached: true, CacheKey: "ab", CacheMiss: "script changed", Outputs: map[string]any{"o": "v"}}},
		Values: map[string]any{"o": "v"}, Changes: &glovebox.Changes{Modified: []string{"a"}, Added: []string{"b"}, Deleted: []string{"c"}, Renamed: []string{"d"}},
		Diff:    &glovebox.Diff{Files: 1, Insertions: 2, Deletions: 3, Size: 4, SHA256: "ab"},
		Outputs: []glovebox.Output{{Name: "report/x.json", Size: 2, SHA256: "cd"}},
	}
	job := glovebox.Job{
		ID: "01kdz", Tenant: "default", JobSpec: spec, State: glovebox.StateFailed, Reason: "exit code 1", Attempt: 2, Executor: "e1",
		CancelRequested: true, SubmittedBy: "ada", CreatedAt: at, NotBefore: &at, StartedAt: &at, FinishedAt: &at, Result: &result, Timeline: []glovebox.Event{event},
	}
	token := glovebox.Token{ID: "1f", Name: "ada", Kind: glovebox.TokenUser, Role: glovebox.RoleOperator, Tenant: "default", CreatedAt: at, ExpiresAt: &at, RevokedAt: &at, LastUsedAt: &at, Secret: "gbu_x"}
	end := int64(7)
	input := glovebox.BatchRunInput{Spec: "name: gofmt\n", Files: []glovebox.File{{Path: "a.sh", Content: "true\n"}}, Env: map[string]string{"K": "V"}, StepCache: glovebox.StepCacheUse, FailFast: true}
	change := glovebox.BatchChange{ID: "01b", Tenant: "default", Name: "gofmt", Description: "d", State: glovebox.BatchChangeOpen, LatestRun: "01r", AppliedRun: "01r",
		CreatedBy: "ada", CreatedAt: at, UpdatedAt: at, ClosedAt: &at, Changesets: map[glovebox.ChangesetState]int{glovebox.ChangesetOpen: 3}}
	run := glovebox.BatchRun{ID: "01r", BatchChange: "01b", Name: "gofmt", Tenant: "default", BatchRunInput: input, State: glovebox.BatchRunFailed, Reason: "r",
		Problems: []glovebox.Problem{{Path: "local/app", Message: "m"}}, Notes: []string{"n"}, CancelRequested: true, CreatedBy: "ada", CreatedAt: at, FinishedAt: &at,
		Workspaces: map[glovebox.State]int{glovebox.StateCompleted: 1}, Changesets: 1}
	workspace := glovebox.BatchWorkspace{ID: "01w", Run: "01r", Repo: "local/app", Path: "src", Branch: "refs/heads/main", Commit: spec.Repo.Commit, State: glovebox.StateCompleted, Reason: "r",
		JobID: "01kdz", Cached: true, Diff: result.Diff, Changes: result.Changes, Values: result.Values, Branches: []string{"batch/gofmt"}, FinishedAt: &at}
	wanted := glovebox.ChangesetSpec{Repo: "local/app", ExternalID: "7", Workspace: "src", BaseRef: "refs/heads/main", BaseCommit: spec.Repo.Commit, Branch: "batch/gofmt", Title: "t", Body: "b",
		Message: "m", AuthorName: "Ada", AuthorEmail: "ada@example.org", Published: glovebox.PublishedDraft, Fork: true, DiffStat: result.Diff}
	changeset := glovebox.Changeset{ID: "01c", BatchChange: "01b", Tenant: "default", Repo: "local/app", Host: "code", Branch: "batch/gofmt", Imported: true, Wanted: &wanted, Publish: glovebox.PublishedYes,
		Closing: true, State: glovebox.ChangesetOpen, ExternalID: "7", ExternalURL: "https://code.example/7", Head: spec.Repo.Commit, Checks: "passed", Review: "approved", Title: "t", Error: "e", Tries: 1,
		NextAt: &at, SyncedAt: &at, CreatedAt: at, UpdatedAt: at}
	preview := glovebox.PreviewEntry{Changeset: "01c", Repo: "local/app", Branch: "batch/gofmt", Wanted: &wanted, State: glovebox.ChangesetOpen,
		Actions: []glovebox.ChangesetAction{glovebox.ActionPush}, Reasons: []string{"r"}, Blocked: "b"}
	return map[string]any{
		"BatchRunInput": input, "BatchChange": change, "BatchRun": run, "BatchWorkspace": workspace, "Changeset": changeset,
		"BatchChangesPage": BatchChangesPage{BatchChanges: []glovebox.BatchChange{change}, Next: "c"}, "BatchRuns": BatchRuns{Runs: []glovebox.BatchRun{run}},
		"BatchWorkspaces": BatchWorkspaces{Workspaces: []glovebox.BatchWorkspace{workspace}, Next: 7}, "Changesets": Changesets{Changesets: []glovebox.Changeset{changeset}},
		"Preview": Preview{Entries: []glovebox.PreviewEntry{preview}}, "RetryBatchRun": RetryBatchRun{Workspaces: []string{"01w"}},
		"PublishChangesets": PublishChangesets{Changesets: []string{"01c"}, Published: glovebox.PublishedDraft}, "CloseBatchChange": CloseBatchChange{KeepOpen: true},
		"CodeHosts": CodeHosts{CodeHosts: []glovebox.CodeHost{{Name: "code", Kind: "gitea", URL: "https://code.example", Webhook: "/api/v1/webhooks/code", PausedUntil: &at}}},
		"JobSpec":   spec, "Job": job, "Result": result, "Token": token,
		"JobsPage": JobsPage{Jobs: []glovebox.Job{job}, Next: "c"}, "CancelRequest": CancelRequest{Reason: "no longer needed"},
		"AppendReply": AppendReply{End: 7}, "Outputs": Outputs{Attempt: 2, Outputs: result.Outputs}, "Version": Version{Version: "1.0", Commit: "abc"},
		"Repositories":  Repositories{Repositories: []glovebox.Repository{{Name: "local/app", URL: "/srv/app", Tenant: "default", CreatedAt: at}}},
		"AddRepository": AddRepository{Name: "local/app", URL: "/srv/app", Tenant: "default"},
		"Executors": Executors{Executors: []glovebox.Executor{{Name: "e1", Version: "1.0", Labels: spec.Labels, Runtimes: []string{"gvisor"}, Queues: []string{"default"},
			Slots: 4, Active: 1, Draining: true, DrainAsked: true, FirstSeen: at, LastSeen: at}}},
		"Tokens":      Tokens{Tokens: []glovebox.Token{token}},
		"CreateToken": CreateToken{Name: "ada", Kind: glovebox.TokenExecutor, Role: glovebox.RoleViewer, Tenant: "default", Executor: "e1", TTL: glovebox.Duration(time.Hour)},
		"Offer": glovebox.Offer{Executor: "e1", Queues: []string{"default"}, Labels: spec.Labels, Runtimes: []string{"gvisor"}, Max: 2,
			Free: glovebox.Limits{CPUs: 1.5, Memory: 3 << 29}, HostImage: true, Wait: glovebox.Duration(30 * time.Second)},
		"Leases": Leases{Leases: []glovebox.Lease{{LeaseRef: ref, Job: job, Expires: at, TTL: glovebox.Duration(time.Minute), CloneURL: "https://g.example/git/local/app", Secrets: map[string]string{"A": "b"}}}},
		"Beat": glovebox.Beat{Executor: "e1", Leases: []glovebox.LeaseRef{ref}, Version: "1.0", Labels: spec.Labels, Runtimes: []string{"gvisor"}, Queues: []string{"default"},
			Slots: 4, Draining: true, Events: []glovebox.JobEvent{{LeaseRef: ref, Event: event}}},
		"BeatReply": glovebox.BeatReply{Leases: []glovebox.LeaseStatus{{JobID: "01kdz", Attempt: 2, Verdict: glovebox.LeaseHeld, Expires: at}}, Drain: true},
		"Error":     ErrorBody{Error: Error{Code: CodeOffset, Message: "m", Problems: []glovebox.Problem{{Path: "steps[0].run", Line: 1, Column: 2, Message: "m"}}}, End: &end},
	}
}

// The JSON of each shape is the contract: who changes it changes testdata, knowingly (-update).
func TestContract(t *testing.T) {
	for name, example := range examples() {
		got, err := json.MarshalIndent(example, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		path := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s (-want +got):\n%s", path, cmp.Diff(string(want), string(got)))
		}
		back := reflect.New(reflect.TypeOf(example))
		if err := json.Unmarshal(want, back.Interface()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(example, back.Elem().Interface()); diff != "" {
			t.Errorf("%s does not come back as it was:\n%s", path, diff)
		}
	}
	files, err := os.ReadDir("testdata")
	if err != nil || len(files) != len(examples()) {
		t.Errorf("%d files for %d examples, %v", len(files), len(examples()), err)
	}
}
