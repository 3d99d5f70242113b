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
		Repo:  &glovebox.Repo{Name: "local/app", Rev: "main", Commit: "0123456789012345678901234567890123456789"},
		Files: []glovebox.File{{Path: "a.sh", Content: "true\n", Executable: true}, {Path: "b.bin", Base64: "AAE="}},
		Steps: []glovebox.Step{
			{Key: "vet", Image: "host", Run: "go vet ./...", KeepGoing: true, Dir: "src", Env: map[string]string{"K": "V"}, Timeout: glovebox.Duration(10 * time.Minute)},
			{Key: "sum", Image: "debian:12", Command: []string{"sha256sum", "a.sh"}, Secrets: []string{"TOKEN"}, If: "always"},
		},
		Limits:  glovebox.DefaultLimits(),
		Network: glovebox.NetworkNone, Outputs: []string{"report/*.json"}, Attempts: 3,
	}
	result := glovebox.Result{
		State: glovebox.StateFailed, Reason: "exit code 1", Usage: usage, Commit: spec.Repo.Commit, Runtime: "gvisor",
		Steps:   []glovebox.StepResult{{Key: "vet", State: glovebox.StateFailed, ExitCode: 1, Reason: glovebox.ReasonOutOfMemory, Image: "host", StartedAt: &at, FinishedAt: &at, Usage: usage}},
		Diff:    &glovebox.Diff{Files: 1, Insertions: 2, Deletions: 3, Size: 4, SHA256: "ab"},
		Outputs: []glovebox.Output{{Name: "report/x.json", Size: 2, SHA256: "cd"}},
	}
	job := glovebox.Job{
		ID: "01kdz", Tenant: "default", JobSpec: spec, State: glovebox.StateFailed, Reason: "exit code 1", Attempt: 2, Executor: "e1",
		CancelRequested: true, SubmittedBy: "ada", CreatedAt: at, NotBefore: &at, StartedAt: &at, FinishedAt: &at, Result: &result, Timeline: []glovebox.Event{event},
	}
	token := glovebox.Token{ID: "1f", Name: "ada", Kind: glovebox.TokenUser, Role: glovebox.RoleOperator, Tenant: "default", CreatedAt: at, ExpiresAt: &at, RevokedAt: &at, LastUsedAt: &at, Secret: "gbu_x"}
	end := int64(7)
	return map[string]any{
		"JobSpec": spec, "Job": job, "Result": result, "Token": token,
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
