package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// TestOutageFake and TestOutageGvisor put a bad network, and bad servers, between server and executor.
func TestOutageFake(t *testing.T) {
	t.Parallel()
	outages(t, "fake", nil)
}

func TestOutageGvisor(t *testing.T) {
	newLab(t, "gvisor")
	outages(t, "gvisor", map[string]func(*lab){
		"connections forgotten":    func(l *lab) { held(l, forget) },
		"stale sandbox is stopped": staleSandbox,
	})
}

func outages(t *testing.T, runtime string, more map[string]func(*lab)) {
	tests := map[string]func(*testing.T){}
	for name, test := range map[string]func(*lab){
		"connections paused": func(l *lab) { held(l, resume) },
		"connections reset":  func(l *lab) { held(l, reset) },
		"stale result":       staleResult,
		"bad answers":        badAnswers,
	} {
		tests[name] = func(t *testing.T) { test(newLab(t, runtime)) }
	}
	for name, test := range more {
		tests[name] = func(t *testing.T) { test(newLab(t, runtime)) }
	}
	together(t, tests)
}

// held: the network swallows all packets for a while, shorter than a lease.
func held(l *lab, after afterwards) {
	l.serve()
	network := l.network()
	l.execute("one", network.addr())
	id := l.submit(l.counting(60, 50*time.Millisecond))
	l.reaches(id, 1, 5)
	network.cut()
	time.Sleep(1500 * time.Millisecond) // the outage
	network.heal(after)
	l.completes(id, 1, 60)
	l.leavesNothing()
}

// staleResult: a lease runs out while its executor can't be reached but goes on; what that one
// reports afterwards is refused.
func staleResult(l *lab) {
	l.leaseTTL = shortLease
	l.serve()
	network := l.network()
	stale := l.execute("one", network.addr())
	id := l.submit(l.counting(20, 50*time.Millisecond))
	l.reaches(id, 1, 3)
	network.cut()
	l.execute("two", l.addr)
	l.reaches(id, 2, 3)
	network.heal(resume)
	l.completes(id, 2, 20)
	l.until("the stale executor gives up", func() bool { return strings.Contains(stale.log.String(), `"msg":"job ended"`) })
	l.leavesNothing()
	l.hasNoJobFolders("one")
	l.hasNoJobFolders("two")
	if lines := l.lines(id, 1); len(lines) >= 20 {
		l.Errorf("the stale attempt's log grew to %d lines", len(lines))
	}
}

// staleSandbox: as staleResult, while the job still runs.
func staleSandbox(l *lab) {
	l.leaseTTL = shortLease
	l.serve()
	network := l.network()
	stale := l.execute("one", network.addr())
	id := l.submit(l.counting(300, 50*time.Millisecond))
	l.reaches(id, 1, 3)
	network.cut()
	l.execute("two", l.addr)
	l.reaches(id, 2, 3)
	network.heal(resume)
	l.until("the stale executor gives up", func() bool { return strings.Contains(stale.log.String(), glovebox.ErrLeaseLost.Error()) })
	if job, err := l.client.Job(l.Context(), id); err != nil || job.State != glovebox.StateProcessing {
		l.Errorf("the job is %s, %v", job.State, err)
	}
	l.hasNoJobFolders("one")
	l.completes(id, 2, 300)
	l.leavesNothing()
}

// badAnswers: something between executor and server answers in the server's place, while a job runs and at its end.
func badAnswers(l *lab) {
	l.serve()
	middle := l.middle()
	l.execute("one", middle.addr)
	const lines = 120
	id := l.submit(l.counting(lines, 40*time.Millisecond))
	l.reaches(id, 1, 3)
	page := "<html><title>We will be back soon</title>"
	for _, bad := range []struct {
		status int
		body   string
	}{
		{500, page}, {200, page}, {200, "{}"}, {200, ""}, {401, page}, {403, page}, {404, page}, {409, page}, {416, page}, {422, page}, {302, page}, {503, "null"}, {0, ""},
	} {
		before := middle.requests.Load()
		middle.spoil(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if bad.status == 0 {
				panic(http.ErrAbortHandler)
			}
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(bad.status)
			_, _ = io.WriteString(w, bad.body)
		})
		const long = 150 * time.Millisecond
		time.Sleep(long)
		if n := middle.requests.Load() - before; n > 20 {
			l.Errorf("%d requests in %v while the answer is %d %q", n, long, bad.status, bad.body)
		}
	}
	var uploads, results atomic.Int32
	middle.spoil(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && uploads.Add(1) == 1:
			_, _ = io.WriteString(w, page) // looks like success
		case strings.HasSuffix(r.URL.Path, "/complete"):
			switch results.Add(1) {
			case 1:
				_, _ = io.WriteString(w, page)
			case 2: // taken, but the answer is lost
				middle.next.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			default:
				middle.next.ServeHTTP(w, r)
			}
		default:
			middle.next.ServeHTTP(w, r)
		}
	})
	l.completes(id, 1, lines)
	l.leavesNothing()
	l.hasNoJobFolders("one")
	if u, r := uploads.Load(), results.Load(); u != 2 || r != 3 {
		l.Errorf("%d uploads and %d results were sent, want 2 and 3", u, r)
	}
}
