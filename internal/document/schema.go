package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Schema is a JSON Schema (draft 2020-12) of the few keywords that we use, no others. A
// library for all of JSON Schema costs each process of a sandbox milliseconds, since they
// are this binary executed again; the tests hold this checker to one.
type Schema struct {
	Dialect     string             `json:"$schema"`
	ID          string             `json:"$id"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Defs        map[string]*Schema `json:"$defs"`

	Ref        string             `json:"$ref"`
	Types      typeNames          `json:"type"`
	Enum       []string           `json:"enum"`
	Required   []string           `json:"required"`
	Properties map[string]*Schema `json:"properties"`
	Additional additional         `json:"additionalProperties"`
	Items      *Schema            `json:"items"`
	MinItems   int                `json:"minItems"`
	MaxItems   *int               `json:"maxItems"`
	MinLength  int                `json:"minLength"`
	MaxLength  *int               `json:"maxLength"`
	Minimum    *json.Number       `json:"minimum"`
	Maximum    *json.Number       `json:"maximum"`
	Pattern    string             `json:"pattern"`
	// MinKeys and MaxKeys bound the keys of a mapping.
	MinKeys int  `json:"minProperties"`
	MaxKeys *int `json:"maxProperties"`
	// Comment says what Pattern wants, in words: "a size such as 512M or 2G".
	Comment string `json:"$comment"`

	// target is what Ref names, shape is Pattern compiled; link sets them.
	target *Schema
	shape  *regexp.Regexp
}

// typeNames is the value of "type": one name or several.
type typeNames []string

// UnmarshalJSON reads either form.
func (t *typeNames) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = typeNames{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// additional is the value of "additionalProperties": false, or the schema of all others.
type additional struct {
	refused bool
	schema  *Schema
}

// UnmarshalJSON reads either form.
func (a *additional) UnmarshalJSON(b []byte) error {
	if string(b) == "false" {
		a.refused = true
		return nil
	}
	return decodeStrictly(b, &a.schema)
}

// decodeStrictly refuses keywords that schema does not know: a check that is not made must not be promised.
func decodeStrictly(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

// LoadSchema reads a schema.
func LoadSchema(text []byte) (*Schema, error) {
	var root Schema
	err := decodeStrictly(text, &root)
	if err == nil {
		err = root.link(root.Defs)
	}
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return &root, nil
}

// resolved follows references; nil stays nil.
func (s *Schema) resolved() *Schema {
	for s != nil && s.target != nil {
		s = s.target
	}
	return s
}

// field returns the schema of a mapping's field, nil when there is none.
func (s *Schema) field(name string) *Schema {
	if s == nil {
		return nil
	}
	if p, ok := s.Properties[name]; ok {
		return p
	}
	return s.Additional.schema
}

// item returns the schema of a list's items, nil when there is none.
func (s *Schema) item() *Schema {
	if s == nil {
		return nil
	}
	return s.Items
}

// link resolves the references of a schema and of those in it, and compiles their patterns.
func (s *Schema) link(defs map[string]*Schema) (err error) {
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		s.target = defs[name]
	}
	if s.Ref != "" && s.target == nil {
		return fmt.Errorf("$ref %s leads nowhere", s.Ref)
	}
	if s.Pattern != "" {
		if s.Comment == "" {
			return fmt.Errorf("pattern %s has no words for what it wants", s.Pattern)
		}
		if s.shape, err = regexp.Compile(s.Pattern); err != nil {
			return fmt.Errorf("pattern: %w", err)
		}
	}
	for _, name := range s.Types {
		if !slices.Contains(jsonTypes, name) {
			return fmt.Errorf("type %q", name)
		}
	}
	// Words for a refusal come in one order, whatever the schema's.
	slices.SortFunc(s.Types, func(a, b string) int { return slices.Index(jsonTypes, a) - slices.Index(jsonTypes, b) })
	var errs []error
	for _, sub := range []*Schema{s.Items, s.Additional.schema} {
		if sub != nil {
			errs = append(errs, sub.link(defs))
		}
	}
	for _, subs := range []map[string]*Schema{s.Properties, s.Defs} {
		for _, sub := range subs {
			errs = append(errs, sub.link(defs))
		}
	}
	return errors.Join(errs...)
}

// jsonTypes are the names that "type" may have.
var jsonTypes = []string{"null", "boolean", "number", "integer", "string", "array", "object"}
