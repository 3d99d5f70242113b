package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"pgregory.net/rapid"
)

// TestCheckAgreesWithLibrary: our checker refuses what a full JSON Schema validator refuses, at
// the same places and for the same reasons, on random documents most of which are nearly right.
func TestCheckAgreesWithLibrary(t *testing.T) {
	for _, name := range schemas {
		t.Run(name, func(t *testing.T) { agrees(t, name) })
	}
}

// schemas are those that documents of ours are held to.
var schemas = []string{"../jobfile/schema.json", "../batch/schema.json"}

func agrees(t *testing.T, name string) {
	library, text := compileWithLibrary(t, name)
	root, err := LoadSchema(text)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]string{}
	collectComments(root, comments)
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		value := drawFor(t, root, 0)
		want := libraryFaults(library, value, comments)
		if len(want) > 0 {
			refused++
		}
		c := &checker{at: positions{}}
		c.check(value, root, "")
		var got []string
		for _, p := range c.problems {
			if strings.HasPrefix(p.Message, "unknown field") {
				p.Message = "unknown field" // without the suggestion, which is ours alone
			}
			got = append(got, p.Path+": "+p.Message)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			text, _ := json.Marshal(value)
			t.Fatalf("library and checker differ (-library +checker):\n%s\n%.1000s", diff, text)
		}
	})
	if refused == 0 {
		t.Error("no document was refused")
	}
}

// TestSchemaIsWhatWeCheck: every keyword of the schema is one that the checker knows, and
// the schema is one by its dialect's rules.
func TestSchemaIsWhatWeCheck(t *testing.T) {
	for _, name := range schemas {
		compileWithLibrary(t, name)
	}
	for text, want := range map[string]string{
		`{"uniqueItems": true}`:                              "uniqueItems",
		`{"properties": {"a": {"format": "uri"}}}`:           "format",
		`{"additionalProperties": {"oneOf": []}}`:            "oneOf",
		`{"items": {"$ref": "#/$defs/none"}}`:                "leads nowhere",
		`{"$ref": "other.json"}`:                             "leads nowhere",
		`{"pattern": "a"}`:                                   "no words",
		`{"type": "text"}`:                                   `type "text"`,
		`{"properties": {"a": {"pattern": "("}}}`:            "pattern",
		`{"additionalProperties": {"properties": {"a": 1}}}`: "cannot unmarshal",
	} {
		var s Schema
		err := decodeStrictly([]byte(text), &s)
		if err == nil {
			err = s.link(s.Defs)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that holds %q", text, err, want)
		}
	}
}

// drawFor draws a value for a schema, now and then one that does not fit.
func drawFor(t *rapid.T, s *Schema, depth int) any {
	if s.target != nil {
		s = s.target
	}
	if rapid.IntRange(0, 24).Draw(t, "odd") == 0 {
		return drawAny(t, depth)
	}
	if len(s.Enum) > 0 {
		return rapid.SampledFrom(s.Enum).Draw(t, "enum")
	}
	switch rapid.SampledFrom(s.Types).Draw(t, "type") {
	case "object":
		m := map[string]any{}
		for _, name := range append(keysOf(s), "", "name", "stepz") {
			sub, known := s.Properties[name]
			switch {
			case known && (slices.Contains(s.Required, name) || rapid.Bool().Draw(t, name)):
				m[name] = drawFor(t, sub, depth+1)
			case !known && s.Additional.schema != nil:
				m[name] = drawFor(t, s.Additional.schema, depth+1)
			case !known && rapid.IntRange(0, 60).Draw(t, "unknown") == 0:
				m[name] = drawAny(t, depth+1)
			}
		}
		return m
	case "array":
		list := []any{}
		for range rapid.IntRange(0, 2).Draw(t, "length") {
			list = append(list, drawFor(t, s.Items, depth+1))
		}
		if s.MaxItems != nil && rapid.IntRange(0, 30).Draw(t, "long") == 0 {
			list = make([]any, *s.MaxItems+1)
			for i := range list {
				list[i] = map[string]any{"path": "x"}
			}
		}
		return list
	case "boolean":
		return rapid.Bool().Draw(t, "bool")
	case "integer", "number":
		return drawNumber(t)
	}
	return drawText(t)
}

func drawAny(t *rapid.T, depth int) any {
	switch kind := rapid.IntRange(0, 6).Draw(t, "kind"); {
	case kind == 0:
		return nil
	case kind == 1:
		return rapid.Bool().Draw(t, "bool")
	case kind == 2:
		return drawNumber(t)
	case kind == 3 && depth < 4:
		return []any{drawAny(t, depth+1)}
	case kind == 4 && depth < 4:
		return map[string]any{drawText(t): drawAny(t, depth+1)}
	}
	return drawText(t)
}

func drawNumber(t *rapid.T) json.Number {
	return json.Number(rapid.SampledFrom([]string{"0", "1", "-1", "-0", "0.5", "-0.25", "1e+06", "100", "100.5", "101", "-100", "-101", "1.5e+300", "-1e-300",
		"9223372036854775807", "18446744073709551615"}).Draw(t, "number"))
}

func drawText(t *rapid.T) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "2G", "512 M", " 1.5GiB ", "1h30m", "90s", "1.m", "0.5µs", "10", "much", "-1", "public", "success", strings.Repeat("é", 64), strings.Repeat("é", 65), strings.Repeat("x", 257)}),
		rapid.StringN(0, 12, 64),
	).Draw(t, "text")
}

func keysOf(s *Schema) []string {
	var names []string
	for name := range s.Properties {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func compileWithLibrary(t *testing.T, name string) (*jsonschema.Schema, []byte) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled, text
}

// collectComments maps patterns to what they want in words.
func collectComments(s *Schema, into map[string]string) {
	if s == nil {
		return
	}
	if s.Pattern != "" {
		into[s.Pattern] = s.Comment
	}
	for _, sub := range s.Properties {
		collectComments(sub, into)
	}
	for _, sub := range s.Defs {
		collectComments(sub, into)
	}
	collectComments(s.Items, into)
	collectComments(s.Additional.schema, into)
}

// libraryFaults lists what the library refuses, in our words.
func libraryFaults(s *jsonschema.Schema, value any, comments map[string]string) []string {
	var invalid *jsonschema.ValidationError
	if !errors.As(s.Validate(value), &invalid) {
		return nil
	}
	var faults []string
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) > 0 {
			return
		}
		path, in := "", value
		for _, part := range e.InstanceLocation {
			if list, ok := in.([]any); ok {
				i, _ := strconv.Atoi(part)
				path, in = path+"["+part+"]", list[i]
				continue
			}
			m, _ := in.(map[string]any)
			path, in = join(path, part), m[part]
		}
		if extra, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
			for _, name := range extra.Properties {
				faults = append(faults, join(path, name)+": unknown field")
			}
			return
		}
		faults = append(faults, path+": "+libraryWords(e.ErrorKind, comments))
	}
	walk(invalid)
	slices.Sort(faults)
	return faults
}

func libraryWords(k jsonschema.ErrorKind, comments map[string]string) string {
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
		return fmt.Sprintf("is %q, want %s", clip(k.Got), comments[k.Want])
	case *kind.MinProperties:
		return fmt.Sprintf("has %d keys, want at least %d", k.Got, k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("has %d keys, want at most %d", k.Got, k.Want)
	}
	return fmt.Sprintf("unknown kind of error %T", k)
}
