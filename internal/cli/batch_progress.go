package cli

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch/local"
)

// progress shows how a run goes.
type progress interface {
	event(local.Event)
	close()
}

// batchProgress chooses how: JSON lines, bars on a terminal, plain lines elsewhere.
func (a *app) batchProgress(f *previewFlags) progress {
	plain := &plainProgress{a: a, verbose: f.verbose}
	switch {
	case f.asJSON:
		return &jsonProgress{a: a}
	case f.quiet:
		return quietProgress{}
	case a.errTerm && a.getenv("TERM") != "dumb":
		return &barProgress{plain: plain, bars: map[int]*activeBar{}}
	}
	return plain
}

type quietProgress struct{}

func (quietProgress) event(local.Event) {}
func (quietProgress) close()            {}

// plainProgress prints a line for each workspace that ends.
type plainProgress struct {
	a       *app
	verbose bool
}

func (p *plainProgress) event(e local.Event) {
	for _, line := range p.lines(e) {
		fmt.Fprintln(p.a.err, line)
	}
}

func (p *plainProgress) close() {}

// lines are what an event is worth.
func (p *plainProgress) lines(e local.Event) []string {
	switch {
	case e.Kind == local.EventResolved:
		return []string{counted(e.Total, "workspace")}
	case e.Kind == local.EventNote:
		return []string{"note: " + visible(e.Text)}
	case e.Kind == local.EventOutput && p.verbose && e.Record != nil:
		return []string{fmt.Sprintf("%s %s %s", p.a.paint(dim, visible(e.Name)), visible(e.Step+"|"), visible(e.Record.Text))}
	case e.Kind == local.EventEnded:
		return []string{p.a.outcomeLine(*e.Outcome)}
	}
	return nil
}

// outcomeLine is one line about a workspace that ended.
func (a *app) outcomeLine(o local.Outcome) string {
	name := visible(o.Name())
	word, how := string(o.State), ""
	switch {
	case o.Failed():
		how = ": " + visible(o.Reason)
	case o.State == glovebox.StateSkipped:
		how = ": " + visible(o.Reason)
	case o.Diff == nil:
		how = ": nothing changed"
	default:
		how = fmt.Sprintf(": %s, +%d -%d", counted(o.Diff.Files, "file"), o.Diff.Insertions, o.Diff.Deletions)
	}
	switch {
	case o.Resumed:
		how += " (as before)"
	case o.Cached:
		how += " (cached)"
	}
	if o.Seconds > 0 {
		how += "  " + a.paint(dim, wallTime(o.Seconds))
	}
	return a.paint(stateColor(word), fmt.Sprintf("%-9s", word)) + " " + name + how
}

func wallTime(s float64) string {
	if s < 1 {
		return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
	}
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// barProgress shows a bar for the whole and a line for each workspace that runs; those that ended
// scroll up above them.
type barProgress struct {
	plain    *plainProgress
	progress *mpb.Progress
	total    *mpb.Bar
	bars     map[int]*activeBar
	// failed is read while bars are drawn, when mu may be held.
	failed atomic.Int32
	mu     sync.Mutex
}

// activeBar is the line of one workspace.
type activeBar struct {
	bar  *mpb.Bar
	mu   sync.Mutex
	text string
}

func (b *activeBar) set(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = text
}

// maxBarText keeps a line within narrow terminals.
const maxBarText = 72

func (b *activeBar) show(decor.Statistics) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if utf8.RuneCountInString(b.text) > maxBarText {
		return string([]rune(b.text)[:maxBarText-1]) + "…"
	}
	return b.text
}

func (p *barProgress) event(e local.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e.Kind {
	case local.EventResolved:
		p.progress = mpb.New(mpb.WithOutput(p.plain.a.err), mpb.WithAutoRefresh(), mpb.WithWidth(40), mpb.WithRefreshRate(120*time.Millisecond))
		p.total = p.progress.AddBar(int64(e.Total), mpb.BarPriority(1<<30),
			mpb.PrependDecorators(decor.CountersNoUnit("%d of %d ")), mpb.AppendDecorators(decor.Any(p.ended), decor.Elapsed(decor.ET_STYLE_GO)))
		return
	case local.EventStarted:
		b := &activeBar{text: visible(e.Name)}
		b.bar = p.progress.AddSpinner(1, mpb.BarPriority(e.Workspace), mpb.BarRemoveOnComplete(), mpb.BarWidth(2), mpb.AppendDecorators(decor.Any(b.show)))
		p.bars[e.Workspace] = b
	case local.EventStep:
		if b := p.bars[e.Workspace]; b != nil {
			b.set(visible(e.Name) + "  " + visible(e.Step))
		}
	case local.EventOutput:
		if b := p.bars[e.Workspace]; b != nil && e.Record != nil && e.Record.Stream != glovebox.StreamSystem {
			b.set(visible(e.Name) + "  " + visible(e.Step) + "  " + visible(strings.TrimSpace(e.Record.Text)))
		}
	case local.EventEnded:
		if b := p.bars[e.Workspace]; b != nil {
			b.bar.Abort(true)
			delete(p.bars, e.Workspace)
		}
		if e.Outcome.Failed() {
			p.failed.Add(1)
		}
		p.total.Increment()
	}
	for _, line := range p.plain.lines(e) {
		p.print(line)
	}
}

// print puts a line above the bars.
func (p *barProgress) print(line string) {
	if p.progress == nil {
		fmt.Fprintln(p.plain.a.err, line)
		return
	}
	fmt.Fprintln(p.progress, line)
}

func (p *barProgress) ended(decor.Statistics) string {
	if n := p.failed.Load(); n > 0 {
		return fmt.Sprintf(" %d failed ", n)
	}
	return " "
}

func (p *barProgress) close() {
	if p.progress == nil {
		return
	}
	p.mu.Lock()
	for _, b := range p.bars {
		b.bar.Abort(true)
	}
	p.mu.Unlock()
	p.total.Abort(true)
	p.progress.Wait()
}

// jsonProgress prints events as JSON lines, with the names that the batch format's own tool gives them, and
// repository and path in each.
type jsonProgress struct{ a *app }

// progressLine is one such line. Zero values are left out.
type progressLine struct {
	Operation string           `json:"operation"`
	Timestamp time.Time        `json:"timestamp"`
	Status    string           `json:"status"`
	Metadata  progressMetadata `json:"metadata"`
}

type progressMetadata struct {
	TaskID         string         `json:"taskID,omitempty"`
	Repository     string         `json:"repository,omitempty"`
	Path           string         `json:"path,omitempty"`
	Branch         string         `json:"branch,omitempty"`
	Step           string         `json:"step,omitempty"`
	Stream         string         `json:"stream,omitempty"`
	Out            string         `json:"out,omitempty"`
	Message        string         `json:"message,omitempty"`
	Error          string         `json:"error,omitempty"`
	WorkspaceCount int            `json:"workspaceCount,omitempty"`
	Outcome        *local.Outcome `json:"outcome,omitempty"`
}

func (p *jsonProgress) event(e local.Event) {
	line := progressLine{Timestamp: e.Time.UTC().Truncate(time.Millisecond), Status: "PROGRESS"}
	m := &line.Metadata
	m.Repository, m.Path, m.Branch, m.Step = e.Repo.Repo, e.Repo.Path, e.Repo.Branch, e.Step
	if m.Repository != "" {
		m.TaskID = e.Repo.ID
	}
	switch e.Kind {
	case local.EventResolved:
		line.Operation, line.Status, m.WorkspaceCount = "DETERMINING_WORKSPACES", "SUCCESS", e.Total
	case local.EventNote:
		line.Operation, m.Message = "NOTE", e.Text
	case local.EventStarted:
		line.Operation, line.Status = "EXECUTING_TASK", "STARTED"
	case local.EventStep:
		line.Operation, line.Status = "TASK_STEP", "STARTED"
	case local.EventStepEnded:
		line.Operation, line.Status, m.Message = "TASK_STEP", "SUCCESS", e.Text
		if e.Text != "exit code 0" {
			line.Status, m.Message, m.Error = "FAILURE", "", e.Text
		}
	case local.EventOutput:
		line.Operation, m.Out, m.Stream = "TASK_STEP", e.Record.Text, e.Record.Stream
	case local.EventEnded:
		line.Operation, line.Status, m.Outcome = "EXECUTING_TASK", "SUCCESS", e.Outcome
		if e.Outcome.Failed() {
			line.Status, m.Error = "FAILURE", e.Outcome.Reason
		}
	}
	_ = p.a.printLine(line) // a closed pipe ends the program by its next write to a log
}

func (p *jsonProgress) close() {}
