package cli

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch/local"
)

// showSummary says what a run came to.
func (a *app) showSummary(f *previewFlags, s local.Summary) error {
	if f.asJSON {
		return a.printLine(struct {
			Operation string        `json:"operation"`
			Status    string        `json:"status"`
			Summary   local.Summary `json:"summary"`
		}{"BATCH_SPEC_EXECUTION", map[bool]string{true: "SUCCESS", false: "FAILURE"}[s.OK()], s})
	}
	if !f.quiet {
		a.showTotals(f, s)
	}
	a.showFailures(s)
	if f.why {
		a.showWhy(s)
	}
	if f.showDiff {
		return a.showDiffs(s)
	}
	return nil
}

func (a *app) showTotals(f *previewFlags, s local.Summary) {
	var changed, unchanged, failed, skipped, cached, changesets, files, plus, minus int
	for _, o := range s.Outcomes {
		changesets += len(o.Changesets)
		if o.Cached {
			cached++
		}
		switch {
		case o.Failed():
			failed++
		case o.State == glovebox.StateSkipped:
			skipped++
		case o.Diff == nil:
			unchanged++
		default:
			changed++
			files, plus, minus = files+o.Diff.Files, plus+o.Diff.Insertions, minus+o.Diff.Deletions
		}
	}
	text := fmt.Sprintf("%s: %d changed", counted(len(s.Outcomes), "workspace"), changed)
	for _, c := range []struct {
		n    int
		word string
	}{{unchanged, "unchanged"}, {skipped, "skipped"}, {failed, "failed"}, {len(s.Failures), "unresolved"}} {
		if c.n > 0 {
			text += fmt.Sprintf(", %d %s", c.n, c.word)
		}
	}
	if cached > 0 {
		text += fmt.Sprintf("; %d from the cache", cached)
	}
	fmt.Fprintln(a.err, a.paint(bold, text))
	if changed > 0 {
		fmt.Fprintf(a.err, "%s, +%d -%d, in %s and %s%s\n", counted(files, "file"), plus, minus, counted(changed, "patch"), counted(changesets, "changeset"), where(s.Out))
	}
	if !f.showDiff && changed == 1 {
		for _, o := range s.Outcomes {
			if o.Patch != "" {
				fmt.Fprintf(a.err, "look at it with: git apply --stat %s\n", visible(filepath.Join(s.Out, o.Patch)))
			}
		}
	}
}

// tailLines is how much of a failed workspace's log is shown.
const tailLines = 5

// showFailures says of each workspace that failed which step, why, and its last lines.
func (a *app) showFailures(s local.Summary) {
	for _, fail := range s.Failures {
		fmt.Fprintf(a.err, "%s %s: %s\n", a.paint(red, "unresolved"), visible(fail.Name), visible(fail.Err.Error()))
	}
	if s.Conflicts != "" {
		fmt.Fprintf(a.err, "%s %s\n", a.paint(red, "conflict"), visible(s.Conflicts))
	}
	shown := 0
	for _, o := range s.Outcomes {
		if !o.Failed() || o.State == glovebox.StateCanceled {
			continue
		}
		if shown++; shown > 20 {
			fmt.Fprintf(a.err, "and more; all are in %s\n", visible(filepath.Join(s.Out, "report.json")))
			return
		}
		fmt.Fprintf(a.err, "%s %s: %s\n", a.paint(red, string(o.State)), visible(o.Name()), visible(o.Reason))
		if o.Log == "" {
			continue
		}
		path := filepath.Join(s.Out, filepath.FromSlash(o.Log))
		for _, line := range tail(path, tailLines) {
			_, line, _ = strings.Cut(line, " ") // its time
			fmt.Fprintln(a.err, "    "+visible(line))
		}
		fmt.Fprintf(a.err, "    %s\n", a.paint(dim, "the whole log: "+visible(path)))
	}
}

// tail returns the last lines of a file.
func tail(path string, n int) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 64 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		_, _ = f.Seek(-most, 2)
	}
	var lines []string
	in := bufio.NewScanner(f)
	in.Buffer(nil, most+1)
	for in.Scan() {
		lines = append(lines, in.Text())
	}
	return lines[max(0, len(lines)-n):]
}

// showWhy says of each step that ran why its result was not in the cache.
func (a *app) showWhy(s local.Summary) {
	for _, o := range s.Outcomes {
		for _, step := range o.Steps {
			if step.CacheMiss != "" {
				fmt.Fprintf(a.err, "%s %s: not in the cache: %s\n", visible(o.Name()), visible(step.Key), visible(step.CacheMiss))
			}
		}
	}
}

// showDiffs prints all patches, each under the name of its workspace on a terminal.
func (a *app) showDiffs(s local.Summary) error {
	for _, o := range s.Outcomes {
		if o.Patch == "" {
			continue
		}
		if a.outTerm {
			fmt.Fprintln(a.out, a.paint(bold, "── "+visible(o.Name())+" "+strings.Repeat("─", max(0, 60-len(o.Name())))))
		}
		f, err := os.Open(filepath.Join(s.Out, filepath.FromSlash(o.Patch)))
		if err != nil {
			return fmt.Errorf("read patch: %w", err)
		}
		err = a.printDiff(f)
		f.Close()
		if err != nil {
			return fmt.Errorf("print diff: %w", err)
		}
	}
	return nil
}

// counted is "1 file", "2 files", "3 patches".
func counted(n int, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "ch"):
		noun += "es"
	default:
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// where says in which folder the patches are.
func where(out string) string {
	if out == "" {
		return ""
	}
	return ": " + visible(out)
}
