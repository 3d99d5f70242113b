// Package jobfile reads job files: YAML or JSON text in, a glovebox.JobSpec
// out. It owns the published JSON Schema and the positions (line and column) of
// what is wrong. It must not know servers, runtimes or the file system.
//
// The text is hostile: its size, depth, number of values and the expansion of
// aliases are bounded, duplicate keys and further documents are refused.
package jobfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

// MaxSize is the largest job file, in bytes.
const MaxSize = 4 << 20

// File is a job file that was read.
type File struct {
	// Spec is what the file says, without defaults and without the checks of JobSpec.Validate.
	Spec glovebox.JobSpec
	at   positions
}

// Parse reads a job file. A fault of the text is a *glovebox.ValidationError whose
// problems have lines and columns.
func Parse(data []byte) (*File, error) {
	if len(data) > MaxSize {
		return nil, problem("", position{}, fmt.Sprintf("the job file is larger than %s", glovebox.Size(MaxSize)))
	}
	if !utf8.Valid(data) {
		return nil, problem("", position{}, "the job file is not UTF-8 text")
	}
	node, err := loadNode(data)
	if err != nil {
		return nil, err
	}
	tree := &builder{at: positions{}}
	value := tree.build(node, reflect.TypeFor[glovebox.JobSpec](), "", 0)
	if len(tree.problems) > 0 {
		return nil, &glovebox.ValidationError{Problems: tree.problems}
	}
	if err := validate(value, tree.at); err != nil {
		return nil, err
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("encode job file: %w", err)
	}
	f := &File{at: tree.at}
	if err := json.Unmarshal(encoded, &f.Spec); err != nil {
		return nil, problem("", position{}, strings.TrimPrefix(err.Error(), "json: "))
	}
	return f, nil
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
func (f *File) Locate(err error) error {
	var invalid *glovebox.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	located := &glovebox.ValidationError{Problems: append([]glovebox.Problem(nil), invalid.Problems...)}
	for i, p := range located.Problems {
		if p.Line == 0 {
			at := f.at.find(p.Path)
			located.Problems[i].Line, located.Problems[i].Column = at.line, at.column
		}
	}
	return located
}

func problem(path string, at position, message string) *glovebox.ValidationError {
	return &glovebox.ValidationError{Problems: []glovebox.Problem{{Path: path, Line: at.line, Column: at.column, Message: message}}}
}
