package template

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"text/template"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/glob"
)

// evaluation is one evaluation of a template, and what it has cost so far.
type evaluation struct {
	ctx     context.Context
	scope   Scope
	static  bool
	steps   int
	work    int
	outputs map[string]any // normal form, once they were read
}

// functions are the variables and functions that a template may name, besides those of text/template
// that neither make texts nor call anything.
func (e *evaluation) functions() template.FuncMap {
	funcs := e.variables()
	for name, f := range map[string]any{
		counter: e.countOne,
		"join":  e.join, "split": e.split, "replace": e.replace, "join_if": e.joinIf, "matches": e.matches,
		"printf": e.printf,
		"call":   func(...any) (string, error) { return "", e.fail("call is not allowed") },
	} {
		funcs[name] = f
	}
	for name, f := range map[string]func(...any) string{
		"print": fmt.Sprint, "println": fmt.Sprintln,
		"html": template.HTMLEscaper, "js": template.JSEscaper, "urlquery": template.URLQueryEscaper,
	} {
		funcs[name] = func(args ...any) (string, error) {
			if err := e.take(args...); err != nil {
				return "", err
			}
			return e.give(f(args...))
		}
	}
	return funcs
}

func (e *evaluation) fail(format string, args ...any) error {
	return &callError{fmt.Errorf(format, args...)}
}

// countOne is called before each expression. It writes nothing.
func (e *evaluation) countOne() (string, error) {
	if e.steps++; e.steps > maxIterations {
		return "", e.fail("the template does not end: %w: more than %d steps", glovebox.ErrTooLarge, maxIterations)
	}
	return "", context.Cause(e.ctx)
}

// take charges what a function is given.
func (e *evaluation) take(args ...any) error {
	total := 0
	for _, a := range args {
		if total += size(a); total > MaxText {
			return e.fail("a function is given values that are %w: more than %s", glovebox.ErrTooLarge, glovebox.Size(MaxText))
		}
	}
	return e.charge(total)
}

// give charges what a function returns.
func (e *evaluation) give(text string) (string, error) {
	if len(text) > MaxText {
		return "", e.fail("a function makes a text that is %w: more than %s", glovebox.ErrTooLarge, glovebox.Size(MaxText))
	}
	return text, e.charge(len(text))
}

func (e *evaluation) charge(n int) error {
	if e.work += n; e.work > maxWork || n < 0 {
		return e.fail("the functions of the template have %w values: more than %s in all", glovebox.ErrTooLarge, glovebox.Size(maxWork))
	}
	return context.Cause(e.ctx)
}

// size is about the number of bytes that a value takes as text.
func size(v any) int {
	n := 16
	switch v := v.(type) {
	case string:
		n = len(v)
	case List:
		for _, s := range v {
			n += len(s) + 1
		}
	case []string:
		for _, s := range v {
			n += len(s) + 1
		}
	case []any:
		for _, s := range v {
			n += size(s) + 1
		}
	case map[string]any:
		for k, s := range v {
			n += len(k) + size(s) + 2
		}
	}
	return n
}

// text takes a text, number or boolean as text.
func (e *evaluation) text(function, what string, v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, int, int64, uint64, float64:
		return fmt.Sprint(v), nil
	}
	return "", e.fail("%s wants a text as its %s, not %s", function, what, describe(v))
}

func describe(v any) string {
	switch v.(type) {
	case List, []string, []any:
		return "a list"
	case map[string]any:
		return "a group of values"
	case nil:
		return "nothing"
	}
	return fmt.Sprintf("a %T", v)
}

func (e *evaluation) texts(function string, names []string, values ...any) ([]string, error) {
	list := make([]string, len(values))
	for i, v := range values {
		s, err := e.text(function, names[min(i, len(names)-1)], v)
		if err != nil {
			return nil, err
		}
		list[i] = s
	}
	return list, e.take(values...)
}

func (e *evaluation) join(list, separator any) (string, error) {
	sep, err := e.text("join", "separator", separator)
	if err != nil {
		return "", err
	}
	var parts []string
	switch list := list.(type) {
	case List:
		parts = list
	case []string:
		parts = list
	case []any:
		if parts, err = e.texts("join", []string{"list's item"}, list...); err != nil {
			return "", err
		}
	default:
		return "", e.fail("join wants a list, not %s", strings.Replace(describe(list), "a string", "a text", 1))
	}
	total := len(sep) * len(parts)
	for _, p := range parts {
		total += len(p)
	}
	if total > MaxText {
		return "", e.fail("join makes a text that is %w: more than %s", glovebox.ErrTooLarge, glovebox.Size(MaxText))
	}
	return e.give(strings.Join(parts, sep))
}

// maxParts bounds what one split makes.
const maxParts = 1 << 18

func (e *evaluation) split(text, separator any) (List, error) {
	args, err := e.texts("split", []string{"text", "separator"}, text, separator)
	if err != nil {
		return nil, err
	}
	parts := strings.SplitN(args[0], args[1], maxParts+1)
	if len(parts) > maxParts {
		return nil, e.fail("split makes a list that is %w: more than %d parts", glovebox.ErrTooLarge, maxParts)
	}
	return parts, e.charge(16 * len(parts))
}

func (e *evaluation) replace(text, old, by any) (string, error) {
	args, err := e.texts("replace", []string{"text", "old text", "new text"}, text, old, by)
	if err != nil {
		return "", err
	}
	n := strings.Count(args[0], args[1])
	if len(args[2]) > 0 && len(args[0])/len(args[2])+n > MaxText/len(args[2]) {
		return "", e.fail("replace makes a text that is %w: more than %s", glovebox.ErrTooLarge, glovebox.Size(MaxText))
	}
	return e.give(strings.ReplaceAll(args[0], args[1], args[2]))
}

func (e *evaluation) joinIf(separator any, items ...any) (string, error) {
	args, err := e.texts("join_if", []string{"separator", "item"}, append([]any{separator}, items...)...)
	if err != nil {
		return "", err
	}
	var parts List
	for _, s := range args[1:] {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return e.join(parts, args[0])
}

func (e *evaluation) matches(text, pattern any) (bool, error) {
	args, err := e.texts("matches", []string{"text", "glob"}, text, pattern)
	if err != nil {
		return false, err
	}
	g, err := glob.Compile(args[1])
	if err != nil {
		return false, e.fail("matches: %w", err)
	}
	if err := e.charge(g.Cost(args[0]) / 16); err != nil {
		return false, err
	}
	return g.Match(args[0]), nil
}

// verbs finds what stands between a "%" and its verb.
var verbs = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`%[-+# 0]*([0-9]*)(?:\.([0-9]*))?([*\[]?)`) })

// badFormat says what keeps a format from being used: a width may make a text of any
// length, and so may an index, which takes an argument many times over.
func badFormat(format string) string {
	for _, m := range verbs().FindAllStringSubmatch(format, -1) {
		if m[3] != "" {
			return fmt.Sprintf("printf does not take %q in a format", m[3])
		}
		if len(m[1]) > 3 || len(m[2]) > 3 {
			return "printf takes widths and precisions of at most 999"
		}
	}
	return ""
}

// padded reports whether a format has a width or precision.
func padded(format string) bool {
	for _, m := range verbs().FindAllStringSubmatch(format, -1) {
		if m[1]+m[2] != "" {
			return true
		}
	}
	return false
}

// items counts values and those in them: fmt pads each.
func items(values ...any) int {
	n := len(values)
	for _, v := range values {
		switch v := v.(type) {
		case List:
			n += len(v)
		case []any:
			n += items(v...)
		case map[string]any:
			for _, sub := range v {
				n += 1 + items(sub)
			}
		}
	}
	return n
}

func (e *evaluation) printf(format any, args ...any) (string, error) {
	f, err := e.text("printf", "format", format)
	if err != nil {
		return "", err
	}
	if bad := badFormat(f); bad != "" {
		return "", e.fail("%s", bad)
	}
	if len(f) > 64<<10 {
		return "", e.fail("printf takes a format of at most 64K")
	}
	if err := e.take(append([]any{f}, args...)...); err != nil {
		return "", err
	}
	if n := items(args...); n*999 > MaxText && padded(f) {
		return "", e.fail("printf pads %d values, which may make a text that is %w", n, glovebox.ErrTooLarge)
	}
	return e.give(fmt.Sprintf(f, args...))
}
