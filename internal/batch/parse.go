package batch

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/document"
	"github.com/glovebox-dev/glovebox/internal/template"
)

//go:embed schema.json
var schemaJSON []byte

// Schema returns the JSON Schema of batch specs (draft 2020-12).
func Schema() []byte { return bytes.Clone(schemaJSON) }

var format = sync.OnceValues(func() (*document.Format, error) {
	schema, err := document.LoadSchema(schemaJSON)
	return &document.Format{Noun: "batch spec", Smallest: "name: my-batch-change", Schema: schema, Merge: true}, err
})

// ParseOptions say what a spec is checked against.
type ParseOptions struct {
	// Dir is the folder that mounts and repositoriesFrom are relative to: they must be there.
	// When it is empty, nothing is looked for.
	Dir string
}

// Parse reads a batch spec, YAML or JSON. What is wrong is a *glovebox.ValidationError with
// lines and columns; warnings are what is allowed and yet hardly meant.
func Parse(data []byte, opts ParseOptions) (spec *Spec, warnings []glovebox.Problem, err error) {
	f, err := format()
	if err != nil {
		return nil, nil, err
	}
	doc, err := f.Load(data)
	if err != nil {
		return nil, nil, err
	}
	r := &reader{doc: doc, dir: opts.Dir, spec: &Spec{}, templates: map[string]*template.Text{}}
	if err := r.read(); err != nil {
		return nil, nil, err
	}
	if opts.Dir != "" {
		root, err := os.OpenRoot(opts.Dir)
		if err != nil {
			return nil, nil, fmt.Errorf("open the batch spec's folder: %w", err)
		}
		defer root.Close() //nolint:errcheck // only read
		r.root = root
	}
	r.check()
	return r.spec, r.warnings, document.Sorted(r.problems)
}

// reader reads one spec and collects what is wrong with it.
type reader struct {
	doc      *document.Document
	dir      string
	root     *os.Root // nil when mounts are not looked for
	spec     *Spec
	problems []glovebox.Problem
	warnings []glovebox.Problem

	// templates are the parsed ones by text, size is that of all templates, aliases expanded.
	templates map[string]*template.Text
	size      int

	// Where in the text things stand that have several forms there.
	env   [][]string // by step and variable
	cache []string
	rules []string // of published
}

func (r *reader) at(path, format string, args ...any) glovebox.Problem {
	line, column := r.doc.Position(path)
	return glovebox.Problem{Path: path, Line: line, Column: column, Message: fmt.Sprintf(format, args...)}
}

func (r *reader) fail(path, format string, args ...any) {
	r.problems = append(r.problems, r.at(path, format, args...))
}

func (r *reader) warn(path, format string, args ...any) {
	r.warnings = append(r.warnings, r.at(path, format, args...))
}

// read holds the document to the schema, brings what has several forms into one, and fills the spec.
func (r *reader) read() error {
	m, ok := r.doc.Value.(map[string]any)
	if ok {
		if n, _ := m["version"].(json.Number); n == "3" {
			r.fail("version", "version 3 is not supported: changesetHooks, codingAgent and buildImage have no meaning here; write version: 2 and leave them out")
			return document.Sorted(r.problems)
		}
		r.refuseNewer(m)
	}
	var invalid *glovebox.ValidationError
	if err := r.doc.Check(); errors.As(err, &invalid) {
		return document.Sorted(append(r.problems, invalid.Problems...))
	} else if err != nil {
		return err
	}
	if err := document.Sorted(r.problems); err != nil {
		return err
	}
	r.canonical(m)
	if err := r.doc.Decode(r.spec); err != nil {
		return err
	}
	if r.spec.Version == 0 {
		r.spec.Version = 1
	}
	return nil
}

// refuseNewer reports fields of version 3, with better words than the schema has for them.
func (r *reader) refuseNewer(m map[string]any) {
	refuse := func(m map[string]any, path string, names ...string) {
		for _, name := range names {
			if _, ok := m[name]; ok {
				r.fail(document.Join(path, name), "is of version 3 of the format, which is not supported")
				delete(m, name)
			}
		}
	}
	refuse(m, "", "changesetHooks")
	steps, _ := m["steps"].([]any)
	for i, s := range steps {
		if step, ok := s.(map[string]any); ok {
			refuse(step, fmt.Sprintf("steps[%d]", i), "codingAgent", "buildImage")
		}
	}
}
