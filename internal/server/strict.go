package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

// maxDepth bounds how deep a request's JSON may nest.
const maxDepth = 32

// maxProblems bounds how many faults one answer lists.
const maxProblems = 50

// decodeStrict reads one JSON value into v, a pointer. Fields that v has not, fields that
// come twice, deep nesting and anything after the value are refused, with their place.
func decodeStrict(raw []byte, v any) error {
	if !utf8.Valid(raw) {
		return invalid("the body is not UTF-8")
	}
	w := strictWalk{raw: raw, decoder: json.NewDecoder(bytes.NewReader(raw))}
	w.decoder.UseNumber()
	err := w.value(reflect.TypeOf(v).Elem(), "", 0)
	if err == nil {
		if _, more := w.decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the JSON value")
		}
	}
	if err != nil {
		return invalid("the body is not valid JSON", w.problem("", err.Error()))
	}
	if len(w.problems) > 0 {
		return invalid("the body has fields that are not known", w.problems...)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return invalid("the body is not of the right shape", shapeProblem(err))
	}
	return nil
}

func shapeProblem(err error) glovebox.Problem {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return glovebox.Problem{Path: t.Field, Message: fmt.Sprintf("want %s, not %s", shapeName(t.Type), t.Value)}
	}
	return glovebox.Problem{Message: strings.TrimPrefix(err.Error(), "json: ")}
}

func shapeName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct, reflect.Pointer:
		return "an object"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}

// strictWalk goes through JSON beside a type and notes fields that the type has not.
type strictWalk struct {
	raw      []byte
	decoder  *json.Decoder
	problems []glovebox.Problem
}

// problem is a fault at the place that the walk has come to.
func (w *strictWalk) problem(path, message string) glovebox.Problem {
	before := w.raw[:min(int(w.decoder.InputOffset()), len(w.raw))]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := 1 + utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:])
	return glovebox.Problem{Path: path, Line: line, Column: column, Message: message}
}

func (w *strictWalk) note(path, message string) {
	if len(w.problems) < maxProblems {
		w.problems = append(w.problems, w.problem(path, message))
	}
}

// value walks one value. A type of nil is one whose fields are not looked at.
func (w *strictWalk) value(t reflect.Type, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("nested deeper than %d", maxDepth)
	}
	token, err := w.decoder.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it ends early")
		}
		return err
	}
	t = plain(t)
	switch token {
	case json.Delim('{'):
		err = w.object(t, path, depth)
	case json.Delim('['):
		err = w.list(t, path, depth)
	}
	return err
}

func (w *strictWalk) object(t reflect.Type, path string, depth int) error {
	seen := map[string]bool{}
	for w.decoder.More() {
		token, err := w.decoder.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		at := strings.TrimPrefix(path+"."+shortKey(key), ".")
		if seen[key] {
			w.note(at, "comes twice")
		}
		seen[key] = true
		var child reflect.Type
		switch {
		case t == nil:
		case t.Kind() == reflect.Map:
			child = t.Elem()
		case t.Kind() == reflect.Struct:
			field, known := fieldOf(t, key)
			if !known {
				w.note(at, "is not a known field")
			}
			child = field
		}
		if err := w.value(child, at, depth+1); err != nil {
			return err
		}
	}
	_, err := w.decoder.Token()
	return err
}

func (w *strictWalk) list(t reflect.Type, path string, depth int) error {
	var child reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		child = t.Elem()
	}
	for i := 0; w.decoder.More(); i++ {
		if err := w.value(child, fmt.Sprintf("%s[%d]", path, i), depth+1); err != nil {
			return err
		}
	}
	_, err := w.decoder.Token()
	return err
}

func shortKey(key string) string {
	if len(key) > 64 {
		return strings.ToValidUTF8(key[:64], "") + "…"
	}
	return key
}

// plain is the type behind pointers, nil for types that read JSON in a way of their own.
func plain(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	return t
}

// fieldOf is the type of the field that JSON calls key.
func fieldOf(t reflect.Type, key string) (reflect.Type, bool) {
	for field := range t.Fields() {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case field.Anonymous && name == "":
			if found, ok := fieldOf(plain(field.Type), key); ok {
				return found, true
			}
		case name == key && name != "-":
			return field.Type, true
		}
	}
	return nil, false
}
