// Package jobfile reads job files: YAML or JSON text in, a glovebox.JobSpec
// out. It owns the published JSON Schema. It must not know servers, runtimes or the file system.
package jobfile

import (
	"bytes"
	_ "embed"
	"sync"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/document"
)

// MaxSize is the largest job file, in bytes.
const MaxSize = document.MaxSize

//go:embed schema.json
var schemaJSON []byte

// Schema returns the JSON Schema of job files (draft 2020-12).
func Schema() []byte { return bytes.Clone(schemaJSON) }

var format = sync.OnceValues(func() (*document.Format, error) {
	schema, err := document.LoadSchema(schemaJSON)
	return &document.Format{Noun: "job file", Smallest: `steps: [{image: host, run: "true"}]`, Schema: schema}, err
})

// File is a job file that was read.
type File struct {
	// Spec is what the file says, without defaults and without the checks of JobSpec.Validate.
	Spec glovebox.JobSpec
	doc  *document.Document
}

// Parse reads a job file. A fault of the text is a *glovebox.ValidationError whose
// problems have lines and columns.
func Parse(data []byte) (*File, error) {
	f, err := format()
	if err != nil {
		return nil, err
	}
	doc, err := f.Load(data)
	if err != nil {
		return nil, err
	}
	if err := doc.Check(); err != nil {
		return nil, err
	}
	file := &File{doc: doc}
	if err := doc.Decode(&file.Spec); err != nil {
		return nil, err
	}
	return file, nil
}

// Resolve fills the defaults in and checks the whole job. What is wrong is a
// *glovebox.ValidationError with lines and columns.
func (f *File) Resolve() (glovebox.JobSpec, error) {
	spec := f.Spec
	spec.ApplyDefaults()
	return spec, f.Locate(spec.Validate())
}

// Locate adds line and column to the problems of a *glovebox.ValidationError that
// name a path of the file; where the very path is not in the file, its nearest parent's.
func (f *File) Locate(err error) error { return f.doc.Locate(err) }
