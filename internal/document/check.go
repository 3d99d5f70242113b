package document

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

// check holds a value to a schema.
func check(value any, s *Schema, at positions) error {
	c := &checker{at: at}
	c.check(value, s, "")
	return Sorted(c.problems)
}

// Sorted makes an error of problems, in the order of the text, not of all of them when they are very many; nil of none.
func Sorted(problems []glovebox.Problem) error {
	if len(problems) == 0 {
		return nil
	}
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

// checker holds a value, made of map[string]any, []any, string, bool, json.Number and
// nil, to a schema, and says in plain words what does not fit.
type checker struct {
	at       positions
	problems []glovebox.Problem
}

// fail reports a problem of the value at path.
func (c *checker) fail(path, format string, args ...any) {
	pos := c.at.find(path)
	c.problems = append(c.problems, glovebox.Problem{Path: path, Line: pos.line, Column: pos.column, Message: fmt.Sprintf(format, args...)})
}

// check checks a value.
func (c *checker) check(v any, s *Schema, path string) {
	if s.target != nil {
		c.check(v, s.target, path)
	}
	if len(s.Types) > 0 && !fits(v, s.Types) {
		c.fail(path, "is %s, want %s", word(typeName(v)), wantWords(s.Types))
		return
	}
	if text, ok := v.(string); len(s.Enum) > 0 && !(ok && slices.Contains(s.Enum, text)) {
		c.fail(path, "is %s, want one of %s", clip(fmt.Sprint(v)), strings.Join(s.Enum, " "))
		return
	}
	switch v := v.(type) {
	case map[string]any:
		c.checkMapping(v, s, path)
	case []any:
		c.checkList(v, s, path)
	case string:
		c.checkText(v, s, path)
	case json.Number:
		c.checkNumber(v, s, path)
	}
}

func (c *checker) checkMapping(m map[string]any, s *Schema, path string) {
	var missing []string
	for _, name := range s.Required {
		if _, ok := m[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		c.fail(path, "lacks %s", strings.Join(missing, ", "))
	}
	if len(m) < s.MinKeys {
		c.fail(path, "has %d keys, want at least %d", len(m), s.MinKeys)
	}
	if s.MaxKeys != nil && len(m) > *s.MaxKeys {
		c.fail(path, "has %d keys, want at most %d", len(m), *s.MaxKeys)
	}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		field := join(path, name)
		if p, ok := s.Properties[name]; ok {
			c.check(m[name], p, field)
		} else if s.Additional.refused {
			c.fail(field, "unknown field%s", suggest(name, slices.Sorted(maps.Keys(s.Properties))))
		} else if s.Additional.schema != nil {
			c.check(m[name], s.Additional.schema, field)
		}
	}
}

func (c *checker) checkList(list []any, s *Schema, path string) {
	if len(list) < s.MinItems {
		c.fail(path, "has %d entries, want at least %d", len(list), s.MinItems)
	}
	if s.MaxItems != nil && len(list) > *s.MaxItems {
		c.fail(path, "has %d entries, want at most %d", len(list), *s.MaxItems)
	}
	if s.Items == nil {
		return
	}
	for i, item := range list {
		c.check(item, s.Items, path+"["+strconv.Itoa(i)+"]")
	}
}

func (c *checker) checkText(v string, s *Schema, path string) {
	length := utf8.RuneCountInString(v)
	if length < s.MinLength {
		c.fail(path, "is empty")
	}
	if s.MaxLength != nil && length > *s.MaxLength {
		c.fail(path, "is %d characters long, want at most %d", length, *s.MaxLength)
	}
	if s.shape == nil || s.shape.MatchString(v) {
		return
	}
	c.fail(path, "is %q, want %s", clip(v), s.Comment)
}

func (c *checker) checkNumber(v json.Number, s *Schema, path string) {
	if s.Minimum != nil && number(v) < number(*s.Minimum) {
		c.fail(path, "is less than %s", *s.Minimum)
	}
	if s.Maximum != nil && number(v) > number(*s.Maximum) {
		c.fail(path, "is more than %s", *s.Maximum)
	}
}

// number is a number's value; the builder makes none that a float64 can't hold the magnitude of.
func number(n json.Number) float64 {
	f, _ := n.Float64()
	return f
}

// typeName names the JSON type of a value.
func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case json.Number:
		return "number"
	case string:
		return "string"
	case []any:
		return "array"
	}
	return "object"
}

// fits reports whether a value has one of the types. A number without a fraction is an integer, however it is written.
func fits(v any, types typeNames) bool {
	if n, ok := v.(json.Number); ok && slices.Contains(types, "integer") && number(n) == math.Trunc(number(n)) {
		return true
	}
	return slices.Contains(types, typeName(v))
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

// suggest names the known field nearest to a misspelt one.
func suggest(name string, known []string) string {
	if len(name) > 40 || len(known) == 0 {
		return ""
	}
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), strings.ToLower(k)); d < distance {
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
