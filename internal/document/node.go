package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/glovebox-dev/glovebox"
)

const (
	// MaxSize is the largest document, in bytes.
	MaxSize = 4 << 20
	// maxValues bounds the values of a file after its aliases are expanded.
	maxValues = 50_000
	// maxDepth bounds their nesting; our formats need seven levels.
	maxDepth = 32
	// maxProblems bounds how many faults are reported at once.
	maxProblems = 20
)

// position is a place in the text, 1-based; the zero value is unknown.
type position struct{ line, column int }

// positions maps paths ("steps[0].run") to the place of the key, or of the value
// where there is no key.
type positions map[string]position

// find returns the position of a path or of its nearest parent that the text has.
func (p positions) find(path string) position {
	for {
		if at, ok := p[path]; ok || path == "" {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// loadNode parses the text into a tree whose aliases are not yet expanded.
func (f *Format) loadNode(data []byte) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithV4Defaults(), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth+2))))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Noun, err)
	}
	var doc, more yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return nil, problem("", position{}, fmt.Sprintf("the %s is empty; the smallest is: %s", f.Noun, f.Smallest))
	case err != nil:
		return nil, syntaxProblem(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, problem("", position{}, fmt.Sprintf("the %s holds nothing", f.Noun))
	}
	switch err := loader.Load(&more); {
	case errors.Is(err, io.EOF):
	case err != nil:
		return nil, syntaxProblem(err)
	default:
		return nil, problem("", position{more.Line, more.Column}, fmt.Sprintf("a second document begins here; a %s is one document", f.Noun))
	}
	return doc.Content[0], nil
}

// syntaxProblem turns an error of the YAML library into a problem with its place.
func syntaxProblem(err error) error {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return problem("", position{}, "not YAML: "+clip(err.Error()))
	}
	message := load.Message
	if load.ContextMsg != "" {
		message = load.ContextMsg + ", " + message
	}
	if strings.Contains(message, "cannot start any token") {
		message += " (YAML is indented by spaces, not tabs)"
	}
	return problem("", position{load.Mark.Line, load.Mark.Column}, "not YAML: "+clip(message))
}

// builder turns nodes into the values that encoding/json and the schema know.
type builder struct {
	*Format
	at       positions
	texts    positions // where texts begin
	problems []glovebox.Problem
	values   int
	open     []*yaml.Node // aliases being expanded
}

func (b *builder) fail(path string, n *yaml.Node, format string, args ...any) any {
	if len(b.problems) < maxProblems {
		b.problems = append(b.problems, glovebox.Problem{Path: path, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
	}
	return nil
}

// build returns the value of n. s is the schema that it is for, nil when unknown: where that
// allows a text, a number or boolean is taken as the text it was written as.
func (b *builder) build(n *yaml.Node, s *Schema, path string, depth int) any {
	if b.values++; b.values > maxValues {
		if b.values == maxValues+1 {
			b.fail(path, n, "the %s holds more than %d values once its aliases are expanded", b.Noun, maxValues)
		}
		return nil
	}
	if depth > maxDepth {
		return b.fail(path, n, "nested more than %d levels deep", maxDepth)
	}
	if _, ok := b.at[path]; !ok {
		b.at[path] = position{n.Line, n.Column}
	}
	s = s.resolved()
	switch n.Kind {
	case yaml.AliasNode:
		return b.alias(n, s, path, depth)
	case yaml.MappingNode:
		return b.mapping(n, s, path, depth)
	case yaml.SequenceNode:
		return b.sequence(n, s, path, depth)
	case yaml.ScalarNode:
		return b.scalar(n, s, path)
	}
	return b.fail(path, n, "unexpected kind of value")
}

func (b *builder) alias(n *yaml.Node, s *Schema, path string, depth int) any {
	for _, open := range b.open {
		if open == n.Alias {
			return b.fail(path, n, "alias *%s stands inside what it names", clip(n.Value))
		}
	}
	b.open = append(b.open, n.Alias)
	defer func() { b.open = b.open[:len(b.open)-1] }()
	return b.build(n.Alias, s, path, depth+1)
}

func (b *builder) mapping(n *yaml.Node, s *Schema, path string, depth int) any {
	if tag := n.ShortTag(); tag != "!!map" {
		return b.fail(path, n, "tag %s is not allowed", clip(tag))
	}
	m := make(map[string]any, len(n.Content)/2)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			b.fail(path, key, "a key must be a plain text")
			continue
		}
		if key.ShortTag() == "!!merge" {
			if !b.Merge {
				b.fail(path, key, "merge keys (<<) are not supported: write the fields out, or use an alias for a whole value")
				continue
			}
			merged = append(merged, value)
			continue
		}
		name := join(path, key.Value)
		if _, twice := m[key.Value]; twice {
			b.fail(name, key, "the key stands here a second time")
			continue
		}
		if _, ok := b.at[name]; !ok {
			b.at[name] = position{key.Line, key.Column}
		}
		m[key.Value] = b.build(value, s.field(key.Value), name, depth+1)
	}
	for _, value := range merged {
		b.merge(m, value, s, path, depth)
	}
	return m
}

// merge adds the fields of the mapping, or the mappings, that "<<" names and that m has not.
func (b *builder) merge(m map[string]any, value *yaml.Node, s *Schema, path string, depth int) {
	if value.Kind == yaml.SequenceNode {
		for _, one := range value.Content {
			b.merge(m, one, s, path, depth+1)
		}
		return
	}
	fields, ok := b.build(value, s, path, depth+1).(map[string]any)
	if !ok {
		b.fail(path, value, "what << names is not a mapping")
		return
	}
	for name, field := range fields {
		if _, have := m[name]; !have {
			m[name] = field
		}
	}
}

func (b *builder) sequence(n *yaml.Node, s *Schema, path string, depth int) any {
	if tag := n.ShortTag(); tag != "!!seq" {
		return b.fail(path, n, "tag %s is not allowed", clip(tag))
	}
	list := make([]any, 0, min(len(n.Content), 1024))
	for i, item := range n.Content {
		list = append(list, b.build(item, s.item(), path+"["+strconv.Itoa(i)+"]", depth+1))
	}
	return list
}

func (b *builder) scalar(n *yaml.Node, s *Schema, path string) any {
	if _, ok := b.texts[path]; !ok {
		b.texts[path] = position{n.Line, n.Column}
	}
	switch tag := n.ShortTag(); tag {
	case "!!str", "!!timestamp":
		return n.Value
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		if s != nil && slices.Contains(s.Types, "string") {
			return n.Value
		}
	case "!!merge":
		return n.Value // "<<" as a value is a text
	default:
		return b.fail(path, n, "tag %s is not allowed", clip(tag))
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return b.fail(path, n, "%s is not a number this program can hold", clip(n.Value))
	}
	switch v := v.(type) {
	case bool:
		return v
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return b.fail(path, n, "%s is not a number", clip(n.Value))
		}
		return json.Number(strconv.FormatFloat(v, 'g', -1, 64))
	case int, int64, uint64:
		return json.Number(fmt.Sprint(v))
	}
	return b.fail(path, n, "%s is out of range", clip(n.Value))
}

// join makes the path of a field.
func join(path, key string) string {
	if path == "" {
		return clip(key)
	}
	return path + "." + clip(key)
}

// Join makes the path of a field, as problems have it.
func Join(path, key string) string { return join(path, key) }

// clip bounds what is quoted from a hostile text in a message, and takes control characters out of it.
func clip(s string) string {
	const limit = 100
	cut := ""
	if len(s) > limit {
		s, cut = strings.ToValidUTF8(s[:limit], ""), "…"
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s) + cut
}
