package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// TestCrashFake and TestCrashGvisor kill and stop processes in the middle of jobs.
func TestCrashFake(t *testing.T) {
	t.Parallel()
	crashes(t, "fake")
}

func TestCrashGvisor(t *testing.T) {
	newLab(t, "gvisor")
	crashes(t, "gvisor")
	together(t, map[string]func(t *testing.T){
		"interrupted run": interruptedRun,
		"killed run":      killedRun,
		"full disk":       fullDisk,
	})
}

func crashes(t *testing.T, runtime string) {
	with := func(test func(*lab)) func(*testing.T) {
		return func(t *testing.T) { test(newLab(t, runtime)) }
	}
	together(t, map[string]func(*testing.T){
		"server killed while job goes on": with(killedServer),
		"server killed while job ends":    with(killedServerAtEnd),
		"executor killed":                 with(killedExecutor),
		"drained":                         with(drained),
		"stopped":                         with(stopped),
		"stopped while server is away":    with(stoppedAlone),
		"canceled":                        with(canceled),
		"server stopped in good order":    with(stoppedServer),
		"canceled while server is away":   with(canceledLate),
	})
}

// killedServer: a job outlives its server's death.
func killedServer(l *lab) {
	l.serve()
	executor := l.execute("one", l.addr)
	id := l.submit(l.counting(60, 50*time.Millisecond))
	l.reaches(id, 1, 5)
	l.server.kill()
	time.Sleep(time.Second) // the outage
	l.serve()
	l.completes(id, 1, 60)
	executor.signal(syscall.SIGTERM)
	executor.exits(0, patience)
	l.leavesNothing()
	l.hasNoJobFolders("one")
}

// killedServerAtEnd: a job ends while its server is away, for longer than a lease.
func killedServerAtEnd(l *lab) {
	l.leaseTTL = shortLease
	l.serve()
	l.execute("one", l.addr)
	id := l.submit(l.counting(10, 50*time.Millisecond))
	l.reaches(id, 1, 3)
	l.server.kill()
	time.Sleep(shortLease + 500*time.Millisecond) // the outage
	l.serve()
	l.completes(id, 1, 10)
}

// stoppedServer: a server that is ended in good order while a job runs, an executor waits for jobs and a
// user follows is gone at once, and its successor goes on.
func stoppedServer(l *lab) {
	l.serve()
	l.execute("one", l.addr)
	id := l.submit(l.counting(40, 50*time.Millisecond))
	l.execute("two", l.addr)
	follower := l.start([]string{"GLOVEBOX_SERVER=http://" + l.addr, "GLOVEBOX_TOKEN=" + adminToken}, "job", "logs", "-f", id)
	l.until("the follower follows", func() bool { return strings.Contains(follower.out.String(), "line 3\n") })
	l.server.signal(syscall.SIGTERM)
	l.server.exits(0, 10*time.Second)
	l.serve()
	l.completes(id, 1, 40)
}

// killedExecutor: the job of a killed executor is requeued, and its successor clears up.
func killedExecutor(l *lab) {
	l.leaseTTL = shortLease
	l.serve()
	first := l.execute("one", l.addr)
	spec := l.counting(20, 50*time.Millisecond)
	if l.runtime != "fake" {
		spec.Network = glovebox.NetworkPublic
	}
	id := l.submit(spec)
	l.reaches(id, 1, 3)
	var instances []string
	if l.runtime != "fake" {
		instances = l.instances()
		if instances[0] != l.instance("one") {
			l.Errorf("instance %q, want %q", instances[0], l.instance("one"))
		}
	}
	first.kill()
	if l.runtime != "fake" && len(l.traces(instances...)) < 4 {
		l.Errorf("want processes, mounts, a loop device, cgroups and a network of the killed executor, found %q", l.traces(instances...))
	}
	second := l.execute("one", l.addr)
	l.until("the successor clears up", func() bool { return strings.Contains(second.log.String(), "removed what an earlier process left") })
	l.leavesNothing(instances...)
	l.completes(id, 2, 20)
	job := l.ends(id)
	if count(job, glovebox.EventLeaseExpired) != 1 || count(job, glovebox.EventRequeued) != 1 {
		l.Errorf("the timeline does not say that the lease ran out\n%s", timeline(job))
	}
	second.signal(syscall.SIGTERM)
	second.exits(0, patience)
	l.leavesNothing(instances...)
	l.hasNoJobFolders("one")
}

// drained: after SIGTERM the running job finishes, the next stays queued and the executor ends with 0.
func drained(l *lab) {
	l.serve()
	executor := l.execute("one", l.addr)
	running := l.submit(l.counting(20, 50*time.Millisecond))
	l.reaches(running, 1, 3)
	waiting := l.submit(l.counting(1, 0))
	executor.signal(syscall.SIGTERM)
	executor.exits(0, patience)
	l.completes(running, 1, 20)
	if job, err := l.client.Job(l.Context(), waiting); err != nil || job.State != glovebox.StateQueued || job.Attempt != 0 {
		l.Errorf("the waiting job is %s, attempt %d, %v", job.State, job.Attempt, err)
	}
	l.leavesNothing()
	l.hasNoJobFolders("one")
}

// stopped: a second SIGTERM stops the job, which another executor runs.
func stopped(l *lab) {
	l.serve()
	executor := l.execute("one", l.addr)
	id := l.submit(l.counting(30, 50*time.Millisecond))
	l.reaches(id, 1, 3)
	executor.signal(syscall.SIGTERM)
	l.until("it drains", func() bool { return strings.Contains(executor.log.String(), "draining") })
	executor.signal(syscall.SIGTERM)
	executor.exits(0, 15*time.Second)
	l.leavesNothing()
	l.hasNoJobFolders("one")
	job, err := l.client.Job(l.Context(), id)
	if err != nil || job.State != glovebox.StateQueued || count(job, glovebox.EventRequeued) != 1 {
		l.Errorf("the job was not handed back: %s, %v\n%s", job.State, err, timeline(job))
	}
	l.execute("two", l.addr)
	l.completes(id, 2, 30)
}

// stoppedAlone: an executor whose result nobody takes ends at the second SIGTERM too.
func stoppedAlone(l *lab) {
	l.serve()
	executor := l.execute("one", l.addr)
	id := l.submit(l.counting(5, 50*time.Millisecond))
	l.reaches(id, 1, 2)
	l.server.kill()
	l.until("it tries to deliver", func() bool { return strings.Contains(executor.log.String(), `"msg":"upload outputs/report/end.txt"`) })
	executor.signal(syscall.SIGTERM)
	l.until("it drains", func() bool { return strings.Contains(executor.log.String(), "draining") })
	executor.signal(syscall.SIGTERM)
	executor.exits(0, 15*time.Second)
	l.leavesNothing()
	l.hasNoJobFolders("one")
}

// canceled: a cancel reaches the sandbox at once, and nothing of it is left.
func canceled(l *lab) {
	l.serve()
	l.execute("one", l.addr)
	id := l.submit(l.counting(1000, 50*time.Millisecond))
	l.reaches(id, 1, 3)
	asked := time.Now()
	if _, err := l.client.CancelJob(l.Context(), id, "enough"); err != nil {
		l.Fatal(err)
	}
	if l.runtime != "fake" {
		l.until("its processes are gone", func() bool { return len(l.sandboxes()) == 0 })
		l.Logf("processes gone %v after the cancel", time.Since(asked))
	}
	job := l.ends(id)
	took := time.Since(asked)
	l.Logf("job over %v after the cancel", took)
	if job.State != glovebox.StateCanceled || job.Attempt != 1 || took > 3*time.Second {
		l.Errorf("job is %s after %v\n%s", job.State, took, timeline(job))
	}
	l.leavesNothing()
	l.hasNoJobFolders("one")
}

// canceledLate: a job is canceled right after its server came back, before the executor was heard of.
func canceledLate(l *lab) {
	l.serve()
	l.execute("one", l.addr)
	id := l.submit(l.counting(1000, 50*time.Millisecond))
	l.reaches(id, 1, 3)
	l.server.kill()
	l.serve()
	if _, err := l.client.CancelJob(l.Context(), id, "enough"); err != nil {
		l.Fatal(err)
	}
	if job := l.ends(id); job.State != glovebox.StateCanceled || job.Attempt != 1 {
		l.Errorf("job is %s\n%s", job.State, timeline(job))
	}
	l.leavesNothing()
}

// fullDisk: an executor whose disk others fill claims nothing, and no job is blamed for it.
func fullDisk(t *testing.T) {
	l := newLab(t, "gvisor")
	data := filepath.Join(l.dir, "one")
	if err := os.Mkdir(data, 0o700); err != nil {
		l.Fatal(err)
	}
	if err := unix.Mount("tmpfs", data, "tmpfs", 0, "size=400m"); err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = unix.Unmount(data, unix.MNT_DETACH) })
	l.serve()
	executor := l.execute("one", l.addr)
	running := l.submit(l.counting(60, 50*time.Millisecond))
	l.reaches(running, 1, 5)
	ballast := filepath.Join(data, "ballast")
	filling := exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=1M")
	_ = filling.Run() // until there is no room left
	l.until("the executor notices", func() bool { return strings.Contains(executor.log.String(), "disk is full: no jobs are claimed") })
	job, err := l.client.Job(l.Context(), running)
	if err != nil || job.State != glovebox.StateQueued || !strings.Contains(job.Reason, "disk is full") && !strings.Contains(job.Reason, "no space left") {
		l.Errorf("the job is %s (%s), %v\n%s", job.State, job.Reason, err, timeline(job))
	}
	if err := os.Remove(ballast); err != nil {
		l.Fatal(err)
	}
	l.completes(running, 2, 60)
	executor.signal(syscall.SIGTERM)
	executor.exits(0, patience)
	if err := unix.Unmount(data, 0); err != nil {
		l.Errorf("something still uses the executor's folder: %v", err)
	}
	l.leavesNothing()
}

// interruptedRun: "glovebox run" that is interrupted ends with 130 and leaves nothing.
func interruptedRun(t *testing.T) {
	l := newLab(t, "gvisor")
	run := l.start(nil, "run", "--data", l.dir+"/data", "--network", "public", "--memory", "256M", "--disk", "64M", "--", "sh", "-c", "echo begun; sleep 1000")
	l.until("the step runs", func() bool { return strings.Contains(run.out.String(), "begun") })
	instances := l.instances()
	asked := time.Now()
	run.signal(syscall.SIGINT)
	run.exits(130, 10*time.Second)
	l.Logf("ended %v after the interrupt", time.Since(asked))
	l.leavesNothing(instances...)
	l.holdsNoRun()
}

// killedRun: what a killed "glovebox run" left is removed by the next one.
func killedRun(t *testing.T) {
	l := newLab(t, "gvisor")
	flags := []string{"run", "--data", l.dir + "/data", "--network", "public", "--memory", "256M", "--disk", "64M", "--"}
	killed := l.start(nil, append(flags, "sh", "-c", "echo begun; sleep 1000")...)
	l.until("the step runs", func() bool { return strings.Contains(killed.out.String(), "begun") })
	instances := l.instances()
	killed.kill()
	if len(l.traces(instances...)) == 0 {
		l.Error("the killed run left nothing, so nothing is tested")
	}
	next := l.start(nil, append(flags, "true")...)
	next.exits(0, patience)
	l.leavesNothing(instances...)
	l.holdsNoRun()
}
