package jobfile_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/jobfile"
)

type schema struct {
	Ref         string            `json:"$ref"`
	Description string            `json:"description"`
	Type        any               `json:"type"`
	Enum        []any             `json:"enum"`
	Properties  map[string]schema `json:"properties"`
	Additional  any               `json:"additionalProperties"`
	Items       *schema           `json:"items"`
	Defs        map[string]schema `json:"$defs"`
}

// TestSchemaFitsStructs holds the published schema to JobSpec, field by field.
func TestSchemaFitsStructs(t *testing.T) {
	var root schema
	if err := json.Unmarshal(jobfile.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	resolve := func(s schema) schema {
		if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
			return root.Defs[name]
		}
		return s
	}
	var check func(path string, s schema, typ reflect.Type)
	check = func(path string, s schema, typ reflect.Type) {
		s = resolve(s)
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		want := map[reflect.Kind]string{reflect.String: "string", reflect.Int: "integer", reflect.Float64: "number", reflect.Bool: "boolean", reflect.Slice: "array", reflect.Map: "object", reflect.Struct: "object"}[typ.Kind()]
		if want != "" && s.Type != want && len(s.Enum) == 0 {
			t.Errorf("%s: schema type %v, the struct's is %s", path, s.Type, want)
		}
		switch typ.Kind() {
		case reflect.Slice:
			if s.Items == nil {
				t.Errorf("%s: no items", path)
				return
			}
			check(path+"[]", *s.Items, typ.Elem())
		case reflect.Struct:
			var fields []string
			for f := range typ.Fields() {
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				fields = append(fields, name)
				if p, ok := s.Properties[name]; ok {
					check(path+"."+name, p, f.Type)
				}
			}
			slices.Sort(fields)
			if got := slices.Sorted(maps.Keys(s.Properties)); !slices.Equal(got, fields) {
				t.Errorf("%s: schema has %v, the struct has %v", path, got, fields)
			}
			if s.Additional != false {
				t.Errorf("%s: unknown fields are not refused", path)
			}
		}
	}
	check("job", root, reflect.TypeFor[glovebox.JobSpec]())
}
