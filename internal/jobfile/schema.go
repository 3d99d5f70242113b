package jobfile

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

//go:embed schema.json
var schemaJSON []byte

// Schema returns the JSON Schema of job files (draft 2020-12).
func Schema() []byte { return bytes.Clone(schemaJSON) }

// schema is a schema of schema.json: the few keywords that we use, no others. A
// library for all of JSON Schema costs each process of a sandbox milliseconds, since they
// are this binary executed again; the tests hold this checker to one.
type schema struct {
	Dialect     string             `json:"$schema"`
	ID          string             `json:"$id"`
	Title       string             `json:"title"`
	Description string             `json:"description"`
	Defs        map[string]*schema `json:"$defs"`

	Ref        string             `json:"$ref"`
	Types      typeNames          `json:"type"`
	Enum       []string           `json:"enum"`
	Required   []string           `json:"required"`
	Properties map[string]*schema `json:"properties"`
	Additional additional         `json:"additionalProperties"`
	Items      *schema            `json:"items"`
	MinItems   int                `json:"minItems"`
	MaxItems   *int               `json:"maxItems"`
	MinLength  int                `json:"minLength"`
	MaxLength  *int               `json:"maxLength"`
	Minimum    *json.Number       `json:"minimum"`
	Maximum    *json.Number       `json:"maximum"`
	Pattern    string             `json:"pattern"`

	// target is what Ref names, shape is Pattern compiled; link sets them.
	target *schema
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
	schema  *schema
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

// loaded reads the embedded schema once.
var loaded = sync.OnceValues(func() (*schema, error) {
	var root schema
	err := decodeStrictly(schemaJSON, &root)
	if err == nil {
		err = root.link(root.Defs)
	}
	if err != nil {
		return nil, fmt.Errorf("read job schema: %w", err)
	}
	return &root, nil
})

// link resolves the references of a schema and of those in it, and compiles their patterns.
func (s *schema) link(defs map[string]*schema) (err error) {
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		s.target = defs[name]
	}
	if s.Ref != "" && s.target == nil {
		return fmt.Errorf("$ref %s leads nowhere", s.Ref)
	}
	if s.Pattern != "" {
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
	for _, sub := range []*schema{s.Items, s.Additional.schema} {
		if sub != nil {
			errs = append(errs, sub.link(defs))
		}
	}
	for _, subs := range []map[string]*schema{s.Properties, s.Defs} {
		for _, sub := range subs {
			errs = append(errs, sub.link(defs))
		}
	}
	return errors.Join(errs...)
}

// jsonTypes are the names that "type" may have.
var jsonTypes = []string{"null", "boolean", "number", "integer", "string", "array", "object"}
