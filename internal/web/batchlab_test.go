package web_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/changeset"
)

const batchSpec = `version: 2
name: %s
description: |
  Replaces interface{} by any, and says so in the notes.
  Owners review their own repository.
on:
  - repositoriesMatching: "github.com/acme/*"
workspaces:
  - rootAtLocationOf: go.mod
    in: github.com/acme/*
steps:
  # Twice: the first pass makes room for the second.
  - run: gofmt -w -r 'interface{} -> any' .
    image: host
  - run: |
      echo "in ${{ repository.name }}" >> CHANGES.md
    image: host
    outputs:
      files:
        value: ${{ join previous_step.modified_files "," }}
changesetTemplate:
  title: "Use any"
  body: Generated.
  branch: batch/%[1]s
  commit: {message: Use any}
`

// batchDiff is a diff in several languages, with a binary and a renamed file.
const batchDiff = `diff --git a/cmd/server/main.go b/cmd/server/main.go
index 1111111..2222222 100644
--- a/cmd/server/main.go
+++ b/cmd/server/main.go
@@ -12,8 +12,11 @@ import (
 // decode reads one message. It never keeps more than max bytes, which
 // is why callers hand in a limit.
-func decode(r io.Reader, v interface{}) error {
-	return json.NewDecoder(r).Decode(v)
+func decode(r io.Reader, max int64, v any) error {
+	if err := json.NewDecoder(io.LimitReader(r, max)).Decode(v); err != nil {
+		return fmt.Errorf("decode message of %d bytes at most: %w", max, err)
+	}
+	return nil
 }
 
-var registry = map[string]interface{}{"x": 1, "y": 0x1f, "raw": ` + "`a b`" + `}
+var registry = map[string]any{"x": 1, "y": 0x1f, "raw": ` + "`a b`" + `}
 
@@ -80,3 +83,2 @@ func main() {
 	flag.Parse() /* all of them */
-	log.Fatal(run(os.Args))
 }
diff --git a/web/src/client.ts b/web/src/client.ts
index 1111111..2222222 100644
--- a/web/src/client.ts
+++ b/web/src/client.ts
@@ -1,6 +1,7 @@
 import { fetchJSON } from "./net";
 
-export async function load(id: any): Promise<any> {
-  return fetchJSON('/api/items/' + id);
+export async function load(id: string): Promise<Item | undefined> {
+  const path = ` + "`/api/items/${encodeURIComponent(id)}`" + `; // never raw
+  return fetchJSON<Item>(path, { retries: 3, strict: true });
 }
 
diff --git a/deploy/values.yaml b/deploy/values.yaml
index 1111111..2222222 100644
--- a/deploy/values.yaml
+++ b/deploy/values.yaml
@@ -1,5 +1,6 @@
 image:
-  tag: "1.4.0"   # pinned
+  tag: "1.5.0"   # pinned
+  pullPolicy: IfNotPresent
 replicas: 3
 probes:
   enabled: true
diff --git a/docs/CHANGES.md b/docs/CHANGES.md
index 1111111..2222222 100644
--- a/docs/CHANGES.md
+++ b/docs/CHANGES.md
@@ -1,3 +1,5 @@
 # Changes
 
+- ` + "`decode`" + ` takes a limit; see [the notes](notes.md) for what that means to callers that pass streams of unknown length and did not check it
+
 ## 1.4.0
diff --git a/assets/logo.png b/assets/logo.png
index 1111111..2222222 100644
GIT binary patch
literal 3
KcmZQzWMT#Y01f~L

literal 0
HcmV?d00001

diff --git a/old/name.txt b/new/name.txt
similarity index 100%
rename from old/name.txt
rename to new/name.txt
`

// batchSample is a batch change of a tenant with a run of n workspaces and changesets in all states.
type batchSample struct {
	change     glovebox.BatchChange
	run        glovebox.BatchRun
	workspaces []changeset.Workspace
	// rich is the workspace with a log and a diff.
	rich changeset.Workspace
}

func (s batchSample) path(parts ...string) string {
	return strings.Join(append([]string{"/batch-changes", s.change.Name}, parts...), "/")
}

func (s batchSample) runPath(parts ...string) string {
	return s.path(append([]string{"runs", s.run.ID}, parts...)...)
}

// batch makes a batch change.
func (l *lab) batch(tenant, name string, n int) batchSample {
	l.t.Helper()
	ctx := l.t.Context()
	run, err := l.changes.Create(ctx, tenant, "user:ada", glovebox.BatchRunInput{Spec: fmt.Sprintf(batchSpec, name)})
	check(l.t, err)
	s := batchSample{run: run}
	repos := []string{"api", "billing", "checkout", "docs-site", "edge-proxy", "feature-flags", "gateway", "identity-provider-with-a-rather-long-name", "jobs", "ledger"}
	var specs []changeset.Spec
	for i := range n {
		w := changeset.Workspace{Seq: i + 1, Submitted: true}
		w.BatchWorkspace = glovebox.BatchWorkspace{ID: l.queue.NewID(), Run: run.ID, Repo: fmt.Sprintf("github.com/acme/%s-%d", repos[i%len(repos)], i/len(repos)),
			Branch: "refs/heads/main", Commit: "0123456789abcdef0123456789abcdef01234567", State: glovebox.StateQueued, JobID: l.queue.NewID()}
		if i%4 == 3 {
			w.Path = "services/worker"
		}
		l.settle(&w, i, name)
		s.workspaces = append(s.workspaces, w)
		spec := glovebox.ChangesetSpec{Repo: w.Repo, Branch: "batch/" + name, Title: "Use any instead of interface{}", Body: "Generated.", BaseRef: w.Branch, BaseCommit: w.Commit, Message: "Use any", DiffStat: w.Diff}
		if w.State == glovebox.StateCompleted && w.Diff != nil {
			specs = append(specs, changeset.Spec{Workspace: w.ID, Seq: 1, Spec: spec, DiffKey: "none"})
		}
	}
	check(l.t, l.batches.Resolved(ctx, run.ID, s.workspaces, specs, func(r *glovebox.BatchRun) error {
		at := time.Now().UTC().Truncate(time.Millisecond)
		r.State, r.FinishedAt = glovebox.BatchRunFailed, &at
		r.Notes = []string{"github.com/acme/attic: archived, left out", "github.com/acme/mobile: no folder has a go.mod"}
		return nil
	}))
	s.rich = l.execute(s.workspaces[0], tenant)
	l.publish(run, specs)
	s.run, err = l.changes.BatchRun(ctx, run.ID)
	check(l.t, err)
	s.change, err = l.changes.BatchChange(ctx, run.BatchChange)
	check(l.t, err)
	return s
}

// settle gives a workspace one of all outcomes.
func (l *lab) settle(w *changeset.Workspace, i int, name string) {
	at := time.Now().Add(-time.Duration(i) * time.Minute).UTC().Truncate(time.Millisecond)
	end := func(state glovebox.State, reason string) { w.State, w.Reason, w.FinishedAt = state, reason, &at }
	switch i % 13 {
	case 5:
		end(glovebox.StateFailed, "step 1: exit code 2")
	case 8:
		end(glovebox.StateErrored, "fetch github.com/acme/x: the remote hung up unexpectedly, tried 3 times")
	case 10:
		end(glovebox.StateSkipped, "no step is for this workspace")
		w.JobID = ""
	case 11:
		end(glovebox.StateCanceled, "canceled by ada")
	case 12:
		end(glovebox.StateCompleted, "")
	default:
		end(glovebox.StateCompleted, "")
		w.Cached = i%3 == 1
		w.Diff = &glovebox.Diff{Files: i%7 + 1, Insertions: i*37%4000 + 1, Deletions: i * 11 % 500, Size: 4000}
		w.Branches = []string{"batch/" + name}
	}
}

// execute runs a workspace's job as an executor would.
func (l *lab) execute(w changeset.Workspace, tenant string) changeset.Workspace {
	l.t.Helper()
	spec := steps("Use any in "+w.Repo, "step-1", "step-2")
	spec.Steps[0].Run, spec.Steps[1].Run = "gofmt -w -r 'interface{} -> any' .", "echo done >> CHANGES.md"
	spec.Repo = &glovebox.Repo{Name: w.Repo, Rev: "main", Commit: w.Commit}
	_, err := l.queue.SubmitAs(l.t.Context(), w.JobID, tenant, "user:ada", spec)
	check(l.t, err)
	a := l.attempt(l.claim())
	a.write(glovebox.LogRecord{Stream: glovebox.StreamSystem, Text: "step-1: its result is in the step cache"})
	a.say("step-2", "in "+w.Repo, "\x1b[32mok\x1b[0m")
	a.put(glovebox.DiffArtifact, batchDiff)
	result := sampleResult()
	result.Steps[0].Key, result.Steps[1].Key = "step-1", "step-2"
	result.Steps[0].Cached, result.Steps[0].Usage = true, glovebox.Usage{}
	result.Steps[1].CacheMiss = "script changed"
	result.Steps[1].Outputs = map[string]any{"files": "cmd/server/main.go,web/src/client.ts"}
	result.Values = map[string]any{"files": "cmd/server/main.go,web/src/client.ts", "count": 6, "nested": map[string]any{"a": []any{1, "<b>", true}}}
	result.Diff = &glovebox.Diff{Files: 6, Insertions: 14, Deletions: 7, Size: int64(len(batchDiff))}
	a.complete(result)
	return w
}

// publish gives a batch change changesets in all states.
func (l *lab) publish(run glovebox.BatchRun, specs []changeset.Spec) {
	l.t.Helper()
	now := time.Now().UTC().Truncate(time.Millisecond)
	err := l.batches.Apply(l.t.Context(), run.BatchChange, func(change *glovebox.BatchChange, _ []changeset.Changeset) ([]changeset.Changeset, error) {
		change.State, change.AppliedRun, change.UpdatedAt = glovebox.BatchChangeOpen, run.ID, now
		var list []changeset.Changeset
		states := glovebox.ChangesetStates()
		for i, spec := range specs {
			// What was added last has no changeset yet: a preview has something to publish.
			if i > 1 && i > len(specs)*4/5 {
				continue
			}
			c := changeset.Changeset{Key: "branch:" + spec.Spec.Branch, Lane: "code"}
			c.Changeset = glovebox.Changeset{ID: l.queue.NewID(), BatchChange: change.ID, Tenant: change.Tenant, Repo: spec.Spec.Repo, Host: "code", Branch: spec.Spec.Branch,
				Wanted: &spec.Spec, Title: spec.Spec.Title, State: states[i%len(states)], CreatedAt: now, UpdatedAt: now}
			switch c.State {
			case glovebox.ChangesetOpen, glovebox.ChangesetMerged, glovebox.ChangesetClosed, glovebox.ChangesetDraft:
				c.Publish, c.Head = glovebox.PublishedYes, strings.Repeat("ab", 20)
				c.ExternalID, c.ExternalURL = fmt.Sprint(100+i), fmt.Sprintf("https://code.example/%s/pull/%d", spec.Spec.Repo, 100+i)
				c.Checks, c.Review = []string{"passed", "failed", "pending"}[i%3], []string{"approved", "pending", "changes_requested"}[i%3]
			case glovebox.ChangesetFailed:
				c.Publish, c.Error, c.Tries = glovebox.PublishedDraft, "push refs/heads/"+c.Branch+": commits of others are there: ada@example.org pushed 4f2a91c since; they are never overwritten", 3
			case glovebox.ChangesetPublishing, glovebox.ChangesetScheduled:
				c.Publish = glovebox.PublishedYes
			}
			list = append(list, c)
		}
		return list, nil
	})
	check(l.t, err)
}

// hugeDiff is the diff of a new Go file of n lines.
func hugeDiff(name string, n int) string {
	var out strings.Builder
	fmt.Fprintf(&out, "diff --git a/%[1]s b/%[1]s\nnew file mode 100644\n--- /dev/null\n+++ b/%[1]s\n@@ -0,0 +1,%[2]d @@\n", name, n)
	for i := range n {
		fmt.Fprintf(&out, "+\tvalue%d := fmt.Sprintf(\"%%s has %%d\", name, %d) // of many\n", i, i)
	}
	return out.String()
}
