package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"github.com/glovebox-dev/glovebox"
)

const (
	// maxOutput bounds a step output's text, and the texts in it once YAML aliases are expanded.
	maxOutput = 1 << 20
	// maxOutputValues and maxOutputDepth bound the values in it, expanded too.
	maxOutputValues = 100_000
	maxOutputDepth  = 64
)

// ParseOutput reads the value of a step's output. format is "text" (also when empty), "yaml" or
// "json". Whole numbers come out as int. An empty or commented-out document is the empty text.
func ParseOutput(format, text string) (any, error) {
	if len(text) > maxOutput {
		return nil, fmt.Errorf("the output is %w: %d bytes, want at most %s", glovebox.ErrTooLarge, len(text), glovebox.Size(maxOutput))
	}
	switch format {
	case "", "text":
		return text, nil
	case "json":
		return parseJSON(text)
	case "yaml":
		return parseYAML(text)
	}
	return nil, fmt.Errorf("format %q: want text, yaml or json", clip(format))
}

func parseJSON(text string) (any, error) {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("read output as JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("read output as JSON: something follows the value")
	}
	left := maxOutputValues
	v, ok := normal(v, maxOutputDepth, &left)
	if !ok {
		return nil, fmt.Errorf("read output as JSON: it is %w, or its numbers are: want at most %d values, %d levels deep", glovebox.ErrTooLarge, maxOutputValues, maxOutputDepth)
	}
	return v, nil
}

func parseYAML(text string) (any, error) {
	loader, err := yaml.NewLoader(bytes.NewReader([]byte(text)), yaml.WithV4Defaults(), yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxOutputDepth+2))))
	if err != nil {
		return nil, fmt.Errorf("read output as YAML: %w", err)
	}
	var doc, more yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return "", nil
	} else if err != nil {
		return nil, fmt.Errorf("read output as YAML: %s", clip(err.Error()))
	}
	if err := loader.Load(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("read output as YAML: want one document")
	}
	y := &yamlValue{}
	v, err := y.build(doc.Content[0], 0)
	if err != nil {
		return nil, fmt.Errorf("read output as YAML: line %w", err)
	}
	left := maxOutputValues
	v, ok := normal(v, maxOutputDepth, &left)
	if !ok {
		return nil, fmt.Errorf("read output as YAML: %w", glovebox.ErrTooLarge)
	}
	return v, nil
}

// yamlValue turns nodes into values and counts them, since an alias may stand for many others.
type yamlValue struct {
	values, bytes int
}

func (y *yamlValue) build(n *yaml.Node, depth int) (any, error) {
	y.values++
	y.bytes += len(n.Value)
	if y.values > maxOutputValues || y.bytes > maxOutput || depth > maxOutputDepth {
		return nil, fmt.Errorf("%d: it is %w with its aliases expanded: want at most %d values, %d levels deep, %s of text",
			n.Line, glovebox.ErrTooLarge, maxOutputValues, maxOutputDepth, glovebox.Size(maxOutput))
	}
	switch n.Kind {
	case yaml.AliasNode:
		return y.build(n.Alias, depth+1)
	case yaml.SequenceNode:
		list := []any{}
		for _, sub := range n.Content {
			v, err := y.build(sub, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	case yaml.MappingNode:
		m := map[string]any{}
		return m, y.fill(m, n, depth)
	}
	if tag := n.ShortTag(); tag == "!!str" || tag == "!!timestamp" {
		return n.Value, nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, fmt.Errorf("%d: %s is not a value", n.Line, clip(n.Value))
	}
	switch v := v.(type) {
	case nil, bool, int, float64:
		return v, nil
	case int64:
		return int(v), nil
	}
	return n.Value, nil
}

// fill reads a mapping's keys; merge keys ("<<") give those that the mapping itself has not.
func (y *yamlValue) fill(m map[string]any, n *yaml.Node, depth int) error {
	own := map[string]bool{}
	for i := 0; i < len(n.Content); i += 2 {
		own[n.Content[i].Value] = true
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			return fmt.Errorf("%d: a key must be a plain text", key.Line)
		}
		v, err := y.build(n.Content[i+1], depth+1)
		if err != nil {
			return err
		}
		y.bytes += len(key.Value)
		if key.ShortTag() != "!!merge" {
			m[key.Value] = v
			continue
		}
		from, ok := v.([]any)
		if !ok {
			from = []any{v}
		}
		for _, one := range from {
			fields, ok := one.(map[string]any)
			if !ok {
				return fmt.Errorf("%d: what << names is no mapping", key.Line)
			}
			for k, v := range fields {
				if _, have := m[k]; !have && !own[k] {
					m[k] = v
				}
			}
		}
	}
	return nil
}
