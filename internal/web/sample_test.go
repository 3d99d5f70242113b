package web_test

import (
	"time"

	"github.com/glovebox-dev/glovebox"
)

const sampleDiff = `diff --git a/cmd/app/main.go b/cmd/app/main.go
index 1111111..2222222 100644
--- a/cmd/app/main.go
+++ b/cmd/app/main.go
@@ -1,6 +1,6 @@ package main
 package main
 
-func show(v interface{}) {
+func show(v any) {
 	println(v)
 }
 
diff --git a/report/summary.md b/report/summary.md
new file mode 100644
index 0000000..3333333
--- /dev/null
+++ b/report/summary.md
@@ -0,0 +1,2 @@
+# Summary
+All good, and this is a rather long line that shows how a file with long lines looks on a narrow screen, where it scrolls by itself
\ No newline at end of file
diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
`

// sampleResult is a result of the steps "build" and "test" with sampleDiff and an output.
func sampleResult() glovebox.Result {
	started := time.Now().Add(-65 * time.Second)
	middle, finished := started.Add(12*time.Second), started.Add(64*time.Second)
	return glovebox.Result{
		State: glovebox.StateCompleted, Runtime: "gvisor", Commit: "0123456789abcdef0123456789abcdef01234567",
		Usage: glovebox.Usage{CPUSeconds: 71.3, PeakMemory: 412 << 20, WallSeconds: 64},
		Steps: []glovebox.StepResult{
			{Key: "build", State: glovebox.StateCompleted, Image: "host", StartedAt: &started, FinishedAt: &middle, Usage: glovebox.Usage{CPUSeconds: 18.2, PeakMemory: 412 << 20, WallSeconds: 12}},
			{Key: "test", State: glovebox.StateCompleted, Image: "host", StartedAt: &middle, FinishedAt: &finished, Usage: glovebox.Usage{CPUSeconds: 53.1, PeakMemory: 96 << 20, WallSeconds: 52}},
		},
		Diff:    &glovebox.Diff{Files: 3, Insertions: 3, Deletions: 1, Size: int64(len(sampleDiff))},
		Outputs: []glovebox.Output{{Name: "report/a.json", Size: 2}},
	}
}
