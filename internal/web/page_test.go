package web

import (
	"fmt"
	"html"
	"io"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
)

// zeroPages are the data of all templates with nothing set.
func zeroPages() map[string]any {
	return map[string]any{"jobs": jobsPage{}, "job": jobPage{}, "diff": diffPage{}, "submit": submitPage{},
		"batchchanges": batchesPage{}, "batchnew": batchNewPage{}, "batchchange": batchPage{}, "batchrun": runPage{}, "batchworkspace": workspacePage{}, "batchpreview": previewPage{},
		"executors": executorsPage{}, "login": loginPage{}, "error": errorPage{}}
}

func TestTemplatesTakeTheZeroPage(t *testing.T) {
	p := newPages(newStatic())
	pages := zeroPages()
	for _, name := range pageNames() {
		data, found := pages[name]
		if !found {
			t.Errorf("no page struct for %s", name)
			continue
		}
		if err := p.render(httptest.NewRecorder(), 200, name, data); err != nil {
			t.Error(err)
		}
	}
	if err := p.renderPart(httptest.NewRecorder(), 200, "job", "summary", jobPage{}); err != nil {
		t.Error(err)
	}
}

// hostile is text that would act if it were not made safe: markup that leaves
// every kind of context, and characters that reorder.
const hostile = `"'></textarea></title><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}javascript:alert(1)` + "\u202e\x1b\r"

// fill sets every string that can be reached from v to hostile text, numbers to 7, and makes slices, maps and pointers non-empty.
func fill(v reflect.Value, depth int) {
	if depth > 12 {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(hostile)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Float64:
		v.SetFloat(7)
	case reflect.Uint8:
		v.SetUint(7)
	case reflect.Interface:
		if v.NumMethod() == 0 {
			v.Set(reflect.ValueOf(hostile))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), depth+1)
			}
		}
	}
}

// tags are the tags that the templates themselves write.
var tag = regexp.MustCompile(`<([a-zA-Z!/][^>\s]*)`)

func TestNothingBecomesMarkup(t *testing.T) {
	p := newPages(newStatic())
	for name, zero := range zeroPages() {
		full := reflect.New(reflect.TypeOf(zero)).Elem()
		fill(full, 0)
		parts := []string{"layout"}
		if name == "job" || name == "batchworkspace" {
			parts = append(parts, "summary")
		}
		for _, part := range parts {
			t.Run(name+" "+part, func(t *testing.T) {
				w := httptest.NewRecorder()
				if err := p.renderPart(w, 200, name, part, full.Interface()); err != nil {
					t.Fatal(err)
				}
				body := w.Body.String()
				for _, bad := range []string{"<script>", "<img src=x", "\u202e", "\x1b", "\r", "href=\"javascript", "alert(1)</"} {
					if strings.Contains(body, bad) {
						t.Errorf("the page holds %q: %.300s", bad, body[strings.Index(body, bad):])
					}
				}
				for _, m := range tag.FindAllStringSubmatch(body, -1) {
					if strings.HasPrefix(m[1], "script") || strings.HasPrefix(m[1], "/script") {
						continue
					}
					if strings.ContainsAny(m[1], `"'`) {
						t.Errorf("odd tag %q", m[0])
					}
				}
				if n := strings.Count(body, "<script"); n != strings.Count(body, `<script type="module" src="/static/`) {
					t.Errorf("%d scripts, not all of them ours", n)
				}
			})
		}
	}
}

func TestFullPageShowsTheFields(t *testing.T) {
	p := newPages(newStatic())
	var page jobPage
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	page.Job = glovebox.Job{ID: "j1", JobSpec: glovebox.JobSpec{Name: "nightly", Repo: &glovebox.Repo{Name: "local/app", Rev: "main", Commit: "0123456789abcdef"}}, Reason: "out of memory", CreatedAt: at}
	page.Steps = []stepView{{Key: "vet", Title: "vet", Step: &glovebox.Step{Run: "go vet ./..."}, State: glovebox.StateFailed,
		Result: &glovebox.StepResult{ExitCode: 137, Reason: "out of memory", Usage: glovebox.Usage{CPUSeconds: 1.5, PeakMemory: 3 << 20, WallSeconds: 2}},
		Lines:  []Line{{N: 12, Time: at, Stream: "stderr", Spans: []Span{{Text: "boom", Class: "f1"}}}}}}
	w := httptest.NewRecorder()
	if err := p.render(w, 200, "job", page); err != nil {
		t.Fatal(err)
	}
	body := html.UnescapeString(w.Body.String())
	for _, want := range []string{"nightly", "local/app@main", "0123456789ab", "out of memory", "exit 137", "1.50 s CPU", "3.0 MiB", `id="step-vet-L12"`, `<span class="f1">boom</span>`, "go vet ./..."} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

func TestReadDiff(t *testing.T) {
	text := "diff --git a/a.go b/a.go\nindex 1..2 100644\n--- a/a.go\n+++ b/a.go\n@@ -3,2 +3,2 @@ func x()\n-old\n+new <b>\n same\n" +
		"diff --git a/bad b/bad\nindex 1..2 100644\n--- a/bad\n+++ b/bad\n@@ -1,9 +1 @@\n-x\n" +
		"diff --git a/lies b/lies\nindex 1..2 100644\n--- a/lies\n+++ b/lies\n@@ -1,9 +1,9 @@\n-x\n@@ -70 +70 @@\n-y\n+z\n" +
		"diff --git a/bin b/bin\nindex 1..2 100644\nBinary files a/bin and b/bin differ\n" +
		"diff --git a/old name b/new name\nsimilarity index 100%\nrename from old name\nrename to new name\n"
	view, err := readDiff(strings.NewReader(text), "/d")
	if err != nil {
		t.Fatal(err)
	}
	if len(view.Files) != 5 || view.Cut {
		t.Fatalf("got %+v", view)
	}
	a, bad, lies, bin, moved := view.Files[0], view.Files[1], view.Files[2], view.Files[3], view.Files[4]
	if a.Added != 1 || a.Deleted != 1 || !a.Open || a.Hunks[0].Lines[1].New != 3 || a.Hunks[0].Lines[2].Old != 4 {
		t.Errorf("a.go is %+v", a)
	}
	if bad.Note != "not understood" || len(bad.Hunks[0].Lines) != 1 {
		t.Errorf("bad is %+v", bad)
	}
	if lies.Note != "not understood" || len(lies.Hunks) != 2 || lies.Hunks[1].Lines[1].New != 70 {
		t.Errorf("lies is %+v", lies)
	}
	if bin.Note != "binary" || moved.OldName != "old name" || moved.Name != "new name" || moved.Note != "renamed" {
		t.Errorf("binary is %+v, renamed %+v", bin, moved)
	}
}

func TestLargeDiffsAreCut(t *testing.T) {
	r, w := io.Pipe()
	go func() {
		for i := range 2000 {
			fmt.Fprintf(w, "diff --git a/f%d b/f%d\nnew file mode 100644\n--- /dev/null\n+++ b/f%d\n@@ -0,0 +1,40 @@\n%s", i, i, i, strings.Repeat("+"+strings.Repeat("x", 30)+"\n", 40))
		}
		w.Close()
	}()
	view, err := readDiff(r, "/d")
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, f := range view.Files {
		for _, h := range f.Hunks {
			lines += len(h.Lines)
		}
	}
	if !view.Cut || lines > maxDiffLines || len(view.Files) > maxDiffFiles {
		t.Errorf("cut %v, %d lines of %d files", view.Cut, lines, len(view.Files))
	}
}

func FuzzReadDiff(f *testing.F) {
	f.Add("diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1 +1 @@\n-x\n+y\n")
	f.Add("diff --git a/a b/a\nindex 1..2\nGIT binary patch\nliteral 3\nKcmZQzWMT#Y01f~L\n\n")
	p := newPages(newStatic())
	f.Fuzz(func(t *testing.T, text string) {
		view, err := readDiff(strings.NewReader(text), "/d")
		if err != nil {
			t.Fatal(err)
		}
		page := jobPage{Diff: view}
		page.Job.Result = &glovebox.Result{Diff: &glovebox.Diff{}}
		if err := p.render(httptest.NewRecorder(), 200, "job", page); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLocalPath(t *testing.T) {
	for in, want := range map[string]string{"/jobs/1?a=b": "/jobs/1?a=b", "": "/", "//evil": "/", "/\\evil": "/", "https://evil": "/", "javascript:x": "/", "/a\nb": "/", "jobs": "/"} {
		if got := localPath(in); got != want {
			t.Errorf("localPath(%q) = %q, want %q", in, got, want)
		}
	}
}
