package changeset

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
)

// MaxSpec bounds a spec's text.
const MaxSpec = 1 << 20

// checkInput says what is wrong with a run's input, besides its spec. Files and variables have the bounds
// that a job's have.
func checkInput(in glovebox.BatchRunInput) error {
	var problems []glovebox.Problem
	add := func(path, message string) {
		problems = append(problems, glovebox.Problem{Path: path, Message: message})
	}
	if len(in.Spec) > MaxSpec {
		add("spec", fmt.Sprintf("want at most %s", glovebox.Size(MaxSpec)))
	}
	if in.StepCache != "" && in.StepCache != glovebox.StepCacheUse && in.StepCache != glovebox.StepCacheRefresh {
		add("step_cache", fmt.Sprintf("want %q or %q", glovebox.StepCacheUse, glovebox.StepCacheRefresh))
	}
	like := glovebox.JobSpec{Files: in.Files, Steps: []glovebox.Step{{Image: "host", Run: "true", Env: in.Env}}}
	if v, bad := errors.AsType[*glovebox.ValidationError](like.Validate()); bad {
		for _, p := range v.Problems {
			p.Path = strings.TrimPrefix(p.Path, "steps[0].")
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return &glovebox.ValidationError{Problems: problems}
	}
	return nil
}

// parse reads the spec of an input, and remarks on it. What is wrong with it is a *glovebox.ValidationError.
func parse(in glovebox.BatchRunInput) (spec *batch.Spec, remarks []string, err error) {
	spec, warnings, err := batch.Parse([]byte(in.Spec), batch.ParseOptions{})
	if err != nil {
		return nil, nil, err
	}
	for _, w := range warnings {
		remarks = append(remarks, oneLine((&glovebox.ValidationError{Problems: []glovebox.Problem{w}}).Error()))
	}
	return spec, remarks, nil
}

func inputKey(run string) string { return path.Join("batch", "runs", run, "input") }

func (b *Batches) putInput(ctx context.Context, run string, in glovebox.BatchRunInput) error {
	raw, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encode a run's input: %w", err)
	}
	_, err = b.Blobs.Put(ctx, inputKey(run), bytes.NewReader(raw))
	return err
}

func (b *Batches) readInput(ctx context.Context, run string) (glovebox.BatchRunInput, error) {
	var in glovebox.BatchRunInput
	r, _, err := b.Blobs.Open(ctx, inputKey(run), 0)
	if err != nil {
		return in, fmt.Errorf("open a run's input: %w", err)
	}
	defer r.Close()
	if err := json.NewDecoder(r).Decode(&in); err != nil {
		return in, fmt.Errorf("read a run's input: %w", err)
	}
	return in, nil
}

// parsed returns a run's input and spec.
func (b *Batches) parsed(ctx context.Context, run string) (*parsed, error) {
	if p := b.specs.get(run); p != nil {
		return p, nil
	}
	in, err := b.readInput(ctx, run)
	if err != nil {
		return nil, err
	}
	spec, _, err := parse(in)
	if err != nil {
		return nil, err
	}
	p := &parsed{input: in, spec: spec}
	b.specs.put(run, p)
	return p, nil
}

// planner makes jobs of a run's workspaces.
func (p *parsed) planner() (*batch.Planner, error) {
	cache := p.input.StepCache
	if cache == "" {
		cache = glovebox.StepCacheUse
	}
	return batch.NewPlanner(p.spec, batch.PlanOptions{
		Env:       func(name string) string { return p.input.Env[name] },
		Mounts:    runFiles(p.input.Files),
		StepCache: cache,
	})
}

// runFiles are the files that came with a spec.
type runFiles []glovebox.File

// ReadMount implements batch.MountReader.
func (files runFiles) ReadMount(at string) ([]batch.MountFile, error) {
	at = path.Clean(at)
	var found []batch.MountFile
	for _, f := range files {
		name := path.Clean(f.Path)
		rel, beneath := strings.CutPrefix(name, at+"/")
		switch {
		case name == at:
			rel = ""
		case at == ".":
			rel = name
		case !beneath:
			continue
		}
		content, err := contentOf(f)
		if err != nil {
			return nil, err
		}
		found = append(found, batch.MountFile{Path: rel, Executable: f.Executable, Content: content})
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("it did not come with the spec: %w", fs.ErrNotExist)
	}
	return found, nil
}

// read returns one file.
func (files runFiles) read(at string) ([]byte, error) {
	for _, f := range files {
		if path.Clean(f.Path) == path.Clean(at) {
			return contentOf(f)
		}
	}
	return nil, fmt.Errorf("it did not come with the spec: %w", fs.ErrNotExist)
}

func contentOf(f glovebox.File) ([]byte, error) {
	if f.Base64 == "" {
		return []byte(f.Content), nil
	}
	content, err := base64.StdEncoding.DecodeString(f.Base64)
	if err != nil {
		return nil, fmt.Errorf("decode %.100q: %w", f.Path, err)
	}
	return content, nil
}

// readBlob reads a blob of at most max bytes.
func (b *Batches) readBlob(ctx context.Context, key string, max int64) ([]byte, error) {
	r, size, err := b.Blobs.Open(ctx, key, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if size > max {
		return nil, fmt.Errorf("%d bytes, more than %s: %w", size, glovebox.Size(max), glovebox.ErrTooLarge)
	}
	data, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, fmt.Errorf("read blob: %w", err)
	}
	return data, nil
}
