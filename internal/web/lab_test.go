package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/blob"
	"github.com/glovebox-dev/glovebox/internal/changeset"
	"github.com/glovebox-dev/glovebox/internal/jobfile"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/queue"
	"github.com/glovebox-dev/glovebox/internal/store"
	"github.com/glovebox-dev/glovebox/internal/web"
)

// lab is the user interface on a real queue, store, log store, batch changes and
// blobs, with the test in the place of the executor, of what resolves runs and of what publishes.
type lab struct {
	t         testing.TB
	server    *httptest.Server
	queue     *queue.Queue
	logs      *logs.Store
	blobs     *blob.Folder
	tokens    *store.Tokens
	executors *store.Executors
	batches   *store.Batches
	changes   *changeset.Batches
	repos     *store.Repos
}

// noMirrors has no repository: in the lab the test says what runs are resolved to.
type noMirrors struct{}

func (noMirrors) Branch(context.Context, glovebox.Repository, string) (ref, commit string, err error) {
	return "", "", glovebox.ErrNotFound
}
func (noMirrors) GitDir(context.Context, glovebox.Repository, string) (string, error) {
	return "", glovebox.ErrNotFound
}

// deps lets a test change what the pages are made from.
type deps = web.Deps

func newLab(t testing.TB, change ...func(*deps)) *lab {
	t.Helper()
	ctx := t.Context()
	db, err := store.Open(ctx, filepath.Join(t.TempDir(), "db.sqlite"), store.Options{})
	check(t, err)
	t.Cleanup(func() { db.Close() })
	blobs, err := blob.OpenFolder(filepath.Join(t.TempDir(), "blobs"))
	check(t, err)
	t.Cleanup(func() { blobs.Close() })
	l := &lab{t: t, blobs: blobs, queue: queue.New(store.NewJobs(db), queue.Options{}), logs: logs.NewStore(blobs),
		tokens: store.NewTokens(db), executors: store.NewExecutors(db)}
	l.batches, l.repos = store.NewBatches(db), store.NewRepos(db)
	l.changes, err = changeset.New(changeset.Options{Store: l.batches, Queue: l.queue, Repositories: l.repos, Mirrors: noMirrors{}, Blobs: blobs})
	check(t, err)
	d := web.Deps{
		Jobs: l.queue, Control: l.queue, Logs: l.logs, Artifacts: blob.Artifacts{Store: blobs},
		Executors: l.executors, Tokens: l.tokens, Version: "test", Batches: l.changes,
		Submit: func(ctx context.Context, user glovebox.Token, spec glovebox.JobSpec) (glovebox.Job, error) {
			return l.queue.Submit(ctx, user.Tenant, "user:"+user.Name, spec)
		},
		Parse: func(data []byte) (glovebox.JobSpec, error) {
			file, err := jobfile.Parse(data)
			if err != nil {
				return glovebox.JobSpec{}, err
			}
			return file.Spec, nil
		},
	}
	for _, c := range change {
		c(&d)
	}
	l.server = httptest.NewServer(web.New(d))
	t.Cleanup(func() {
		l.server.CloseClientConnections()
		l.server.Close()
	})
	return l
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// token makes a user token.
func (l *lab) token(name string, role glovebox.Role, tenant string) glovebox.Token {
	l.t.Helper()
	token, err := l.tokens.Create(l.t.Context(), glovebox.Token{Name: name, Kind: glovebox.TokenUser, Role: role, Tenant: tenant})
	check(l.t, err)
	return token
}

// submit queues a job for a tenant.
func (l *lab) submit(tenant string, spec glovebox.JobSpec) glovebox.Job {
	l.t.Helper()
	job, err := l.queue.Submit(l.t.Context(), tenant, "user:ada", spec)
	check(l.t, err)
	return job
}

// claim takes one job.
func (l *lab) claim() glovebox.Lease {
	l.t.Helper()
	leases, err := l.queue.Claim(l.t.Context(), glovebox.Offer{Executor: "box-1", Runtimes: []string{"gvisor"}, Max: 1, HostImage: true, Wait: glovebox.Duration(5 * time.Second)})
	check(l.t, err)
	if len(leases) != 1 {
		l.t.Fatalf("got %d leases, want 1", len(leases))
	}
	return leases[0]
}

// attempt writes the log of a claimed job.
type attempt struct {
	*lab
	ref glovebox.LeaseRef
	at  time.Time
	end int64
}

func (l *lab) attempt(lease glovebox.Lease) *attempt {
	return &attempt{lab: l, ref: lease.LeaseRef, at: time.Now()}
}

// write appends records; a text with a stream other than stdout begins with its name and a colon.
func (a *attempt) write(records ...glovebox.LogRecord) {
	a.t.Helper()
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	for _, rec := range records {
		if rec.Stream == "" {
			rec.Stream = glovebox.StreamStdout
		}
		a.at = a.at.Add(3 * time.Millisecond)
		rec.Time = a.at
		check(a.t, encoder.Encode(rec))
	}
	end, err := a.logs.Append(a.t.Context(), a.ref.JobID, a.ref.Attempt, a.end, body.Bytes())
	check(a.t, err)
	a.end = end
}

// say writes lines of a step.
func (a *attempt) say(step string, lines ...string) {
	a.t.Helper()
	var records []glovebox.LogRecord
	for _, line := range lines {
		records = append(records, glovebox.LogRecord{Step: step, Text: line})
	}
	a.write(records...)
}

func (a *attempt) put(name, content string) {
	a.t.Helper()
	_, err := a.blobs.Put(a.t.Context(), blob.ArtifactKey(a.ref.JobID, a.ref.Attempt, name), strings.NewReader(content))
	check(a.t, err)
}

func (a *attempt) complete(result glovebox.Result) {
	a.t.Helper()
	_, err := a.queue.Complete(a.t.Context(), a.ref, result)
	check(a.t, err)
}

// browser is an HTTP client with a cookie jar that follows no redirects.
type browser struct {
	t    testing.TB
	base string
	http *http.Client
}

func (l *lab) browser() *browser {
	jar, err := cookiejar.New(nil)
	check(l.t, err)
	return &browser{t: l.t, base: l.server.URL, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// page is an answer with its body.
type page struct {
	*http.Response
	body string
}

func (b *browser) do(req *http.Request) page {
	b.t.Helper()
	resp, err := b.http.Do(req)
	check(b.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	check(b.t, err)
	return page{resp, string(body)}
}

func (b *browser) get(path string) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), "GET", b.base+path, nil)
	check(b.t, err)
	return b.do(req)
}

func (b *browser) post(path string, form url.Values) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), "POST", b.base+path, strings.NewReader(form.Encode()))
	check(b.t, err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.do(req)
}

// login logs in with a token.
func (l *lab) login(token glovebox.Token) *browser {
	l.t.Helper()
	b := l.browser()
	if p := b.post("/login", url.Values{"token": {token.Secret}}); p.StatusCode != http.StatusSeeOther {
		l.t.Fatalf("log in: status %d, want 303\n%s", p.StatusCode, p.body)
	}
	return b
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf reads the form token of a page.
func (b *browser) csrf() string {
	b.t.Helper()
	found := csrfField.FindStringSubmatch(b.get("/").body)
	if found == nil {
		b.t.Fatal("no form token on the page")
	}
	return found[1]
}

// steps makes a job of steps with these keys.
func steps(name string, keys ...string) glovebox.JobSpec {
	spec := glovebox.JobSpec{Name: name}
	for _, key := range keys {
		spec.Steps = append(spec.Steps, glovebox.Step{Key: key, Image: "host", Run: "true"})
	}
	return spec
}
