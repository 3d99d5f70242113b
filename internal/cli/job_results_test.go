package cli

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
)

// TestWriteOutputs: names of outputs come from a sandbox by way of a server; none may lead out of the folder.
func TestWriteOutputs(t *testing.T) {
	outside := t.TempDir()
	dir := filepath.Join(t.TempDir(), "results")
	write := func(name, text string, size int64) error {
		return writeOutputs(dir, []glovebox.Output{{Name: name, Size: size}}, func(glovebox.Output) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(text)), nil
		})
	}
	if err := write("a/b/c.txt", "hello", 5); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "a", "b", "c.txt")); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "target"), filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../x", "/etc/x", "a/../../x", "link/x", "file", "", ".", "a"} {
		if err := write(name, "evil", 4); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("outside the folder: %v, %v", entries, err)
	}
	if err := write("short.txt", "abc", 5); err == nil {
		t.Error("a download that was cut short was taken for whole")
	}
}
