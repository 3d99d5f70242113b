package template

import (
	"encoding/json"
	"math"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// List is a list of texts that prints its items with spaces between them.
type List []string

func (l List) String() string { return strings.Join(l, " ") }

// variables are functions without arguments: that is how "repository.name" can be written without a dot before it.
func (e *evaluation) variables() map[string]any {
	s := e.scope
	dynamic := func(v func() (any, error)) func() (any, error) {
		if e.static {
			return func() (any, error) { return nil, &callError{errDynamic} }
		}
		return v
	}
	return map[string]any{
		"repository": func() any {
			branch := s.Template.Repository.Branch
			if s.Place == PlaceChangeset {
				branch = strings.TrimPrefix(branch, "refs/heads/")
			}
			return map[string]any{"name": s.Template.Repository.Name, "branch": branch, "search_result_paths": List(s.Template.Repository.SearchResultPaths)}
		},
		"batch_change": func() any {
			return map[string]any{"name": s.Template.BatchChange.Name, "description": s.Template.BatchChange.Description}
		},
		"previous_step": dynamic(func() (any, error) {
			if s.Place == PlaceChangeset {
				return nil, e.fail("previous_step is not known in the changeset template")
			}
			return stepValues(s.Previous), nil
		}),
		"step": dynamic(func() (any, error) {
			if s.Step == nil {
				return nil, e.fail("step is known only in the values of a step's outputs")
			}
			return stepValues(s.Step), nil
		}),
		"steps": func() any {
			v := map[string]any{"path": s.Template.Path}
			if !e.static {
				changeValues(v, s.Steps)
			}
			return v
		},
		"outputs":           dynamic(e.outputValues),
		"batch_change_link": dynamic(e.link),
	}
}

func (e *evaluation) link() (any, error) {
	switch {
	case e.scope.Place != PlaceChangeset:
		return nil, e.fail("batch_change_link is known only in the changeset template")
	case e.scope.Link == "":
		return open + " batch_change_link " + end, nil
	}
	return e.scope.Link, nil
}

func stepValues(s *StepScope) map[string]any {
	if s == nil {
		s = &StepScope{}
	}
	v := map[string]any{"stdout": s.Stdout, "stderr": s.Stderr}
	changeValues(v, s.Changes)
	return v
}

func changeValues(v map[string]any, c glovebox.Changes) {
	v["modified_files"], v["added_files"] = List(c.Modified), List(c.Added)
	v["deleted_files"], v["renamed_files"] = List(c.Deleted), List(c.Renamed)
}

// outputValues brings the outputs into one form, whichever way they came: numbers
// without a fraction are ints, whether they were parsed just now or came by JSON.
func (e *evaluation) outputValues() (any, error) {
	if e.outputs == nil {
		left := maxIterations
		v, ok := normal(e.scope.Outputs, 0, &left)
		if !ok {
			return nil, e.fail("the outputs are %w", glovebox.ErrTooLarge)
		}
		e.outputs, _ = v.(map[string]any)
	}
	return e.outputs, nil
}

// normal is false when a value is nested too deep or holds too many others.
func normal(v any, depth int, left *int) (any, bool) {
	if *left--; *left < 0 || depth > 2*maxOutputDepth {
		return nil, false
	}
	switch v := v.(type) {
	case nil:
		return "", true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return int(v), true
		}
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return int(n), true
		}
		f, err := v.Float64()
		return f, err == nil
	case int64:
		return int(v), true
	case []any:
		list := make([]any, len(v))
		for i, item := range v {
			n, ok := normal(item, depth+1, left)
			if !ok {
				return nil, false
			}
			list[i] = n
		}
		return list, true
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, item := range v {
			n, ok := normal(item, depth+1, left)
			if !ok {
				return nil, false
			}
			m[k] = n
		}
		return m, true
	}
	return v, true
}
