package stepcache

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
)

func described(diff string) *glovebox.Diff {
	sum := sha256.Sum256([]byte(diff))
	return &glovebox.Diff{Files: 1, Size: int64(len(diff)), SHA256: hex.EncodeToString(sum[:])}
}

func open(t *testing.T, max int64) *Folder {
	t.Helper()
	f, err := OpenFolder(t.TempDir(), max)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFolderKeepsEntries(t *testing.T) {
	f := open(t, 0)
	key := Inputs{Script: "a"}.Key()
	if _, _, err := f.Get(t.Context(), key); !errors.Is(err, glovebox.ErrNotFound) {
		t.Fatalf("empty: %v", err)
	}
	diff := "diff --git a/x b/x\n\x00\xff\r\n"
	want := Entry{Stdout: "out\n", Outputs: map[string]any{"n": 3, "f": 1.5, "list": []any{1, "x"}, "map": map[string]any{"k": 7}},
		Changes: glovebox.Changes{Modified: []string{"x"}}, Diff: described(diff), Hidden: true, Seconds: 1}
	if err := f.Put(t.Context(), key, want, strings.NewReader(diff)); err != nil {
		t.Fatal(err)
	}
	got, r, err := f.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil || string(text) != diff || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v %q, %v", got, text, err)
	}
}

func TestDamagedEntriesAreMisses(t *testing.T) {
	f := open(t, 0)
	key := Inputs{Script: "a"}.Key()
	diff := strings.Repeat("x", 1000)
	for name, damage := range map[string]func(path string, whole []byte) error{
		"head cut":     func(p string, b []byte) error { return os.WriteFile(p, b[:10], 0o600) },
		"empty":        func(p string, b []byte) error { return os.WriteFile(p, nil, 0o600) },
		"no JSON":      func(p string, b []byte) error { return os.WriteFile(p, []byte("[]]\n"), 0o600) },
		"diff cut":     func(p string, b []byte) error { return os.WriteFile(p, b[:len(b)-1], 0o600) },
		"diff changed": func(p string, b []byte) error { b[len(b)-1]++; return os.WriteFile(p, b, 0o600) },
		"endless head": func(p string, b []byte) error {
			return os.WriteFile(p, bytes.Repeat([]byte{' '}, MaxHead+1), 0o600)
		},
	} {
		if err := f.Put(t.Context(), key, Entry{Diff: described(diff)}, strings.NewReader(diff)); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(f.entryPath(key))
		if err != nil {
			t.Fatal(err)
		}
		if err := damage(f.entryPath(key), whole); err != nil {
			t.Fatal(err)
		}
		_, r, err := f.Get(t.Context(), key)
		if err == nil {
			_, err = io.ReadAll(r)
			r.Close()
		}
		if err == nil {
			t.Errorf("%s: taken for whole", name)
		}
	}
}

func TestPutIsAllOrNothing(t *testing.T) {
	f := open(t, 0)
	key := Inputs{Script: "a"}.Key()
	for name, r := range map[string]io.Reader{
		"short":  strings.NewReader("x"),
		"broken": io.MultiReader(strings.NewReader("xx"), brokenReader{}),
	} {
		if err := f.Put(t.Context(), key, Entry{Diff: described("four")}, r); err == nil {
			t.Errorf("%s: kept", name)
		}
		if left, _ := filepath.Glob(filepath.Join(f.dir, "results", "*", "*")); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
		if left, _ := filepath.Glob(filepath.Join(f.dir, "results", "*", ".*")); len(left) > 0 {
			t.Errorf("%s: left %v", name, left)
		}
	}
	if err := f.Put(t.Context(), "../../etc/passwd", Entry{}, nil); err == nil {
		t.Error("a path was taken for a key")
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestPruneRemovesTheLeastUsed(t *testing.T) {
	f := open(t, 3000)
	diff := strings.Repeat("x", 1200)
	var keys []string
	for i, script := range []string{"a", "b", "c"} {
		key := Inputs{Script: script}.Key()
		keys = append(keys, key)
		if err := f.Put(t.Context(), key, Entry{Diff: described(diff)}, strings.NewReader(diff)); err != nil {
			t.Fatal(err)
		}
		used := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(f.entryPath(key), used, used); err != nil {
			t.Fatal(err)
		}
	}
	if _, r, err := f.Get(t.Context(), keys[0]); err != nil { // now the one used last
		t.Fatal(err)
	} else {
		r.Close()
	}
	if err := f.Prune(); err != nil {
		t.Fatal(err)
	}
	for i, kept := range []bool{true, false, true} {
		if _, _, err := f.Get(t.Context(), keys[i]); (err == nil) != kept {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

func TestKeysAndExplanations(t *testing.T) {
	base := Inputs{Tree: Tree{Commit: "aaaaaaaaaaaa", Diff: "d"}, Script: "s", Image: "alpine:3", Digest: "sha256:1", Dir: "x",
		Env: map[string]string{"A": "1", "B": "2"}, Files: map[string]string{"/f": "1"}, Outputs: "o", Network: "public"}
	for want, change := range map[string]func(*Inputs){
		"the repository is at bbbb, it was at aaaaaaaaaa":               func(in *Inputs) { in.Tree.Commit = "bbbb" },
		"the steps before it left something else":                       func(in *Inputs) { in.Tree.Diff = "" },
		"the workspace's folder changed":                                func(in *Inputs) { in.Tree.Only = "x" },
		"the job's files changed":                                       func(in *Inputs) { in.Tree.Files = "x" },
		"the script changed":                                            func(in *Inputs) { in.Script = "x" },
		"the image is debian, it was alpine:3":                          func(in *Inputs) { in.Image = "debian"; in.Digest = "x" },
		"the image alpine:3 moved from sha256:1 to sha256:2":            func(in *Inputs) { in.Digest = "sha256:2" },
		"the working directory changed":                                 func(in *Inputs) { in.Dir = "" },
		"the network policy is none, it was public":                     func(in *Inputs) { in.Network = "none" },
		"variable A changed, C is new, B is gone":                       func(in *Inputs) { in.Env = map[string]string{"A": "x", "C": "1"} },
		"file /f changed":                                               func(in *Inputs) { in.Files = map[string]string{"/f": "2"} },
		"what its outputs are made from changed":                        func(in *Inputs) { in.Outputs = "" },
		"its result was removed from the cache":                         func(in *Inputs) {},
		"the script changed; the network policy is none, it was public": func(in *Inputs) { in.Network = "none"; in.Script = "x" },
	} {
		now := base
		change(&now)
		if got := now.Explain(base); got != want {
			t.Errorf("explained %q, want %q", got, want)
		}
		if same := now.Key() == base.Key(); same != (want == "its result was removed from the cache") {
			t.Errorf("%s: keys are the same: %v", want, same)
		}
	}
}

func TestHistory(t *testing.T) {
	f := open(t, 0)
	if _, err := f.Last("repo/1"); !errors.Is(err, glovebox.ErrNotFound) {
		t.Fatalf("unknown place: %v", err)
	}
	in := Inputs{Script: "s", Env: map[string]string{"A": "1"}}
	if err := f.Note("repo/1", in); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Last("repo/1"); err != nil || !reflect.DeepEqual(got, in) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzDecode(f *testing.F) {
	var whole bytes.Buffer
	if err := Encode(&whole, Entry{Stdout: "x", Outputs: map[string]any{"a": []any{1}}, Diff: described("diff")}, strings.NewReader("diff")); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes())
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, diff, err := Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		text, err := io.ReadAll(diff)
		if err == nil && e.Diff != nil && int64(len(text)) != e.Diff.Size {
			t.Errorf("diff of %d bytes, described as %d", len(text), e.Diff.Size)
		}
	})
}
