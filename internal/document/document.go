// Package document reads what people and machines write by hand: YAML or JSON text in, values
// out, held to a JSON Schema, with the line and column of everything that is wrong. It must
// not know what the documents are about: job files and batch specs are read through it.
//
// The text is hostile: its size, depth, number of values and the expansion of
// aliases are bounded, duplicate keys and further documents are refused.
package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

// Format is a kind of document.
type Format struct {
	// Noun is what a document is called in messages: "job file".
	Noun string
	// Smallest is the shortest valid document, for whoever sent an empty one.
	Smallest string
	Schema   *Schema
	// Merge allows merge keys ("<<").
	Merge bool
}

// Document is a document that was read.
type Document struct {
	// Value is made of map[string]any, []any, string, bool, json.Number and nil.
	Value  any
	format *Format
	at     positions
	texts  positions
	source string
}

// Load reads a document without holding it to the schema; Check does that. A fault of
// the text is a *glovebox.ValidationError whose problems have lines and columns.
func (f *Format) Load(data []byte) (*Document, error) {
	if len(data) > MaxSize {
		return nil, problem("", position{}, fmt.Sprintf("the %s is larger than %s", f.Noun, glovebox.Size(MaxSize)))
	}
	if !utf8.Valid(data) {
		return nil, problem("", position{}, fmt.Sprintf("the %s is not UTF-8 text", f.Noun))
	}
	node, err := f.loadNode(data)
	if err != nil {
		return nil, err
	}
	b := &builder{Format: f, at: positions{}, texts: positions{}}
	value := b.build(node, f.Schema, "", 0)
	if len(b.problems) > 0 {
		return nil, &glovebox.ValidationError{Problems: b.problems}
	}
	return &Document{Value: value, format: f, at: b.at, texts: b.texts, source: string(data)}, nil
}

// Check holds the document to its schema.
func (d *Document) Check() error { return check(d.Value, d.format.Schema, d.at) }

// Decode fills a struct from the document's value.
func (d *Document) Decode(into any) error {
	encoded, err := json.Marshal(d.Value)
	if err != nil {
		return fmt.Errorf("encode %s: %w", d.format.Noun, err)
	}
	if err := json.Unmarshal(encoded, into); err != nil {
		return problem("", position{}, clip(strings.TrimPrefix(err.Error(), "json: ")))
	}
	return nil
}

// Locate adds line and column to the problems of a *glovebox.ValidationError that
// name a path of the document; where the very path is not in it, its nearest parent's.
func (d *Document) Locate(err error) error {
	var invalid *glovebox.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	located := append([]glovebox.Problem(nil), invalid.Problems...)
	for i, p := range located {
		if p.Line == 0 {
			located[i].Line, located[i].Column = d.Position(p.Path)
		}
	}
	return &glovebox.ValidationError{Problems: located}
}

// Position returns the line and column of a path, or of its nearest parent in the document.
func (d *Document) Position(path string) (line, column int) {
	at := d.at.find(path)
	return at.line, at.column
}

// PositionIn returns the line and column of an offset in the text at a path. mark is what to
// look for: the offset lies in or behind one of the text's marks, and so it does in the document, however the
// text is quoted there. Where that can't be told, it is the path's own position.
func (d *Document) PositionIn(path, text, mark string, offset int) (line, column int) {
	at, ok := d.texts[path]
	offset = min(offset, len(text))
	nth := strings.LastIndex(text[:min(len(text), offset+len(mark))], mark)
	if !ok || nth < 0 {
		return d.Position(path)
	}
	source := skip(d.source, at)
	found := source
	for range strings.Count(text[:nth], mark) + 1 {
		i := strings.Index(d.source[found:], mark)
		if i < 0 {
			return d.Position(path)
		}
		found += i + len(mark)
	}
	found -= len(mark)
	if within := text[nth:offset]; offset > nth && strings.HasPrefix(d.source[found:], within) {
		found += len(within)
	}
	begin := strings.LastIndexByte(d.source[:found], '\n') + 1
	return 1 + strings.Count(d.source[:begin], "\n"), 1 + utf8.RuneCountInString(d.source[begin:found])
}

// skip returns the offset of a position.
func skip(source string, at position) int {
	offset := 0
	for n := at.line; n > 1; n-- {
		i := strings.IndexByte(source[offset:], '\n')
		if i < 0 {
			return len(source)
		}
		offset += i + 1
	}
	for n := at.column; n > 1 && offset < len(source) && source[offset] != '\n'; n-- {
		_, size := utf8.DecodeRuneInString(source[offset:])
		offset += size
	}
	return offset
}

func problem(path string, at position, message string) *glovebox.ValidationError {
	return &glovebox.ValidationError{Problems: []glovebox.Problem{{Path: path, Line: at.line, Column: at.column, Message: message}}}
}
