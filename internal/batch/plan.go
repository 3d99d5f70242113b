package batch

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/template"
)

// PlanOptions are what a plan takes from where the spec is run.
type PlanOptions struct {
	// Env is the outer environment, of which steps get the variables that they name; nil is an empty one.
	Env func(name string) string
	// Mounts reads what steps mount; nil when there is nothing to read from.
	Mounts MountReader
	// StepCache is the jobs' StepCache.
	StepCache string
	// Note is told what was left aside; it may be nil.
	Note func(text string)
}

// Planner makes jobs of workspaces. What is the same for all of them is read once and shared
// by all jobs, which must not be written to.
type Planner struct {
	spec  *Spec
	opts  PlanOptions
	steps []plannedStep
}

// plannedStep is a step as all workspaces have it.
type plannedStep struct {
	glovebox.Step
	condition *template.Text
}

// reserved are the beginnings of names that belong to us and to executors of the original
// format. Some executors have held tokens in them: no step gets them, whatever its spec says.
var reserved = []string{"GLOVEBOX_", "SRC_EXECUTOR_"}

// NewPlanner reads what the spec's steps need from outside.
func NewPlanner(spec *Spec, opts PlanOptions) (*Planner, error) {
	if opts.Env == nil {
		opts.Env = func(string) string { return "" }
	}
	if opts.Note == nil {
		opts.Note = func(string) {}
	}
	p := &Planner{spec: spec, opts: opts}
	mounts := &mountCache{reader: opts.Mounts, files: map[string][]mounted{}}
	var faults []error
	for i, s := range spec.Steps {
		step, err := p.step(s, mounts)
		if err != nil {
			faults = append(faults, fmt.Errorf("steps[%d]: %w", i, err))
			continue
		}
		step.Key = fmt.Sprintf("step-%d", i+1)
		p.steps = append(p.steps, step)
	}
	if err := errors.Join(faults...); err != nil || len(p.steps) == 0 {
		return p, err
	}
	// Files may be large and are the same in each job, so that they are looked at here and only here.
	probe := glovebox.JobSpec{Template: &glovebox.Template{}}
	for _, s := range p.steps {
		probe.Steps = append(probe.Steps, s.Step)
	}
	return p, probe.Validate()
}

// Plan makes the job of one workspace. To plan many, use a Planner.
func Plan(spec *Spec, ws Workspace, opts PlanOptions) (glovebox.JobSpec, error) {
	p, err := NewPlanner(spec, opts)
	if err != nil {
		return glovebox.JobSpec{}, err
	}
	return p.Plan(ws)
}

// step makes what all workspaces share of one step.
func (p *Planner) step(s Step, mounts *mountCache) (plannedStep, error) {
	out := plannedStep{Step: glovebox.Step{
		Run: s.Run, Image: s.Image, Outputs: s.Outputs, Condition: s.If, Timeout: s.Timeout,
		// The format runs scripts without "-e": one with a command that may fail in its middle is as old as the format.
		KeepGoing: true,
	}}
	if out.Image == "" {
		out.Image = s.Container
	}
	if out.Image == "" {
		out.Image = p.spec.Image
	}
	if out.Image == "" {
		return out, errors.New("has no image: want image or container, or an image for all steps")
	}
	var err error
	if out.condition, err = template.Parse(s.If); err != nil {
		return out, fmt.Errorf("if: %w", err)
	}
	out.Env = p.env(s.Env)
	out.Files, err = stepFiles(s, mounts)
	return out, err
}

// env resolves the variables of a step; the last of a name holds.
func (p *Planner) env(vars []Env) map[string]string {
	env := make(map[string]string, len(vars))
	for _, v := range vars {
		if i := slices.IndexFunc(reserved, func(prefix string) bool { return strings.HasPrefix(v.Name, prefix) }); i >= 0 {
			p.opts.Note(fmt.Sprintf("left out the variable %s: names that begin with %s are reserved", clip(v.Name), reserved[i]))
			continue
		}
		if v.FromOutside {
			v.Value = literal(p.opts.Env(v.Name))
		}
		env[v.Name] = v.Value
	}
	if len(env) == 0 {
		return nil
	}
	return env
}

// literal writes a text so that it comes out of a template as it is.
func literal(text string) string { return strings.ReplaceAll(text, "${{", "${{ `${{` }}") }

// stepFiles are a step's files and, as files of the same kind, all that it mounts.
func stepFiles(s Step, mounts *mountCache) ([]glovebox.StepFile, error) {
	var files []glovebox.StepFile
	for _, p := range slices.Sorted(maps.Keys(s.Files)) {
		files = append(files, glovebox.StepFile{Path: p, Content: s.Files[p]})
	}
	for i, m := range s.Mount {
		if !path.IsAbs(m.Mountpoint) || !plain(m.Mountpoint) {
			return nil, fmt.Errorf("mount[%d]: want an absolute mountpoint without control characters, not %q", i, clip(m.Mountpoint))
		}
		found, err := mounts.read(m.Path)
		if err != nil {
			return nil, fmt.Errorf("mount[%d]: %w", i, err)
		}
		for _, f := range found {
			files = append(files, glovebox.StepFile{Path: path.Join(m.Mountpoint, f.path), Base64: f.base64, Executable: f.executable})
		}
	}
	seen := map[string]bool{}
	for _, f := range files {
		clean := path.Clean(f.Path)
		if seen[clean] {
			return nil, fmt.Errorf("two files or mounts lie at %q", clip(f.Path))
		}
		seen[clean] = true
	}
	return files, nil
}

// Plan makes the job of a workspace. Its error is that of JobSpec.Validate.
func (p *Planner) Plan(ws Workspace) (glovebox.JobSpec, error) {
	job := glovebox.JobSpec{
		Name:    jobName(p.spec.Name, ws),
		Runtime: p.spec.Runtime,
		Repo:    &glovebox.Repo{Name: ws.Repo, Rev: ws.Branch, Commit: ws.Commit},
		Limits:  p.spec.Limits,
		Network: p.spec.Network,
		Caches:  p.spec.Cache,
		Template: &glovebox.Template{
			Repository:  glovebox.TemplateRepository{Name: ws.Repo, Branch: ws.Branch, SearchResultPaths: ws.SearchResultPaths},
			BatchChange: glovebox.TemplateBatchChange{Name: p.spec.Name, Description: p.spec.Description},
			Path:        ws.Path,
		},
		StepCache: p.opts.StepCache,
	}
	if ws.Only {
		job.Repo.Only = ws.Path
	}
	if p.spec.Timeout != 0 {
		job.Limits.Timeout = p.spec.Timeout
	}
	for _, s := range p.steps {
		step := s.Step
		step.Dir = ws.Path
		// A step that is known not to run stays, so that the numbers of all others do.
		if text, known := s.condition.Partial(template.Scope{Template: *job.Template}); known && s.Condition != "" && strings.TrimSpace(text) != "true" {
			step.Condition = "false"
		}
		job.Steps = append(job.Steps, step)
	}
	return job, p.validate(job)
}

// validate checks all of a job but the files, which NewPlanner has checked.
func (p *Planner) validate(job glovebox.JobSpec) error {
	job.Steps = slices.Clone(job.Steps)
	for i := range job.Steps {
		job.Steps[i].Files = nil
	}
	return job.Validate()
}

// Idle reports whether it is known beforehand that no step of a planned job will run.
func Idle(job glovebox.JobSpec) bool {
	return !slices.ContainsFunc(job.Steps, func(s glovebox.Step) bool { return s.Condition != "false" })
}

// jobName is "BATCH: REPOSITORY/PATH", cut to what a job's name may have.
func jobName(batch string, ws Workspace) string {
	name := batch + ": " + ws.Name()
	const most = 200
	if len(name) > most {
		name = strings.ToValidUTF8(name[:most-len("…")], "") + "…"
	}
	return name
}
