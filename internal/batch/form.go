package batch

import (
	"fmt"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox/internal/document"
)

// canonical rewrites, in a value that fits the schema, what may be written in several ways to the
// one that Spec has in JSON, and notes where each came from.
func (r *reader) canonical(m map[string]any) {
	steps, _ := m["steps"].([]any)
	r.env = make([][]string, len(steps))
	for i, s := range steps {
		step := s.(map[string]any)
		step["env"], r.env[i] = r.variables(step["env"], fmt.Sprintf("steps[%d].env", i))
	}
	if t, ok := m["changesetTemplate"].(map[string]any); ok {
		t["published"] = r.published(t["published"])
	}
	m["cache"] = r.folders(m["cache"])
}

// variables reads env: an object, or a list of names and of objects with one key.
func (r *reader) variables(v any, path string) (env []any, paths []string) {
	add := func(name, value, path string, outside bool) {
		env = append(env, map[string]any{"name": name, "value": value, "fromOutside": outside})
		paths = append(paths, path)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, name := range r.inOrder(v, path) {
			add(name, v[name].(string), document.Join(path, name), false)
		}
	case []any:
		for i, item := range v {
			at := fmt.Sprintf("%s[%d]", path, i)
			if name, ok := item.(string); ok {
				add(name, "", at, true)
				continue
			}
			for name, value := range item.(map[string]any) {
				add(name, value.(string), document.Join(at, name), false)
			}
		}
	}
	return env, paths
}

// inOrder lists the keys of a mapping as they stand in the text.
func (r *reader) inOrder(m map[string]any, path string) []string {
	type place struct {
		name         string
		line, column int
	}
	var places []place
	for name := range m {
		line, column := r.doc.Position(document.Join(path, name))
		places = append(places, place{name, line, column})
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.line != b.line {
			return a.line - b.line
		}
		if a.column != b.column {
			return a.column - b.column
		}
		return strings.Compare(a.name, b.name)
	})
	names := make([]string, len(places))
	for i, p := range places {
		names[i] = p.name
	}
	return names
}

// published reads true, false, draft, or a list of GLOB[@BRANCH] to one of these.
func (r *reader) published(v any) any {
	switch v := v.(type) {
	case string:
		return map[string]any{"all": v}
	case []any:
		rules := []any{}
		for i, item := range v {
			for key, value := range item.(map[string]any) {
				repository, branch := key, ""
				if at := strings.LastIndexByte(key, '@'); at >= 0 {
					repository, branch = key[:at], key[at+1:]
				}
				rules = append(rules, map[string]any{"repository": repository, "branch": branch, "published": value})
				r.rules = append(r.rules, document.Join(fmt.Sprintf("changesetTemplate.published[%d]", i), key))
			}
		}
		return map[string]any{"rules": rules}
	}
	return nil
}

// folders reads cache: a map from name to path, or a list.
func (r *reader) folders(v any) any {
	var list []any
	switch v := v.(type) {
	case map[string]any:
		for _, name := range r.inOrder(v, "cache") {
			list = append(list, map[string]any{"name": name, "path": v[name]})
			r.cache = append(r.cache, document.Join("cache", name))
		}
	case []any:
		list = v
		for i := range v {
			r.cache = append(r.cache, fmt.Sprintf("cache[%d]", i))
		}
	}
	return list
}
