package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/blob"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/codehost"
	"github.com/glovebox-dev/glovebox/internal/gitgateway"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/stepstore"
	"github.com/glovebox-dev/glovebox/internal/store"
)

// fixture is a whole server in the test's process: SQLite, blobs in a folder, real git.
type fixture struct {
	*testing.T
	server *Server
	url    string
	tokens *store.Tokens
	blobs  *blob.Folder
}

func newFixture(t *testing.T, change ...func(*Config)) *fixture {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := blob.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	metrics := NewMetrics()
	gateway, err := gitgateway.New(gitgateway.Config{Dir: t.TempDir(), Observe: metrics.ObserveGit})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Version: "test", MaxArtifact: 1 << 20, MaxArtifacts: 2 << 20, AuthFailures: 1000}
	for _, c := range change {
		c(&cfg)
	}
	f := &fixture{T: t, tokens: store.NewTokens(db), blobs: blobs}
	jobs, repos := queue.New(store.NewJobs(db), queue.Options{Backoff: func(int) time.Duration { return 0 }}), store.NewRepos(db)
	batches, err := changeset.New(changeset.Options{Store: store.NewBatches(db), Queue: jobs, Repositories: repos, Mirrors: gateway, Blobs: blobs, Hosts: f.hosts()})
	if err != nil {
		t.Fatal(err)
	}
	f.server, err = New(cfg, Deps{
		Queue: jobs, Tokens: f.tokens, Executors: store.NewExecutors(db), Repositories: repos, Logs: logs.NewStore(blobs), Blobs: blobs, Gateway: gateway,
		Batches: batches, StepCache: stepstore.New(store.NewStepCache(db), blobs, 1<<20, nil), Ready: db.Ping, Metrics: metrics,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := httptest.NewUnstartedServer(nil)
	listener.Config = f.server.HTTPServer(newConformance(t, f.server.Handler(nil)))
	listener.Start()
	t.Cleanup(func() { f.server.Stop(); listener.Close() })
	f.url = listener.URL
	f.run(batches)
	return f
}

// run does what takes batch changes time, until the test's end.
func (f *fixture) run(batches *changeset.Batches) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := batches.Run(ctx); err != nil {
			f.Error(err)
		}
	}()
	f.Cleanup(func() { cancel(); <-done })
}

// hosts are a code host that is never there.
func (f *fixture) hosts() []changeset.Host {
	f.Helper()
	client, err := codehost.New(codehost.Config{Kind: codehost.KindGitea, URL: "http://127.0.0.1:1", Token: "secret-of-the-host"})
	if err != nil {
		f.Fatal(err)
	}
	return []changeset.Host{{Name: "code", URL: "http://127.0.0.1:1", Client: client, Token: "secret-of-the-host", WebhookSecret: "hook"}}
}

func (f *fixture) secret(token glovebox.Token) string {
	f.Helper()
	if token.Name == "" {
		token.Name = "test"
	}
	made, err := f.tokens.Create(context.Background(), token)
	if err != nil {
		f.Fatal(err)
	}
	return made.Secret
}

func (f *fixture) client(secret string) *api.Client {
	f.Helper()
	c, err := api.NewClient(f.url, secret, api.WithTimeout(20*time.Second))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(c.CloseIdle)
	return c
}

// user is a client with a role in a tenant.
func (f *fixture) user(role glovebox.Role, tenant string) *api.Client {
	f.Helper()
	return f.client(f.secret(glovebox.Token{Kind: glovebox.TokenUser, Role: role, Tenant: tenant}))
}

// executor is a client that may claim as "e1".
func (f *fixture) executor() *api.Client {
	f.Helper()
	return f.client(f.secret(glovebox.Token{Kind: glovebox.TokenExecutor, Executor: "e1"}))
}

func trueJob() glovebox.JobSpec {
	return glovebox.JobSpec{Name: "true", Steps: []glovebox.Step{{Key: "one", Image: "host", Run: "true"}}}
}

func (f *fixture) submit(c *api.Client, spec glovebox.JobSpec) glovebox.Job {
	f.Helper()
	job, err := c.SubmitJob(f.Context(), spec)
	if err != nil {
		f.Fatal(err)
	}
	return job
}

func (f *fixture) claim(c *api.Client) glovebox.Lease {
	f.Helper()
	leases, err := c.Claim(f.Context(), glovebox.Offer{Executor: "e1", Max: 1, HostImage: true, Wait: glovebox.Duration(10 * time.Second)})
	if err != nil || len(leases) != 1 {
		f.Fatalf("claim: %d leases, %v", len(leases), err)
	}
	return leases[0]
}

// held submits a job and claims it.
func (f *fixture) held() (*api.Client, *api.Client, glovebox.Lease) {
	f.Helper()
	user, executor := f.user(glovebox.RoleOperator, ""), f.executor()
	f.submit(user, trueJob())
	return user, executor, f.claim(executor)
}

func logLine(t testing.TB, text string) []byte {
	t.Helper()
	line, err := logs.Encode(glovebox.LogRecord{Time: time.Unix(1, 0).UTC(), Step: "one", Stream: glovebox.StreamStdout, Text: text})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(line, []byte("\n")) {
		line = append(line, '\n')
	}
	return line
}

func sumOf(data string) string {
	sum := sha256.Sum256([]byte(data))
	return hex.EncodeToString(sum[:])
}

// raw sends a request as it is and returns status and body.
func (f *fixture) raw(method, path, secret string, body io.Reader, header ...string) (int, string) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, f.url+path, body)
	if err != nil {
		f.Fatal(err)
	}
	if secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		f.Fatal(err)
	}
	return resp.StatusCode, string(out)
}

func problemsOf(t testing.TB, body string) []glovebox.Problem {
	t.Helper()
	var envelope api.ErrorBody
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return envelope.Error.Problems
}

// gitRepo makes a repository with one commit on main.
func gitRepo(t testing.TB) (dir, commit string) {
	t.Helper()
	dir = t.TempDir()
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"commit", "-q", "--allow-empty", "-m", "one"}} {
		gitIn(t, dir, args...)
	}
	return dir, gitIn(t, dir, "rev-parse", "HEAD")
}

func gitIn(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(dir, args...)
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

func tryGit(dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
	out, err := cmd.CombinedOutput()
	return string(out), err
}
