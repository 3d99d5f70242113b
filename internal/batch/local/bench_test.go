package local

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkCached runs a spec of three steps over 200 clones again and again, all from the cache.
func BenchmarkCached(b *testing.B) {
	r := newRig(b, "base")
	for i := range 200 {
		if out, err := exec.Command("cp", "-r", filepath.Join(r.dir, "repos/base"), filepath.Join(r.dir, fmt.Sprintf("repos/r%03d", i))).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
	const steps = "- run: append a.txt ${{ repository.name }}\n- run: append a.txt three\n- run: write b.txt four"
	r.run(r.options(steps, ""))
	for b.Loop() {
		if s := r.run(r.options(steps, "")); !s.Outcomes[0].Cached {
			b.Fatal("not cached")
		}
		if err := os.RemoveAll(filepath.Join(r.dir, "out")); err != nil {
			b.Fatal(err)
		}
	}
}
