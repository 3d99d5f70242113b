package cli

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestInstances(t *testing.T) {
	dir := t.TempDir()
	living, err := newInstance(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer living.remove()
	if _, err := claimInstance(living.dir); !errors.Is(err, errBusy) {
		t.Errorf("claiming a living instance's folder: %v, want errBusy", err)
	}
	dead, err := newInstance(dir)
	if err != nil {
		t.Fatal(err)
	}
	name := dead.name
	if err := dead.release(); err != nil {
		t.Fatal(err)
	}
	left := abandoned(dir)
	if len(left) != 1 || left[0].name != name {
		t.Fatalf("abandoned: %d instances, want the dead one", len(left))
	}
	if err := left[0].remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dead.dir, "lock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead instance's folder is still there: %v", err)
	}
	if _, err := os.Stat(living.dir); err != nil {
		t.Errorf("the living instance's folder: %v", err)
	}
}
