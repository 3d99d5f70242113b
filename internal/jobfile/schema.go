package jobfile

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/glovebox-dev/glovebox"
)

//go:embed schema.json
var schemaJSON []byte

// Schema returns the JSON Schema of job files (draft 2020-12).
func Schema() []byte { return bytes.Clone(schemaJSON) }

// compiled compiles the embedded schema once.
var compiled = sync.OnceValues(func() (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaJSON))
	if err != nil {
		return nil, fmt.Errorf("read job schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("job.json", doc); err != nil {
		return nil, fmt.Errorf("add job schema: %w", err)
	}
	return c.Compile("job.json")
})

// validate holds a value to the schema.
func validate(value any, at positions) error {
	schema, err := compiled()
	if err != nil {
		return err
	}
	err = schema.Validate(value)
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	var problems []glovebox.Problem
	collect(invalid, at, &problems)
	slices.SortStableFunc(problems, func(a, b glovebox.Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if len(problems) > maxProblems {
		problems = problems[:maxProblems]
	}
	return &glovebox.ValidationError{Problems: problems}
}

// collect walks the tree of schema errors down to those that say something.
func collect(e *jsonschema.ValidationError, at positions, out *[]glovebox.Problem) {
	for _, cause := range e.Causes {
		collect(cause, at, out)
	}
	if len(e.Causes) > 0 {
		return
	}
	path := instancePath(e.InstanceLocation)
	if extra, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
		known := knownFields(e.InstanceLocation)
		for _, name := range extra.Properties {
			field := join(path, name)
			pos := at.find(field)
			*out = append(*out, glovebox.Problem{Path: field, Line: pos.line, Column: pos.column, Message: "unknown field" + suggest(name, known)})
		}
		return
	}
	pos := at.find(path)
	*out = append(*out, glovebox.Problem{Path: path, Line: pos.line, Column: pos.column, Message: explain(e.ErrorKind)})
}

// explain says in plain words what a keyword of the schema refused.
func explain(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "is " + word(k.Got) + ", want " + wantWords(k.Want)
	case *kind.Required:
		return "lacks " + strings.Join(k.Missing, ", ")
	case *kind.Enum:
		return fmt.Sprintf("is %s, want one of %s", clip(fmt.Sprint(k.Got)), strings.Trim(fmt.Sprint(k.Want), "[]"))
	case *kind.MinItems:
		return fmt.Sprintf("has %d entries, want at least %d", k.Got, k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("has %d entries, want at most %d", k.Got, k.Want)
	case *kind.MinLength:
		return "is empty"
	case *kind.MaxLength:
		return fmt.Sprintf("is %d characters long, want at most %d", k.Got, k.Want)
	case *kind.Minimum:
		return "is less than " + k.Want.RatString()
	case *kind.Maximum:
		return "is more than " + k.Want.RatString()
	case *kind.Pattern:
		if strings.Contains(k.Want, "ns|us") {
			return fmt.Sprintf("is %q, want a time such as 90s, 10m or 1h30m", clip(k.Got))
		}
		return fmt.Sprintf("is %q, want a size such as 512M or 2G", clip(k.Got))
	}
	return "does not fit the schema (glovebox plan --schema prints it)"
}

// word names a JSON type as a reader of YAML would.
func word(t string) string {
	switch t {
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "string":
		return "a text"
	case "null":
		return "empty"
	case "integer":
		return "a whole number"
	}
	return "a " + t
}

func wantWords(types []string) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = word(t)
	}
	return strings.Join(words, " or ")
}

// instancePath writes a location as the rest of the program does: steps[0].run.
func instancePath(location []string) string {
	t, path := reflect.TypeFor[glovebox.JobSpec](), ""
	for _, part := range location {
		t = deref(t)
		if t != nil && t.Kind() == reflect.Slice {
			path += "[" + part + "]"
			t = t.Elem()
			continue
		}
		path = join(path, part)
		t = fieldType(t, part)
	}
	return path
}

// knownFields lists the fields that the mapping at a location may have.
func knownFields(location []string) []string {
	t := reflect.TypeFor[glovebox.JobSpec]()
	for _, part := range location {
		if t = deref(t); t != nil && t.Kind() == reflect.Slice {
			t = t.Elem()
		} else {
			t = fieldType(t, part)
		}
	}
	if t = deref(t); t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

func deref(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// suggest names the known field nearest to a misspelt one.
func suggest(name string, known []string) string {
	if len(name) > 40 || len(known) == 0 {
		return ""
	}
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return "; the fields here are " + strings.Join(known, ", ")
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// editDistance counts the insertions, deletions, replacements and swaps of
// neighbours that lead from a to b.
func editDistance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, d[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
