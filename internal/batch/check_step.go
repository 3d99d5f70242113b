package batch

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/document"
	"github.com/glovebox-dev/glovebox/internal/template"
)

const (
	// maxTemplates bounds all the texts of a spec that may be templates, aliases expanded, in bytes.
	maxTemplates = 16 << 20
	// maxProblems is where looking for further mistakes in templates ends.
	maxProblems = 100
)

// checkSteps checks the steps, limits and caches: by the rules of jobs, since that is what they
// become, and their templates.
func (r *reader) checkSteps() {
	s := r.spec
	job := glovebox.JobSpec{Runtime: s.Runtime, Network: s.Network, Limits: s.Limits, Caches: s.Cache, Template: &glovebox.Template{}}
	if s.Timeout != 0 {
		if s.Limits.Timeout != 0 {
			r.fail("timeout", "want only one of timeout and limits.timeout: both bound a workspace's steps together")
		}
		job.Limits.Timeout = s.Timeout
	}
	outputs := []string{}
	for i := range s.Steps {
		job.Steps = append(job.Steps, r.checkStep(i, outputs))
		outputs = append(outputs, slices.Sorted(maps.Keys(s.Steps[i].Outputs))...)
	}
	if len(job.Steps) == 0 {
		job.Steps = []glovebox.Step{{Image: "host", Run: "true"}}
	}
	r.checkTemplate("image", s.Image, template.PlaceStep, nil)
	var invalid *glovebox.ValidationError
	if errors.As(job.Validate(), &invalid) {
		for _, p := range invalid.Problems {
			r.fail(r.place(p.Path), "%s", p.Message)
		}
	}
}

// checkStep checks what is the spec's own in a step, and returns the rest as a job's step.
func (r *reader) checkStep(i int, outputs []string) glovebox.Step {
	s, at := r.spec.Steps[i], fmt.Sprintf("steps[%d]", i)
	step := glovebox.Step{Image: s.Image, Run: s.Run, Condition: s.If, Outputs: s.Outputs, Timeout: s.Timeout, Env: map[string]string{}}
	switch {
	case s.Image != "" && s.Container != "":
		r.warn(at+".container", "is not looked at, since image is set too")
	case s.Container != "":
		step.Image = s.Container
	case s.Image == "":
		step.Image = r.spec.Image
	}
	if step.Image == "" {
		step.Image = "host" // reported once, here
		r.fail(at, "lacks container: the image that the step runs in (or write image, here or for all steps)")
	}
	here := func(field, text string) { r.checkTemplate(at+"."+field, text, template.PlaceStep, outputs) }
	here("run", s.Run)
	here("container", s.Container)
	here("image", s.Image)
	here("if", s.If)
	for j, v := range s.Env {
		if _, twice := step.Env[v.Name]; twice {
			r.warn(r.env[i][j], "%q is set a second time: this one holds", clip(v.Name))
		}
		step.Env[v.Name] = v.Value
		r.checkTemplate(r.env[i][j], v.Value, template.PlaceStep, outputs)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Files)) {
		step.Files = append(step.Files, glovebox.StepFile{Path: path.Clean(name), Content: s.Files[name]})
		r.checkTemplate(document.Join(at+".files", name), s.Files[name], template.PlaceStep, outputs)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		r.checkTemplate(document.Join(at+".outputs", name)+".value", s.Outputs[name].Value, template.PlaceOutput, outputs)
	}
	if t := strings.TrimSpace(s.If); t != "" && t != "true" && t != "false" && !strings.Contains(t, "${{") {
		r.warn(at+".if", "%q is never \"true\": the step is always skipped", clip(t))
	}
	return step
}

// place turns the path of a job's problem into the spec's.
func (r *reader) place(job string) string {
	var i, j int
	if n, _ := fmt.Sscanf(job, "caches[%d]", &i); n == 1 && i < len(r.cache) {
		_, rest, _ := strings.Cut(job, "]")
		if strings.HasSuffix(r.cache[i], "]") {
			return r.cache[i] + rest
		}
		return r.cache[i]
	}
	if job == "limits.timeout" && r.spec.Timeout != 0 {
		return "timeout"
	}
	if n, _ := fmt.Sscanf(job, "steps[%d]", &i); n != 1 || i >= len(r.spec.Steps) {
		return strings.Replace(job, "caches", "cache", 1)
	}
	s, at := r.spec.Steps[i], fmt.Sprintf("steps[%d]", i)
	_, field, _ := strings.Cut(job, "].")
	switch {
	case field == "condition":
		return at + ".if"
	case field == "image" && s.Image == "" && s.Container != "":
		return at + ".container"
	case field == "image" && s.Image == "":
		return "image"
	case strings.HasPrefix(field, "env"):
		for k, v := range s.Env {
			if strings.HasSuffix(field, "."+v.Name) || strings.Contains(field, fmt.Sprintf("[%q]", v.Name)) {
				return r.env[i][k]
			}
		}
	}
	for name := range s.Outputs {
		if rest, ok := strings.CutPrefix(field, fmt.Sprintf("outputs[%q]", name)); ok {
			return document.Join(at+".outputs", name) + rest
		}
	}
	if n, _ := fmt.Sscanf(field, "files[%d]", &j); n == 1 {
		if names := slices.Sorted(maps.Keys(s.Files)); j < len(names) {
			return document.Join(at+".files", names[j])
		}
	}
	return job
}

// checkTemplate checks a text's syntax and names. outputs are those of the steps before, nil when not known.
func (r *reader) checkTemplate(path, text string, place template.Place, outputs []string) {
	before := r.size
	if r.size += len(text); r.size > maxTemplates {
		if before <= maxTemplates {
			r.fail(path, "the texts of the batch spec are larger than %s together", glovebox.Size(maxTemplates))
		}
		return
	}
	if len(r.problems) >= maxProblems {
		return
	}
	err := r.parseTemplate(text, place, outputs)
	var all template.SyntaxErrors
	var one *template.SyntaxError
	if !errors.As(err, &all) && errors.As(err, &one) {
		all = template.SyntaxErrors{one}
	}
	for _, e := range all {
		p := r.at(path, "%s", e.Message)
		p.Line, p.Column = r.doc.PositionIn(path, text, "${{", e.Offset(text))
		r.problems = append(r.problems, p)
	}
}

// parseTemplate parses a text once, however often an alias repeats it.
func (r *reader) parseTemplate(text string, place template.Place, outputs []string) error {
	t := r.templates[text]
	if t == nil {
		var err error
		if t, err = template.Parse(text); err != nil {
			return err
		}
		r.templates[text] = t
	}
	return t.Check(place, outputs)
}

// checkMounts checks what is mounted from beside the spec, and where to.
func (r *reader) checkMounts() {
	for i := range r.spec.Steps {
		s := &r.spec.Steps[i]
		taken := map[string]bool{}
		for name := range s.Files {
			taken[path.Clean(name)] = true
		}
		for j := range s.Mount {
			m, at := &s.Mount[j], fmt.Sprintf("steps[%d].mount[%d]", i, j)
			if !plain(m.Mountpoint) || strings.Contains(m.Mountpoint, ",") || !path.IsAbs(m.Mountpoint) || slices.Contains(strings.Split(m.Mountpoint, "/"), "..") {
				r.fail(at+".mountpoint", "want an absolute path without \"..\", commas and control characters")
			} else if m.Mountpoint = path.Clean(m.Mountpoint); m.Mountpoint == "/" || m.Mountpoint == "/work" {
				r.fail(at+".mountpoint", "want a path other than %s, which is taken", m.Mountpoint)
			} else if taken[m.Mountpoint] {
				r.fail(at+".mountpoint", "something else is at %q already", clip(m.Mountpoint))
			}
			taken[m.Mountpoint] = true
			m.Path = r.checkBeside(at+".path", m.Path)
		}
	}
}

// checkBeside checks a path that must lie in the spec's folder, and returns it relative to that.
func (r *reader) checkBeside(at, name string) string {
	if !plain(name) || strings.Contains(name, ",") {
		r.fail(at, "want a path without commas and control characters")
		return name
	}
	relative := filepath.Clean(name)
	if filepath.IsAbs(relative) && r.dir != "" {
		relative = beneath(r.dir, relative)
	}
	if !filepath.IsLocal(relative) {
		r.fail(at, "%q does not lie in the folder of the batch spec", clip(name))
		return name
	}
	if r.root == nil {
		return filepath.ToSlash(relative)
	}
	info, err := r.root.Stat(relative)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.fail(at, "%q does not exist in the folder of the batch spec", clip(name))
	case err != nil:
		r.fail(at, "%q can't be used: a link leads out of the folder of the batch spec, or it can't be read", clip(name))
	case !info.Mode().IsRegular() && !info.IsDir():
		r.fail(at, "%q is neither a file nor a folder", clip(name))
	}
	return filepath.ToSlash(relative)
}

// beneath returns an absolute path relative to a folder, with the folder's links followed or not; the path itself if it is outside.
func beneath(dir, name string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return name
	}
	dirs := []string{dir}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dirs = append(dirs, real)
	}
	for _, d := range dirs {
		if rel, err := filepath.Rel(d, name); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return name
}
