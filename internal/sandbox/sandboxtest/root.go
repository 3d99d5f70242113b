package sandboxtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rootTests are the root file system of a step.
func (s *suite) rootTests() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"WritableAndPrivate": s.rootPrivate,
		"TemporaryFolders":   s.temporary,
		"Binds":              s.binds,
		"Network":            s.noNetwork,
		"EtcFiles":           s.etcFiles,
	}
}

func (s *suite) rootPrivate(t *testing.T) {
	b := s.open(t)
	b.run(0, "write", "/opt/mine", "text")
	b.run(0, "write", "/top", "text")
	b.run(3, "cat", "/opt/mine")
	b.run(3, "cat", "/top")
	b.run(0, "write", "/etc/passwd", "changed")
	if got, err := os.ReadFile(filepath.Join(s.rootfs, "etc/passwd")); err != nil || strings.Contains(string(got), "changed") {
		t.Errorf("the image was changed: %q, %v", got, err)
	}
	if _, err := os.Lstat(filepath.Join(s.rootfs, "opt/mine")); err == nil {
		t.Error("the image has a new file")
	}
}

func (s *suite) temporary(t *testing.T) {
	b := s.open(t)
	for _, dir := range []string{"/tmp", "/dev/shm"} {
		b.run(0, "write", dir+"/x", "text")
		b.run(3, "cat", dir+"/x") // each step has its own
		if mode := b.run(0, "stat", dir).stdout; !strings.HasPrefix(mode, "dtrwxrwxrwx") {
			t.Errorf("%s has mode %s", dir, mode)
		}
	}
	for _, device := range []string{"/dev/null", "/dev/zero", "/dev/urandom", "/proc/self/status", "/proc/cpuinfo"} {
		b.run(0, "stat", device)
	}
}

func (s *suite) binds(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "tool"), []byte("bound"), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("one file"), 0o644))
	b := s.open(t, bind(dir, "/opt/tools"), bind(filepath.Join(dir, "file"), "/etc/one"))
	b.says("bound", "cat", "/opt/tools/tool")
	b.says("one file", "cat", "/etc/one")
	for _, path := range []string{"/opt/tools/tool", "/opt/tools/new", "/etc/one"} {
		b.run(3, "write", path, "changed")
	}
	got, err := os.ReadFile(filepath.Join(dir, "tool"))
	if entries, _ := os.ReadDir(dir); string(got) != "bound" || err != nil || len(entries) != 2 {
		t.Errorf("the host's folder was changed: %q, %v, %v", got, err, entries)
	}
}

func (s *suite) noNetwork(t *testing.T) {
	b := s.open(t)
	b.says("lo", "interfaces")
	b.run(0, "loopback")
	// 203.0.113.0/24 is for documentation: were there a way out, nobody would answer.
	if o := b.run(0, "dial", "tcp,203.0.113.10:80", "tcp,[2001:db8::10]:80"); strings.Contains(o.stdout, "open") ||
		strings.Contains(o.stdout, "timeout") {
		t.Errorf("with no network: %s", o.stdout)
	}
}

func (s *suite) etcFiles(t *testing.T) {
	b := s.open(t)
	if o := b.run(0, "cat", "/etc/hosts"); !strings.Contains(o.stdout, "localhost") {
		t.Errorf("/etc/hosts: %q", o.stdout)
	}
	host, err := os.Hostname()
	must(t, err)
	if o := b.run(0, "hostname"); strings.TrimSpace(o.stdout) == host {
		t.Errorf("a step sees the host's name %q", o.stdout)
	}
}
