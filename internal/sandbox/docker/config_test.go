package docker

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/view"
)

var update = flag.Bool("update", false, "write the goldens")

func examplePlan() plan {
	l := glovebox.DefaultLimits()
	l.CPUs = 8
	return plan{
		spec: sandbox.Spec{ID: "job-1", Instance: "host-a", Workspace: "/jobs/1/work", Scratch: "/jobs/1/scratch", State: "/jobs/1/state", Limits: l, Network: glovebox.NetworkNone},
		step: sandbox.Step{
			Key: "build", Argv: []string{"sh", "-e", "-c", "go build ./..."}, Env: []string{"PATH=/bin", "A=b c"}, Dir: "/work/sub",
			Image: &image.Image{Ref: "host", Rootfs: "/images/host/rootfs", Binds: []image.Bind{{Source: "/usr", Target: "/usr"}}},
		},
		name: "gbx-job-1-1", skeleton: "glovebox/skeleton:abc", merged: "/jobs/1/scratch/root-1/merged", etc: "/jobs/1/scratch/root-1/etc",
		entries: []entry{{name: "bin", kind: 'l', link: "usr/bin"}, {name: "etc", kind: 'd'}, {name: "init.sh", kind: 'f'}, {name: "tmp", kind: 'd'}, {name: "usr", kind: 'd'}},
		init:    "/usr/bin/docker-init", cpus: 4, writable: true, parent: "/glovebox-docker/0/job-1-1",
	}
}

// TestConfig holds what the engine is asked for to goldens: read their diffs with care.
func TestConfig(t *testing.T) {
	public := examplePlan()
	public.network, public.writable, public.parent = "gbx0123456789ab", false, ""
	files := examplePlan()
	files.shown = []view.Bind{{Source: "/caches/1/mnt/folder", Target: "/root/.npm"}, {Source: "/jobs/1/scratch/root-1/files/0", Target: "/etc/hosts", ReadOnly: true},
		{Source: "/jobs/1/scratch/root-1/files/1", Target: "/work/config.json", ReadOnly: true}, {Source: "/jobs/1/scratch/root-1/files/2", Target: "/init.sh", ReadOnly: true}}
	for name, p := range map[string]plan{"none": examplePlan(), "public": public, "files": files} {
		t.Run(name, func(t *testing.T) {
			o := p.config()
			b, err := json.MarshalIndent(map[string]any{"Name": o.Name, "Config": o.Config, "HostConfig": o.HostConfig}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got, path := string(b)+"\n", filepath.Join("testdata", "container-"+name+".json")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("the container differs from its golden (go test -update writes it):\n%s", d)
			}
		})
	}
}

// TestMountsAreOursAlone: whatever the image is, its socket and the host's folders stay out.
func TestMountsAreOursAlone(t *testing.T) {
	p := examplePlan()
	for _, m := range p.mounts() {
		inside := strings.HasPrefix(m.Source, p.merged+"/") || strings.HasPrefix(m.Source, p.etc+"/") || m.Source == p.spec.Workspace || m.Source == p.init || m.Source == "/usr"
		if !inside || m.BindOptions == nil || !m.BindOptions.NonRecursive {
			t.Errorf("mount %+v", m)
		}
		if (m.Source == "/usr" || m.Source == p.init) != m.ReadOnly {
			t.Errorf("%s is read-only: %t", m.Target, m.ReadOnly)
		}
	}
}

func TestTopEntries(t *testing.T) {
	tree := t.TempDir()
	for _, d := range []string{"etc", "proc", "work", "dev", "a,b:c", "bad\xff"} {
		if err := os.Mkdir(filepath.Join(tree, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"bin": "usr/bin", "evil": "/etc/shadow", initName: "/etc"} {
		if err := os.Symlink(to, filepath.Join(tree, link)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := topEntries(tree)
	if err != nil {
		t.Fatal(err)
	}
	want := []entry{{name: "a,b:c", kind: 'd'}, {name: "bin", kind: 'l', link: "usr/bin"}, {name: "etc", kind: 'd'}, {name: "evil", kind: 'l', link: "/etc/shadow"}}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); d != "" {
		t.Error(d)
	}
	p := examplePlan()
	p.entries, p.step.Image.Binds = got, nil
	for _, m := range p.mounts() {
		if m.Target == "/evil" || m.Target == "/bin" {
			t.Errorf("the link at the image's top is mounted from the host: %+v", m)
		}
	}
	a, err := skeletonTar(got)
	b, err2 := skeletonTar(want)
	if err != nil || err2 != nil || string(a) != string(b) {
		t.Errorf("skeletons of equal trees differ (%v, %v)", err, err2)
	}
	for i := range maxTop {
		if err := os.Mkdir(filepath.Join(tree, "d"+strings.Repeat("x", i)), 0o755); err != nil {
			if i > 200 {
				break // names have an end
			}
			t.Fatal(err)
		}
	}
	if _, err := topEntries(tree); err == nil {
		t.Error("an image with hundreds of entries at its top was taken")
	}
}
