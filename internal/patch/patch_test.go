package patch

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// git runs real git in a folder.
func git(t testing.TB, dir string, stdin []byte, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "core.autocrlf=false"}, args...)...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// write makes files; a content that begins with "link:" is a symbolic link's target.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if target, ok := strings.CutPrefix(content, "link:"); ok {
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// diffOf commits before, lays out after and returns git's diff, in the form of internal/workspace.
func diffOf(t testing.TB, before, after map[string]string, more func(dir string)) []byte {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, nil, "init", "-q", "--template=")
	write(t, dir, before)
	git(t, dir, nil, "add", "-A")
	git(t, dir, nil, "commit", "-q", "--allow-empty", "-m", "x")
	for name := range before {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if d := filepath.Dir(filepath.Join(dir, name)); d != dir {
			os.Remove(d)
		}
	}
	write(t, dir, after)
	if more != nil {
		more(dir)
	}
	git(t, dir, nil, "add", "-A")
	return git(t, dir, nil, "diff", "--cached", "-M", "--full-index", "--binary", "--src-prefix=a/", "--dst-prefix=b/", "HEAD")
}

const long = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\n"

func TestSections(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after map[string]string
		more          func(dir string)
		want          []string
	}{
		{name: "nothing"},
		{name: "added, changed, deleted", before: map[string]string{"a": "1\n", "b": long}, after: map[string]string{"a": "2\n", "c": "x"},
			want: []string{"a +1 -1", "b +0 -10 deleted", "c +1 -0 new"}},
		{name: "rename with change", before: map[string]string{"d/a b": long}, after: map[string]string{"e/ä\n": long + "end"},
			want: []string{"e/ä\n +1 -0 from d/a b"}},
		{name: "spaces", before: map[string]string{"x b/x": "1", "x": "2"}, after: map[string]string{"x b/x": "3", "x ": "4", "x": "2"},
			want: []string{"x  +1 -0 new", "x b/x +1 -1"}},
		{name: "empty files", before: map[string]string{"a b": ""}, after: map[string]string{"c\td": "", "e": "x"},
			want: []string{"c\td +0 -0 from a b", "e +1 -0 new"}},
		{name: "quotes and bytes", after: map[string]string{"q\"\\\xff": "1\n", "\x01\x1b[2J": "2\n"},
			want: []string{"\x01\x1b[2J +1 -0 new", "q\"\\\xff +1 -0 new"}},
		{name: "carriage returns and Latin-1", before: map[string]string{"a": "x\r\ny\rdiff --git a/e b/e\r\n\xe9\n"}, after: map[string]string{"a": "x\ny\r\n\xe9\xe8\n"},
			want: []string{"a +3 -3"}},
		{name: "looks like headers", before: map[string]string{"a": "-- a/x\ndiff --git a/x b/x\n@@ -1 +1 @@\n"},
			after: map[string]string{"a": "++ b/x\ndiff --git a/y b/y\nGIT binary patch\nliteral 4\n", "b": "diff --git a/y b/y\nnew file mode 100644\n--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+x"},
			want:  []string{"a +4 -3", "b +6 -0 new"}},
		{name: "binary", before: map[string]string{"a": "\x00" + long, "b": "\x00\x01"}, after: map[string]string{"a": "\x00" + long + "\x00", "c": "\x00\nliteral 4\n"},
			want: []string{"a +0 -0 binary", "b +0 -0 binary deleted", "c +0 -0 binary new"}},
		{name: "modes", before: map[string]string{"a": long, "b": "1"}, after: map[string]string{"a": long, "c": long, "b": "1"},
			more: func(dir string) { os.Chmod(filepath.Join(dir, "b"), 0o755) },
			want: []string{"b +0 -0 100644 to 100755", "c +10 -0 new"}},
		{name: "file to link", before: map[string]string{"a": "1\n"}, after: map[string]string{"a": "link:../x"},
			want: []string{"a +0 -1 deleted", "a +1 -0 new"}},
		{name: "long line", before: map[string]string{"a": "x"}, after: map[string]string{"a": strings.Repeat("diff --git a/", 100_000)},
			want: []string{"a +1 -1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			diff := diffOf(t, c.before, c.after, c.more)
			files, err := Sections(diff)
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, diff)
			}
			var got []string
			for _, f := range files {
				got = append(got, tell(f))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q\n%.2000s", got, c.want, diff)
			}
			checkWhole(t, diff, files)
		})
	}
}

func tell(f File) string {
	s := fmt.Sprintf("%s +%d -%d", f.Name, f.Insertions, f.Deletions)
	for _, word := range []struct {
		is   bool
		text string
	}{{f.Binary, " binary"}, {f.New, " new"}, {f.Deleted, " deleted"}, {f.Copied, " copied"}, {f.OldName != "", " from " + f.OldName},
		{f.OldMode != "" && f.NewMode != "", " " + f.OldMode + " to " + f.NewMode}} {
		if word.is {
			s += word.text
		}
	}
	return s
}

// checkWhole wants the sections to be the diff.
func checkWhole(t testing.TB, diff []byte, files []File) {
	t.Helper()
	var at int64
	for _, f := range files {
		if f.Offset != at || f.Size <= 0 {
			t.Fatalf("section %q lies at %d with %d bytes, want it at %d", f.Name, f.Offset, f.Size, at)
		}
		at += f.Size
	}
	if at != int64(len(diff)) {
		t.Fatalf("the sections have %d bytes, the diff %d", at, len(diff))
	}
}

var nasty = []string{"diff --git a/f b/f", "@@ -1 +1 @@", "--- a/f", "+++ b/f", "\\ No newline at end of file", "GIT binary patch", "literal 12", "", " ", "\r", "x\ry", "\xe9", "-- x", "zzz", "rename from f"}

func randomFile(r *rand.Rand) string {
	switch r.IntN(8) {
	case 0:
		return ""
	case 1:
		return "link:" + strings.Repeat("t", 1+r.IntN(3))
	case 2:
		return "\x00\n" + nasty[r.IntN(len(nasty))]
	}
	var b strings.Builder
	for range 1 + r.IntN(30) {
		b.WriteString(nasty[r.IntN(len(nasty))])
		b.WriteString([]string{"\n", "\n", "\r\n"}[r.IntN(3)])
	}
	if r.IntN(2) == 0 {
		b.WriteString("end")
	}
	return b.String()
}

// TestRandomDiffs holds names and numbers to what git itself says of random changes.
func TestRandomDiffs(t *testing.T) {
	names := []string{"f", "d/f", "d/e/f", "d/with space", "b/f", "a b/a b", "ü/\xff", "tab\t/n\nl", "\"q\"", "-o", "x/diff --git a", "y"}
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 1))
		before, after := map[string]string{}, map[string]string{}
		for _, n := range names {
			if r.IntN(3) > 0 {
				before[n] = randomFile(r)
			}
			switch r.IntN(4) {
			case 0:
				after[n] = randomFile(r)
			case 1:
				if content, ok := before[names[r.IntN(len(names))]]; ok {
					after[n] = content + "more\n"
				}
			case 2:
				if content, ok := before[n]; ok {
					after[n] = content
				}
			}
		}
		diff := diffOf(t, before, after, nil)
		files, err := Sections(diff)
		if err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, diff)
		}
		checkWhole(t, diff, files)
		total, listed, err := Stat(bytes.NewReader(diff))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		var want strings.Builder
		for record := range strings.SplitSeq(string(git(t, dir, diff, "apply", "--numstat", "-z")), "\x00") {
			if record != "" {
				want.WriteString(record + "\n")
			}
		}
		var got strings.Builder
		for _, f := range files {
			numbers := fmt.Sprintf("%d\t%d", f.Insertions, f.Deletions)
			if f.Binary {
				numbers = "-\t-"
			}
			fmt.Fprintf(&got, "%s\t%s\n", numbers, f.Name)
		}
		if got.String() != want.String() {
			t.Errorf("seed %d: got %q, git says %q\n%s", seed, got.String(), want.String(), diff)
		}
		if total.Size != int64(len(diff)) || total.Files != len(listed) {
			t.Errorf("seed %d: total %+v of %d files and %d bytes", seed, total, len(listed), len(diff))
		}
	}
}

func TestStatMergesTypeChange(t *testing.T) {
	diff := diffOf(t, map[string]string{"a": "1\n2\n", "b": "1\n"}, map[string]string{"a": "link:x", "b": "2\n"}, nil)
	total, files, err := Stat(bytes.NewReader(diff))
	if err != nil || total.Files != 2 || total.Insertions != 2 || total.Deletions != 3 || len(files) != 2 || files[0].NewMode != "120000" {
		t.Errorf("got %+v, %+v, %v", total, files, err)
	}
}

func TestMalformed(t *testing.T) {
	head := "diff --git a/x b/x\n"
	for name, diff := range map[string]string{
		"preamble":            "From: x\n" + head,
		"no names":            "diff --git \n",
		"other names":         "diff --git a/x b/y\n",
		"no prefixes":         "diff --git x x\n",
		"names differ":        head + "--- a/y\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n",
		"only one side":       head + "--- a/x\n@@ -1 +1 @@\n-a\n+b\n",
		"deleted but named":   head + "deleted file mode 100644\n--- a/x\n+++ b/x\n@@ -1 +0,0 @@\n-a\n",
		"new and deleted":     head + "new file mode 100644\ndeleted file mode 100644\n",
		"rename without to":   "diff --git a/x b/y\nrename from x\n",
		"short hunk":          head + "--- a/x\n+++ b/x\n@@ -1,2 +1 @@\n-a\n",
		"long hunk":           head + "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n-b\n+c\n",
		"stray line":          head + "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\nx\n",
		"header in hunk":      head + "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n" + head,
		"negative":            head + "--- a/x\n+++ b/x\n@@ --1 +1 @@\n",
		"huge number":         head + "--- a/x\n+++ b/x\n@@ -1,99999999999999999999 +1 @@\n",
		"outside":             "diff --git a/../x b/../x\nnew file mode 100644\n",
		"git directory":       "diff --git a/.GIT/config b/.GIT/config\nnew file mode 100644\n",
		"absolute":            "diff --git a//etc/x b//etc/x\nnew file mode 100644\n",
		"rename to outside":   "diff --git a/x b/x\nrename from x\nrename to ../y\n",
		"bad mode":            head + "new file mode 100644x\n",
		"bad escape":          "diff --git \"a/\\x\" \"b/\\x\"\n",
		"NUL":                 "diff --git \"a/\\000\" \"b/\\000\"\n",
		"binary without data": head + "Binary files a/x and b/x differ\n",
		"text in binary":      head + "GIT binary patch\nliteral 1\nsome text\n",
	} {
		t.Run(name, func(t *testing.T) {
			if files, err := Sections([]byte(diff)); err == nil {
				t.Errorf("got %+v, want an error", files)
			}
		})
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"a/b.go": "a/b.go", "ü x": "ü x", "a\nb": `"a\012b"`, "\x1b[2J": `"\033[2J"`, "\xff\"\\": `"\377\"\\"`, "\u202e": `"\342\200\256"`} {
		if got := Quote(in); got != want {
			t.Errorf("Quote(%q) = %s, want %s", in, got, want)
		}
	}
}

func FuzzSections(f *testing.F) {
	f.Add([]byte("diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1,2 @@ f\n-a\n+b\n\n\\ No newline at end of file\ndiff --git a/y b/z\nsimilarity index 100%\nrename from y\nrename to z\n"))
	f.Add([]byte("diff --git \"a/\\303\\244\" \"b/\\303\\244\"\nnew file mode 100644\nindex 0..1\nGIT binary patch\nliteral 1\nIcmZPo000310RR91\n\nliteral 0\nHcmV?d00001\n\n"))
	f.Fuzz(func(t *testing.T, diff []byte) {
		files, err := Sections(diff)
		total, listed, statErr := Stat(bytes.NewReader(diff))
		if (err == nil) != (statErr == nil) {
			t.Fatalf("Sections: %v, Stat: %v", err, statErr)
		}
		if err != nil {
			return
		}
		checkWhole(t, diff, files)
		if total.Size != int64(len(diff)) || total.Files != len(listed) {
			t.Fatalf("%+v of %d bytes", total, len(diff))
		}
		for _, file := range files {
			part, err := Sections(diff[file.Offset : file.Offset+file.Size])
			if err != nil || len(part) != 1 || part[0].Name != file.Name {
				t.Fatalf("section %q alone: %+v, %v", file.Name, part, err)
			}
		}
	})
}

func BenchmarkStatMillionLines(b *testing.B) {
	diff := []byte("diff --git a/x b/x\nnew file mode 100644\n--- /dev/null\n+++ b/x\n@@ -0,0 +1,1000000 @@\n" + strings.Repeat("+some line of a file\n", 1_000_000))
	b.SetBytes(int64(len(diff)))
	for b.Loop() {
		if total, _, err := Stat(bytes.NewReader(diff)); err != nil || total.Insertions != 1_000_000 {
			b.Fatal(total, err)
		}
	}
}
