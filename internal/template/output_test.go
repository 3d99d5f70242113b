package template_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/template"
)

func TestParseOutput(t *testing.T) {
	for _, c := range []struct {
		format, text string
		want         any
	}{
		{"", " a\n", " a\n"},
		{"text", "{}", "{}"},
		{"json", `{"a": [1, 1.5, 12345678901, "x", true, null], "b": {}}`, map[string]any{"a": []any{1, 1.5, 12345678901, "x", true, ""}, "b": map[string]any{}}},
		{"json", ` "x" `, "x"},
		{"yaml", "a: [1, 1.5, x, true, null, 2020-01-02, 'y']\nb: {c: &c [d]}\ne: *c\n", map[string]any{"a": []any{1, 1.5, "x", true, "", "2020-01-02", "y"}, "b": map[string]any{"c": []any{"d"}}, "e": []any{"d"}}},
		{"yaml", "base: &b {x: 1, y: 2}\nown: {x: 3, <<: *b}\n", map[string]any{"base": map[string]any{"x": 1, "y": 2}, "own": map[string]any{"x": 3, "y": 2}}},
		{"yaml", "1: a\n", map[string]any{"1": "a"}},
		{"yaml", "", ""}, {"yaml", "# nothing\n", ""},
	} {
		got, err := template.ParseOutput(c.format, c.text)
		if diff := cmp.Diff(c.want, got); diff != "" || err != nil {
			t.Errorf("%s %q: %v %s", c.format, c.text, err, diff)
		}
	}
}

func TestParseOutputRefuses(t *testing.T) {
	bomb := "a0: &a0 [" + strings.Repeat("x,", 9) + "x]\n"
	for _, n := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		bomb += "a" + n + ": &a" + n + " [" + strings.Repeat("*a"+string(n[0]-1)+",", 9) + "x]\n"
	}
	long := "a: &a " + strings.Repeat("x", 1<<19) + "\nb: [" + strings.Repeat("*a,", 1000) + "]\n"
	for _, c := range []struct {
		format, text string
		large        bool
	}{
		{"xml", "", false}, {"json", "{", false}, {"json", "1 2", false}, {"json", "", false}, {"yaml", "a: [", false}, {"yaml", "a\n---\nb\n", false}, {"yaml", "? [a]\n: b\n", false},
		{"text", strings.Repeat("x", 2<<20), true}, {"yaml", bomb, true}, {"yaml", long, true}, {"yaml", "a: &a [*a]\n", true},
		{"json", strings.Repeat("[", 200) + strings.Repeat("]", 200), true}, {"json", "[" + strings.Repeat("1,", 200_000) + "1]", true},
		{"yaml", strings.Repeat("[", 200) + strings.Repeat("]", 200), false},
	} {
		v, err := template.ParseOutput(c.format, c.text)
		if err == nil || c.large && !errors.Is(err, glovebox.ErrTooLarge) || len(err.Error()) > 500 {
			t.Errorf("%s %.40q: %v", c.format, c.text, err)
		}
		_ = v
	}
}

func FuzzParseOutput(f *testing.F) {
	f.Add("yaml", "a: &a {b: 1}\nc: {<<: *a}\n")
	f.Add("json", `{"a":[1e999,1]}`)
	f.Fuzz(func(t *testing.T, format, text string) {
		v, err := template.ParseOutput(format, text)
		if err != nil {
			return
		}
		tmpl, _ := template.Parse("${{ outputs.x }}")
		if _, err := tmpl.Render(t.Context(), template.Scope{Outputs: map[string]any{"x": v}}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	})
}
