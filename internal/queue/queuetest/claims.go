package queuetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/queue"
)

// wantNames claims up to n jobs at once and checks which they are.
func (f *fixture) wantNames(o glovebox.Offer, n int, want ...string) []glovebox.Lease {
	f.Helper()
	o.Max = n
	leases := f.claim(o)
	if got := names(leases); !slices.Equal(got, want) {
		f.Fatalf("claimed %q, want %q", got, want)
	}
	return leases
}

func testPriorities(f *fixture) {
	for i, priority := range []int{0, 5, -5, 5, 0} {
		f.submit("acme", named("%d/%d", priority, i), func(s *glovebox.JobSpec) {
			s.Priority = priority
			s.Labels = map[string]string{"lane": fmt.Sprint(i % 2)} // the order holds across lanes
		})
	}
	o := offer(func(o *glovebox.Offer) { o.Labels = map[string]string{"lane": "0"} })
	f.wantNames(o, 9, "0/0", "0/4", "-5/2")
	o.Labels["lane"] = "1"
	f.wantNames(o, 9, "5/1", "5/3")

	for i, priority := range []int{0, 5, -5, 5, 0} {
		f.submit("acme", named("%d/%d", priority, i), func(s *glovebox.JobSpec) {
			s.Priority = priority
			if i%2 == 0 {
				s.Runtime = "gvisor"
			}
		})
	}
	f.wantNames(offer(), 9, "5/1", "5/3", "0/0", "0/4", "-5/2")
}

// testFairTenants: one tenant's long queue does not delay another's first job.
func testFairTenants(f *fixture) {
	for i := range 6 {
		f.submit("big", named("big %d", i), func(s *glovebox.JobSpec) { s.Priority = 100 })
	}
	f.submit("mid", named("mid 0"))
	f.submit("mid", named("mid 1"))
	f.submit("small", named("small 0"))
	var got []string
	for range 9 { // one at a time, each completed: nobody has a job running when the next is chosen
		lease := f.claimOne()
		got = append(got, lease.Job.Name)
		f.complete(lease.LeaseRef, glovebox.StateCompleted)
	}
	want := []string{"big 0", "mid 0", "small 0", "big 1", "mid 1", "big 2", "big 3", "big 4", "big 5"}
	if !slices.Equal(got, want) {
		f.Errorf("served %q, want %q", got, want)
	}
}

// testFairToRunning: who has fewer jobs running comes first, also within one claim.
func testFairToRunning(f *fixture) {
	for i := range 4 {
		f.submit("big", named("big %d", i))
	}
	f.wantNames(offer(), 2, "big 0", "big 1")
	for i := range 3 {
		f.submit("small", named("small %d", i))
	}
	f.wantNames(offer(), 9, "small 0", "small 1", "big 2", "small 2", "big 3")
}

func testQueuePreference(f *fixture) {
	for _, q := range []string{"a", "b", "c"} {
		f.submit("acme", named("%s", q), func(s *glovebox.JobSpec) { s.Queue = q })
	}
	f.wantNames(offer(func(o *glovebox.Offer) { o.Queues = []string{"none"} }), 9)
	f.wantNames(offer(func(o *glovebox.Offer) { o.Queues = []string{"c", "b"} }), 9, "c", "b")
	f.wantNames(offer(), 9, "a")
}

func testLabels(f *fixture) {
	label := func(pairs ...string) func(*glovebox.JobSpec) {
		return func(s *glovebox.JobSpec) {
			s.Name = strings.Join(pairs, " ")
			s.Labels = map[string]string{}
			for _, p := range pairs {
				k, v, _ := strings.Cut(p, "=")
				s.Labels[k] = v
			}
		}
	}
	f.submit("acme", label("arch=arm64"))
	f.submit("acme", label("arch=amd64", "gpu=1"))
	f.submit("acme", label("it's \"odd\".$[0]=x"))
	has := func(pairs ...string) glovebox.Offer {
		var s glovebox.JobSpec
		label(pairs...)(&s)
		return offer(func(o *glovebox.Offer) { o.Labels = s.Labels })
	}
	f.wantNames(offer(), 9)
	f.wantNames(has("arch=amd64"), 9)
	f.wantNames(has("arch=amd64", "gpu=0"), 9)
	f.wantNames(has("gpu=1", "arch=amd64", "zone=a"), 9, "arch=amd64 gpu=1")
	f.wantNames(has("it's \"odd\".$[0]=x", "arch=arm64"), 9, "arch=arm64", "it's \"odd\".$[0]=x")
}

func testRuntimes(f *fixture) {
	f.submit("acme", named("any"))
	f.submit("acme", named("docker"), func(s *glovebox.JobSpec) { s.Runtime = "docker" })
	f.submit("acme", named("host"), func(s *glovebox.JobSpec) { s.Steps[0].Image = "host" })
	f.wantNames(offer(), 9, "any")
	f.wantNames(offer(func(o *glovebox.Offer) { o.Runtimes = []string{"gvisor", "docker"} }), 9, "docker")
	f.wantNames(offer(func(o *glovebox.Offer) { o.HostImage = true }), 9, "host")
}

// testFree: a job that does not fit lets smaller ones behind it pass.
func testFree(f *fixture) {
	f.submit("acme", named("large"), func(s *glovebox.JobSpec) { s.Limits = glovebox.Limits{CPUs: 8, Memory: 8 << 30, Disk: 8 << 30} })
	f.submit("acme", named("small"), func(s *glovebox.JobSpec) {
		s.Limits = glovebox.Limits{CPUs: 0.5, Memory: 64 << 20, Disk: 64 << 20}
	})
	for _, free := range []glovebox.Limits{{CPUs: 0.4}, {Memory: 63 << 20}, {Disk: 63 << 20}} {
		f.wantNames(offer(func(o *glovebox.Offer) { o.Free = free }), 9)
	}
	f.wantNames(offer(func(o *glovebox.Offer) { o.Free = glovebox.Limits{CPUs: 0.5, Memory: 64 << 20, Disk: 64 << 20} }), 9, "small")
	f.wantNames(offer(), 9, "large")
}

func testLimits(f *fixture) {
	f = newFixture(f.T, f.store, queue.ConcurrencyLimits{
		PerTenant: 2, Tenants: map[string]int{"vip": 3, "none": 0}, PerQueue: 0, Queues: map[string]int{"slow": 1},
	})
	for i := range 4 {
		f.submit("acme", named("acme %d", i))
		f.submit("vip", named("vip %d", i))
	}
	for i := range 2 {
		f.submit("none", named("slow %d", i), func(s *glovebox.JobSpec) { s.Queue = "slow" })
	}
	leases := f.wantNames(offer(), 20, "acme 0", "slow 0", "vip 0", "acme 1", "vip 1", "vip 2")
	f.wantNames(offer(), 20)
	f.complete(leases[0].LeaseRef, glovebox.StateCompleted)
	f.complete(leases[1].LeaseRef, glovebox.StateErrored) // its back-off is no reason to hold the queue
	f.complete(leases[2].LeaseRef, glovebox.StateFailed)
	f.wantNames(offer(), 20, "slow 1", "acme 2", "vip 3")
	f.clock.advance(ttl) // the leases that nobody completed make room when they expire
	f.reap(6)
	f.wantNames(offer(), 1, "slow 0")
}

func testFiles(f *fixture) {
	files := []glovebox.File{{Path: "a.sh", Content: "echo ü", Executable: true}, {Path: "b", Base64: "AAEC"}}
	job := f.submit("acme", func(s *glovebox.JobSpec) { s.Files = files })
	lease := f.claimOne()
	if !slices.Equal(lease.Job.Files, files) {
		f.Errorf("files of the lease: %+v", lease.Job.Files)
	}
	f.complete(lease.LeaseRef, glovebox.StateErrored)
	f.clock.advance(backoff(1))
	if lease = f.claimOne(); !slices.Equal(lease.Job.Files, files) {
		f.Errorf("files of the second lease: %+v", lease.Job.Files)
	}
	got, err := f.q.Get(f.ctx, job.ID)
	if err != nil || !slices.Equal(got.Files, files) {
		f.Errorf("files of the job: %+v, %v", got.Files, err)
	}
	jobs, _, err := f.q.List(f.ctx, queue.Filter{})
	if err != nil || len(jobs) != 1 || jobs[0].Files != nil || jobs[0].Timeline != nil {
		f.Errorf("list: %+v, %v", jobs, err)
	}
}
