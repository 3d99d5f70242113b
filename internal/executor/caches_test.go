package executor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

// plainCaches keeps folders without a bound and counts who uses them.
type plainCaches struct {
	dir   string
	mu    sync.Mutex
	asked []string
	held  int
	err   error
}

func (c *plainCaches) Acquire(_ context.Context, tenant, name string) (string, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, tenant+"/"+name)
	if c.err != nil && len(c.asked) > 1 {
		return "", nil, c.err
	}
	c.held++
	folder := filepath.Join(c.dir, tenant, name)
	return folder, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.held--
	}, os.MkdirAll(folder, 0o755)
}

// textSink keeps the texts of a log.
type textSink struct{ strings.Builder }

func (s *textSink) Write(rec glovebox.LogRecord) error {
	s.WriteString(rec.Text + "\n")
	return nil
}

func TestCacheFolders(t *testing.T) {
	caches := &plainCaches{dir: t.TempDir()}
	npm := glovebox.CacheFolder{Name: "npm", Path: "/root/.npm"}
	run := func(caches Caches, tenant, script string, folders ...glovebox.CacheFolder) (glovebox.Result, string) {
		var log textSink
		r := newRig(t, &LocalSource{Sink: &log})
		r.deps.Caches = caches
		lease := glovebox.Lease{LeaseRef: glovebox.LeaseRef{JobID: "job", Attempt: 1}}
		lease.Job = glovebox.Job{ID: "job", Tenant: tenant, JobSpec: glovebox.JobSpec{Steps: steps(script), Caches: folders}}
		return Run(t.Context(), r.deps, lease), log.String()
	}
	if r, _ := run(caches, "a", "write /root/.npm/x kept", npm); r.State != glovebox.StateCompleted {
		t.Fatalf("writing: %+v", r)
	}
	if r, log := run(caches, "a", "cat /root/.npm/x", npm); r.State != glovebox.StateCompleted || !strings.Contains(log, "kept") {
		t.Errorf("reading: %+v, %s", r, log)
	}
	if r, _ := run(caches, "b", "cat /root/.npm/x", npm); r.State != glovebox.StateFailed {
		t.Errorf("another tenant's: %+v", r)
	}
	if want := []string{"a/npm", "a/npm", "b/npm"}; !slices.Equal(caches.asked, want) {
		t.Errorf("asked for %v", caches.asked)
	}
	if r, _ := run(nil, "a", "echo no", npm); r.State != glovebox.StateErrored || !strings.Contains(r.Reason, glovebox.ErrUnsupported.Error()) {
		t.Errorf("without cache folders: %+v", r)
	}
	asked := len(caches.asked)
	if r, _ := run(caches, "a", "echo no", glovebox.CacheFolder{Name: "x", Path: "/work/x"}); r.State != glovebox.StateErrored || len(caches.asked) != asked {
		t.Errorf("in the workspace: %+v", r)
	}
	broken := &plainCaches{dir: t.TempDir(), err: errors.New("no loop device")}
	if r, _ := run(broken, "a", "echo no", npm, glovebox.CacheFolder{Name: "go", Path: "/go"}); r.State != glovebox.StateErrored || broken.held != 0 {
		t.Errorf("the second can't be had: %+v, %d held", r, broken.held)
	}
	if caches.held != 0 {
		t.Errorf("%d folders are held", caches.held)
	}
}
