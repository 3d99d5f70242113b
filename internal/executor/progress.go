package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/template"
	"github.com/glovebox-dev/glovebox/internal/workspace"
)

// progress is what a job's steps came to so far, as templates and the step cache see it.
// Its parts are replaced, never changed in place: a copy is a state to return to.
type progress struct {
	outputs  map[string]any
	changes  glovebox.Changes
	previous template.StepScope
	// truncated is set when the previous step wrote more than is kept for templates.
	truncated bool
	// diff is what the tree holds against the commit; nil for nothing.
	diff *diffFile
	// hidden is the key of the step that left more in the tree than diff says, empty when the diff says all.
	hidden string
}

// diffFile is a diff that can be read again and again.
type diffFile struct {
	glovebox.Diff
	open func() (io.ReadCloser, error)
	// key is set while the diff is in the step cache alone; it can't be opened then.
	key string
}

func fileDiff(d *workspace.Diff) *diffFile {
	if d == nil {
		return nil
	}
	path := d.Path
	return &diffFile{Diff: d.Diff, open: func() (io.ReadCloser, error) { return os.Open(path) }}
}

// scope is what a template sees before a step runs.
func (a *attempt) scope() template.Scope {
	return template.Scope{Template: *a.lease.Job.Template, Previous: &a.progress.previous, Steps: a.progress.changes, Outputs: a.progress.outputs}
}

// resolve renders the texts of a step. It reports false when the step's condition does not hold.
// A template that fails is the job's fault.
func (a *attempt) resolve(ctx context.Context, i int) (s glovebox.Step, run bool, err error) {
	s = a.lease.Job.Steps[i]
	s.Key = stepKey(a.lease.Job.Steps, i)
	if a.lease.Job.Template == nil {
		return s, s.Condition == "" || strings.TrimSpace(s.Condition) == "true", nil
	}
	render := func(what string, text *string) {
		if err != nil {
			return
		}
		var out string
		if out, err = a.render(ctx, *text, a.scope()); err != nil {
			err = &stepFault{fmt.Sprintf("step %s: %s: %v", s.Key, what, err)}
			return
		}
		*text = out
	}
	if s.Condition != "" {
		if render("if", &s.Condition); err != nil || strings.TrimSpace(s.Condition) != "true" {
			return s, false, err
		}
	}
	render("run", &s.Run)
	render("image", &s.Image)
	s.Env = maps.Clone(s.Env)
	for _, name := range slices.Sorted(maps.Keys(s.Env)) {
		value := s.Env[name]
		render("env "+name, &value)
		s.Env[name] = value
	}
	s.Files = slices.Clone(s.Files)
	for j := range s.Files {
		render("file "+s.Files[j].Path, &s.Files[j].Content)
	}
	if err == nil && (s.Image == "" || strings.HasPrefix(s.Image, "-")) {
		err = &stepFault{fmt.Sprintf("step %s: its image came out as %q", s.Key, s.Image)}
	}
	return s, true, err
}

// render renders one text. What was cut off can't be used.
func (a *attempt) render(ctx context.Context, text string, scope template.Scope) (string, error) {
	if !strings.Contains(text, "${{") {
		return text, nil
	}
	t, err := template.Parse(text)
	if err != nil {
		return "", err
	}
	if a.progress.truncated && (t.Uses("previous_step", "stdout") || t.Uses("previous_step", "stderr")) {
		return "", fmt.Errorf("the step before wrote more than %s, which is the most that templates can use", glovebox.Size(maxCapture))
	}
	return t.Render(ctx, scope)
}

// maxOutputs bounds all step outputs of a job, as JSON.
const maxOutputs = 1 << 20

// setOutputs evaluates the step's outputs over what it left. It returns those of the step, and all so far.
func (a *attempt) setOutputs(ctx context.Context, s glovebox.Step, step template.StepScope, truncated bool, changes glovebox.Changes) (set, all map[string]any, err error) {
	all = a.progress.outputs
	if len(s.Outputs) == 0 || a.lease.Job.Template == nil {
		return nil, all, nil
	}
	set, all = map[string]any{}, maps.Clone(all)
	if all == nil {
		all = map[string]any{}
	}
	scope := a.scope()
	scope.Place, scope.Step, scope.Steps = template.PlaceOutput, &step, changes
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		value, err := a.output(ctx, s.Outputs[name], scope, truncated)
		if err != nil {
			return nil, nil, &stepFault{fmt.Sprintf("step %s: output %s: %v", s.Key, name, err)}
		}
		set[name] = value
	}
	maps.Copy(all, set)
	text, err := json.Marshal(all)
	if err != nil {
		return nil, nil, &stepFault{fmt.Sprintf("step %s: outputs: %v", s.Key, err)}
	}
	if len(text) > maxOutputs {
		return nil, nil, &stepFault{fmt.Sprintf("step %s: the outputs of all steps take more than %s", s.Key, glovebox.Size(maxOutputs))}
	}
	return set, all, nil
}

func (a *attempt) output(ctx context.Context, o glovebox.StepOutput, scope template.Scope, truncated bool) (any, error) {
	t, err := template.Parse(o.Value)
	if err != nil {
		return nil, err
	}
	if truncated && (t.Uses("step", "stdout") || t.Uses("step", "stderr")) {
		return nil, fmt.Errorf("the step wrote more than %s, which is the most that an output can use", glovebox.Size(maxCapture))
	}
	text, err := t.Render(ctx, scope)
	if err != nil {
		return nil, err
	}
	return template.ParseOutput(o.Format, text)
}

// watchesTree reports whether what the tree holds must be known after each step: for the step cache, or
// for templates that name changed files.
func (a *attempt) watchesTree() bool {
	if a.cache != nil {
		return true
	}
	if a.lease.Job.Template == nil {
		return false
	}
	for _, s := range a.lease.Job.Steps {
		for _, text := range stepTexts(s) {
			for _, of := range []string{"previous_step", "step", "steps"} {
				if t, err := template.Parse(text); err == nil && t.Uses(of) {
					return true
				}
			}
		}
	}
	return false
}

// stepTexts are the texts of a step that may be templates.
func stepTexts(s glovebox.Step) []string {
	texts := []string{s.Run, s.Image, s.Condition}
	for _, v := range s.Env {
		texts = append(texts, v)
	}
	for _, f := range s.Files {
		texts = append(texts, f.Content)
	}
	for _, o := range s.Outputs {
		texts = append(texts, o.Value)
	}
	return slices.DeleteFunc(texts, func(t string) bool { return !strings.Contains(t, "${{") })
}

// look measures what the step left in the tree.
func (a *attempt) look(ctx context.Context) (diff *diffFile, changes glovebox.Changes, err error) {
	if err := a.sandbox.Sync(ctx); err != nil {
		return nil, changes, fmt.Errorf("sync sandbox: %w", err)
	}
	d, notes, err := a.tree.Diff(ctx, a.deps.MaxDiff)
	if err != nil {
		a.notes(notes)
		return nil, changes, blame(err)
	}
	if d != nil {
		changes = d.Changes
	}
	return fileDiff(d), changes, nil
}

// maxCapture bounds what is kept of each stream of a step for templates.
const maxCapture = 1 << 20

// capture keeps the beginning of what is written to it.
type capture struct {
	next io.Writer
	text []byte
	cut  bool
	// off keeps nothing.
	off bool
}

func (c *capture) Write(p []byte) (int, error) {
	if room := maxCapture - len(c.text); !c.off {
		c.cut = c.cut || room < len(p)
		c.text = append(c.text, p[:min(room, len(p))]...)
	}
	return c.next.Write(p)
}

func (c *capture) String() string { return strings.ToValidUTF8(string(c.text), "\uFFFD") }

// advance makes the state after a step that ended well.
func (a *attempt) advance(ctx context.Context, s glovebox.Step, r *glovebox.StepResult, stdout, stderr *capture) error {
	next := a.progress
	if a.watching {
		diff, changes, err := a.look(ctx)
		if err != nil {
			return err
		}
		next.diff, next.changes = diff, changes
	}
	next.previous = template.StepScope{Changes: next.changes, Stdout: stdout.String(), Stderr: stderr.String()}
	next.truncated = stdout.cut || stderr.cut
	set, all, err := a.setOutputs(ctx, s, next.previous, next.truncated, next.changes)
	if err != nil {
		return err
	}
	r.Outputs, next.outputs = set, all
	a.remember(ctx, s, r, &next)
	a.progress = next
	return nil
}

// isFault reports whether an error is the job's to bear.
func isFault(err error) bool {
	var fault *stepFault
	return errors.As(err, &fault)
}
