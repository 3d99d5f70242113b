package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/logs"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// lab is a server with its data folder and its address, and whatever else a test starts, each a
// process of its own.
type lab struct {
	*testing.T
	dir, program, runtime string
	leaseTTL              time.Duration
	// addr is the server's, the same after each start.
	addr   string
	server *process
	client *api.Client
}

const (
	adminToken = "the-admin-token-of-these-tests"
	// shortLease is a lease that tests let run out.
	shortLease = 5 * time.Second
)

// newLab makes a lab for the fake runtime with the test binary, or for gVisor with the real one.
func newLab(t *testing.T, runtime string) *lab {
	t.Helper()
	l := &lab{T: t, dir: t.TempDir(), runtime: runtime, leaseTTL: time.Minute, addr: "127.0.0.1:0"}
	var err error
	if runtime == "gvisor" {
		testenv.Root(t)
		l.program = testenv.Gvisor(t)
	} else if l.program, err = exec.LookPath("glovebox"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.leavesNothing() }) // after all processes have ended
	return l
}

// process is a started glovebox. Its stderr is kept, and shown when the test fails.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	out   lockedBuffer
	log   lockedBuffer
	ended chan struct{}
}

// start starts glovebox with args; env is added to an environment of the lab's own.
func (l *lab) start(env []string, args ...string) *process {
	l.Helper()
	p := &process{t: l.T, cmd: exec.Command(l.program, args...), ended: make(chan struct{})}
	p.cmd.Args[0] = "glovebox"
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + l.dir}, env...)
	p.cmd.Dir = l.dir
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	// A test binary that dies leaves no process behind.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		l.Fatal(err)
	}
	go func() { defer close(p.ended); _ = p.cmd.Wait() }()
	l.Cleanup(func() {
		p.stop()
		if l.Failed() {
			l.Logf("[%s]\n%s%s", strings.Join(args, " "), p.out.String(), p.log.String())
		}
	})
	return p
}

// stop ends the process as its user would who is in a hurry.
func (p *process) stop() {
	for range 2 {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.kill()
	}
}

// kill ends the process by SIGKILL.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// exits wants the process to end by itself with that code, in time.
func (p *process) exits(code int, within time.Duration) {
	p.t.Helper()
	select {
	case <-p.ended:
		if got := p.cmd.ProcessState.ExitCode(); got != code {
			p.t.Fatalf("exit code %d, want %d", got, code)
		}
	case <-time.After(within):
		p.t.Fatalf("did not end within %v", within)
	}
}

var answers = regexp.MustCompile(`"server answers","url":"http://([^"]*)"`)

// serve starts the server, and returns when it answers.
func (l *lab) serve() {
	l.Helper()
	l.server = l.start([]string{"GLOVEBOX_ADMIN_TOKEN=" + adminToken}, "server", "--log-format", "json",
		"--data", filepath.Join(l.dir, "server"), "--listen", l.addr, "--lease-ttl", l.leaseTTL.String())
	var found []string
	l.until("the server answers", func() bool {
		found = answers.FindStringSubmatch(l.server.log.String())
		return found != nil
	})
	l.addr = found[1]
	l.client = l.connect(l.addr)
}

// connect makes an admin's client of the server at addr.
func (l *lab) connect(addr string) *api.Client {
	l.Helper()
	client, err := api.NewClient("http://"+addr, adminToken)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(client.CloseIdle)
	return client
}

// execute starts an executor with one slot that reaches the server at addr.
func (l *lab) execute(name, addr string, args ...string) *process {
	l.Helper()
	token, err := l.client.CreateToken(l.Context(), api.CreateToken{Name: name, Kind: glovebox.TokenExecutor, Executor: name})
	if err != nil {
		l.Fatal(err)
	}
	return l.start([]string{"GLOVEBOX_EXECUTOR_TOKEN=" + token.Secret}, append([]string{"executor", "run", "--log-format", "json", "--name", name,
		"--server", "http://" + addr, "--runtime", l.runtime, "--slots", "1", "--ahead", "0", "--data", filepath.Join(l.dir, name), "--allow-host-image"}, args...)...)
}

// counting is a job that prints n numbered lines, one each pause, and leaves an output behind.
func (l *lab) counting(n int, pause time.Duration) glovebox.JobSpec {
	var script strings.Builder
	if l.runtime == "fake" {
		for i := range n {
			fmt.Fprintf(&script, "echo line %d\nsleep %v\n", i+1, pause)
		}
		script.WriteString("mkdir report\nwrite report/end.txt done\n")
	} else {
		fmt.Fprintf(&script, "i=0; while [ $i -lt %d ]; do i=$((i+1)); echo line $i; sleep %v; done\nmkdir report; echo done > report/end.txt\n", n, pause.Seconds())
	}
	return l.job(script.String())
}

// job is a job of one step with the outputs report/*.
func (l *lab) job(script string) glovebox.JobSpec {
	return glovebox.JobSpec{
		Steps: []glovebox.Step{{Key: "count", Image: "host", Run: script}}, Network: glovebox.NetworkNone,
		Limits: glovebox.Limits{Memory: 256 << 20, Disk: 64 << 20, CPUs: 1}, Outputs: []string{"report/*"},
	}
}

func (l *lab) submit(spec glovebox.JobSpec) string {
	l.Helper()
	job, err := l.client.SubmitJob(l.Context(), spec)
	if err != nil {
		l.Fatal(err)
	}
	return job.ID
}

// until polls until done, for as long as tests are patient.
func (l *lab) until(what string, done func() bool) {
	l.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.Fatalf("not in time: %s", what)
		}
	}
}

// reaches waits until the job's log of that attempt has n lines.
func (l *lab) reaches(id string, attempt, n int) {
	l.Helper()
	l.until(fmt.Sprintf("job %s prints line %d in attempt %d", id, n, attempt), func() bool { return len(l.lines(id, attempt)) >= n })
}

// lines returns what the job's steps printed in one attempt, or nothing when the server can't say.
func (l *lab) lines(id string, attempt int) []string {
	l.Helper()
	in, err := l.client.JobLog(l.Context(), id, api.LogQuery{Attempt: attempt})
	if err != nil {
		return nil
	}
	defer in.Close()
	var lines []string
	for scan := bufio.NewScanner(in); scan.Scan(); {
		record, err := logs.Decode(scan.Bytes())
		if err != nil {
			l.Fatal(err)
		}
		if record.Stream != glovebox.StreamSystem {
			lines = append(lines, record.Text)
		}
	}
	return lines
}

// ends waits until the job is over.
func (l *lab) ends(id string) glovebox.Job {
	l.Helper()
	var job glovebox.Job
	l.until("job "+id+" ends", func() bool {
		got, err := l.client.Job(l.Context(), id)
		if err == nil {
			job = got
		}
		return err == nil && got.State.Final()
	})
	return job
}

// completes waits for the job's end and wants it completed in that attempt, with n lines, each once and in
// order, with its output, and with one accepted result.
func (l *lab) completes(id string, attempt, n int) {
	l.Helper()
	job := l.ends(id)
	if job.State != glovebox.StateCompleted || job.Attempt != attempt {
		l.Errorf("job is %s (%s) after attempt %d, want completed after %d\n%s", job.State, job.Reason, job.Attempt, attempt, timeline(job))
	}
	lines := l.lines(id, attempt)
	for i := range max(n, len(lines)) {
		want, got := fmt.Sprintf("line %d", i+1), "nothing"
		if i < len(lines) {
			got = lines[i]
		}
		if i >= n || got != want {
			l.Errorf("log has %d lines, want %d: at %d is %q, want %q", len(lines), n, i+1, got, want)
			break
		}
	}
	if kinds := count(job, glovebox.EventFinished); kinds != 1 {
		l.Errorf("%d results were accepted\n%s", kinds, timeline(job))
	}
	output, err := l.client.JobOutput(l.Context(), id, "report/end.txt")
	if err != nil {
		l.Errorf("output: %v", err)
		return
	}
	defer output.Close()
	if text, err := io.ReadAll(output); err != nil || string(text) != "done\n" {
		l.Errorf("output is %q, %v", text, err)
	}
}

// count counts a job's events of a kind.
func count(job glovebox.Job, kind string) (n int) {
	for _, e := range job.Timeline {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func timeline(job glovebox.Job) string {
	text, _ := json.MarshalIndent(job.Timeline, "", "  ")
	return string(text)
}

// together runs tests at once, since they mostly wait.
func together(t *testing.T, tests map[string]func(t *testing.T)) {
	var all sync.WaitGroup
	places := make(chan struct{}, 3) // more sandboxes starting at once pass their deadlines on two cores
	for name, test := range tests {
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			t.Run(name, test)
		})
	}
	all.Wait()
}
