package template_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/template"
)

func scope(p template.Place) template.Scope {
	return template.Scope{
		Place: p,
		Template: glovebox.Template{
			Repository:  glovebox.TemplateRepository{Name: "github.com/a/b", Branch: "refs/heads/main", SearchResultPaths: []string{"go.mod", "x/go.mod"}},
			BatchChange: glovebox.TemplateBatchChange{Name: "tidy", Description: "Tidy it"},
			Path:        "x",
		},
		Previous: &template.StepScope{Changes: glovebox.Changes{Modified: []string{"m1", "m2"}, Added: []string{"a"}, Deleted: []string{"d"}, Renamed: []string{"r"}}, Stdout: "out", Stderr: "err"},
		Steps:    glovebox.Changes{Modified: []string{"M"}, Added: []string{"A"}, Deleted: []string{"D"}, Renamed: []string{"R"}},
		Outputs:  map[string]any{"text": "t", "n": 3, "big": float64(12345678), "pi": 3.5, "yes": true, "nothing": nil, "map": map[string]any{"list": []any{"p", 2, true}, "deep": map[string]any{"x": "y"}}},
	}
}

func TestRender(t *testing.T) {
	output := scope(template.PlaceOutput)
	output.Step = &template.StepScope{Changes: glovebox.Changes{Added: []string{"s1", "s2"}}, Stdout: "step out", Stderr: "step err"}
	changeset := scope(template.PlaceChangeset)
	linked := changeset
	linked.Link = "https://glovebox.example/b/1"
	first := scope(template.PlaceStep)
	first.Previous = nil
	for _, c := range []struct {
		scope      template.Scope
		text, want string
	}{
		{text: "", want: ""},
		{text: "plain $x }} {{ y }} $ {{", want: "plain $x }} {{ y }} $ {{"},
		{text: "${{ repository.name }}", want: "github.com/a/b"},
		{text: "${{repository.branch}}", want: "refs/heads/main"},
		{text: "${{ repository.search_result_paths }}", want: "go.mod x/go.mod"},
		{text: "${{ batch_change.name }}: ${{ batch_change.description }}", want: "tidy: Tidy it"},
		{text: "${{ previous_step.modified_files }}|${{ previous_step.added_files }}|${{ previous_step.deleted_files }}|${{ previous_step.renamed_files }}", want: "m1 m2|a|d|r"},
		{text: "${{ previous_step.stdout }}${{ previous_step.stderr }}", want: "outerr"},
		{text: "${{ steps.modified_files }}${{ steps.added_files }}${{ steps.deleted_files }}${{ steps.renamed_files }}${{ steps.path }}", want: "MADRx"},
		{scope: first, text: "[${{ previous_step.modified_files }}${{ previous_step.stdout }}${{ len previous_step.added_files }}]", want: "[0]"},
		{scope: output, text: "${{ step.stdout }} ${{ step.stderr }} ${{ step.added_files }} ${{ len step.modified_files }}", want: "step out step err s1 s2 0"},
		{text: "${{ outputs.text }} ${{ outputs.n }} ${{ outputs.big }} ${{ outputs.pi }} ${{ outputs.yes }}[${{ outputs.nothing }}]", want: "t 3 12345678 3.5 true[]"},
		{text: `${{ outputs.map.deep.x }} ${{ index outputs.map.list 0 }} ${{ join outputs.map.list "," }} ${{ outputs.map.list }}`, want: "y p p,2,true [p 2 true]"},
		{text: "${{ range outputs.map.list }}<${{ . }}>${{ end }}", want: "<p><2><true>"},
		{text: "${{ if eq outputs.n 3 }}three${{ else }}other${{ end }}", want: "three"},
		{scope: changeset, text: "${{ repository.branch }} ${{ batch_change_link }}", want: "main ${{ batch_change_link }}"},
		{scope: linked, text: "see ${{ batch_change_link }}", want: "see https://glovebox.example/b/1"},
		{scope: changeset, text: "${{ outputs.text }} ${{ steps.path }} ${{ steps.modified_files }}", want: "t x M"},

		{text: `${{ join repository.search_result_paths "\n" }}`, want: "go.mod\nx/go.mod"},
		{text: `${{ join (split "a,b,c" ",") "-" }}`, want: "a-b-c"},
		{text: `${{ "a b" | split " " }}`, want: "[ ]"[1:2]},
		{text: `${{ replace "a/b/c" "/" "-" }}`, want: "a-b-c"},
		{text: `${{ replace "aa" "" "-" }}`, want: "-a-a-"},
		{text: `${{ join_if "-" "a" "" "b" "" }}|${{ join_if "-" }}`, want: "a-b|"},
		{text: `${{ matches repository.name "github.com/a/*" }} ${{ matches repository.name "{x,y}" }} ${{ matches "a" "[b-d]" }}`, want: "true false false"},

		{text: `${{ and true "x" }} ${{ or "" "y" }} ${{ not false }} ${{ eq "a" "b" "a" }} ${{ ne 1 2 }} ${{ lt 1 2 }} ${{ le 2 2 }} ${{ gt 1 2 }} ${{ ge 1 2 }}`, want: "x y true true true true true false false"},
		{text: `${{ len "abc" }} ${{ index repository.search_result_paths 1 }} ${{ slice "abcdef" 1 3 }}`, want: "3 x/go.mod bc"},
		{text: `${{ print "a" 1 }} ${{ println "b" }}${{ printf "%05.1f %q %v" 2.5 "c" repository.search_result_paths }}`, want: "a1 b\n002.5 \"c\" go.mod x/go.mod"},
		{text: `${{ html "<a>" }} ${{ js "'" }} ${{ urlquery "a b" }}`, want: `&lt;a&gt; \' a+b`},
		{text: `${{ $x := "v" }}${{ $x }}${{ with repository.name }}(${{ . }})${{ end }}`, want: "v(github.com/a/b)"},
		{text: `${{ range $i, $f := previous_step.modified_files }}${{ if $i }}, ${{ end }}${{ $f }}${{ else }}none${{ end }}`, want: "m1, m2"},
		{text: `${{ range repository.search_result_paths }}${{ if eq . "go.mod" }}${{ continue }}${{ end }}${{ . }}${{ break }}${{ end }}`, want: "x/go.mod"},
		{text: "a ${{- /* }} */ -}} b ${{ \"}}\" }} ${{ `${{` }}", want: "ab }} ${{"},
		{text: "a\n${{- \" b\" -}}\n c", want: "a bc"},
	} {
		text, err := template.Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if c.scope.Template.Path == "" {
			c.scope = scope(template.PlaceStep)
		}
		got, err := text.Render(t.Context(), c.scope)
		if err != nil || got != c.want {
			t.Errorf("%s: got %q %v, want %q", c.text, got, err, c.want)
		}
		if c.scope.Place != template.PlaceStep || strings.Contains(c.text, `"a b" | split`) {
			continue
		}
		if err := text.Check(template.PlaceStep, []string{"text", "n", "big", "pi", "yes", "nothing", "map"}); err != nil {
			t.Errorf("%s: %v", c.text, err)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	s := scope(template.PlaceStep)
	for _, c := range []struct{ text, want string }{
		{"a\n b ${{ outputs.none }}", `evaluate ${{ outputs.none }} at 2:8: there is no value of the name "none"`},
		{"${{ repository.nam }}", `there is no value of the name "nam"`},
		{"${{ nope }}", `"nope" is not a defined function`},
		{"${{ step.stdout }}", "step is known only in the values of a step's outputs"},
		{"${{ batch_change_link }}", "known only in the changeset template"},
		{`${{ join repository.name "," }}`, "join wants a list, not a text"},
		{`${{ replace previous_step.added_files "a" "b" }}`, "replace wants a text as its text, not a list"},
		{`${{ matches "a" "[" }}`, "matches: the glob has a bracket"},
		{`${{ index repository.search_result_paths 9 }}`, "index out of range"},
		{`${{ call previous_step }}`, "call is not allowed"},
		{`${{ printf "%99999d" 1 }}`, "at most 999"},
	} {
		text, err := template.Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		var failed *template.RenderError
		if _, err := text.Render(t.Context(), s); !errors.As(err, &failed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.text, err, c.want)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(glovebox.ErrCanceled)
	text, _ := template.Parse("${{ repository.name }}")
	if _, err := text.Render(ctx, s); !errors.Is(err, glovebox.ErrCanceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestBombs: whatever a template does, it costs little.
func TestBombs(t *testing.T) {
	s := scope(template.PlaceStep)
	s.Previous.Stdout = strings.Repeat("x", 1<<20)
	for i := range 5000 {
		s.Steps.Modified = append(s.Steps.Modified, fmt.Sprint("file", i))
	}
	nested := strings.Repeat("${{ range steps.modified_files }}", 4) + strings.Repeat("${{ end }}", 4)
	for name, text := range map[string]string{
		"writes nothing":     nested,
		"counts":             "${{ range 1000000000 }}${{ end }}",
		"writes much":        "${{ range steps.modified_files }}${{ previous_step.stdout }}${{ end }}",
		"doubles":            `${{ $x := "0123456789" }}${{ range 100 }}${{ $x = printf "%s%s" $x $x }}${{ end }}`,
		"prints":             `${{ $x := previous_step.stdout }}${{ range 1000 }}${{ $x = print $x $x }}${{ end }}`,
		"keeps":              strings.Repeat("${{ $x := html previous_step.stdout }}", 1000),
		"splits":             `${{ range 1000 }}${{ $x := split previous_step.stdout "" }}${{ end }}`,
		"replaces":           `${{ $x := replace previous_step.stdout "x" previous_step.stdout }}`,
		"joins":              `${{ $x := join steps.modified_files previous_step.stdout }}`,
		"pads":               `${{ printf "%999999999d" 1 }}`,
		"pads by argument":   `${{ printf "%*d" 999999999 1 }}`,
		"pads many":          `${{ printf "%999s" (split previous_step.stdout "x") }}${{ printf "%0999v" outputs.ints }}`,
		"repeats by index":   `${{ printf "` + strings.Repeat("%[1]s", 5000) + `" previous_step.stdout }}`,
		"globs":              `${{ range 1000 }}${{ matches previous_step.stdout "*x*x*x*x*x*x*x*y" }}${{ end }}`,
		"compares":           `${{ range 1000000000 }}${{ $x := eq previous_step.stdout previous_step.stdout }}${{ end }}`,
		"many in parameters": "${{ print" + strings.Repeat(" previous_step.stdout", 10000) + " }}",
	} {
		parsed, err := template.Parse(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := parsed.Check(template.PlaceStep, nil); err != nil && !strings.HasPrefix(name, "pads") && !strings.HasPrefix(name, "repeats") {
			t.Errorf("%s: %v", name, err)
		}
		start := time.Now()
		out, err := parsed.Render(t.Context(), s)
		if name == "splits" || name == "pads many" {
			// the limit of one function comes first
		} else if err == nil {
			t.Errorf("%s: gave %d bytes", name, len(out))
		}
		if len(out) > template.MaxText || time.Since(start) > 15*time.Second {
			t.Errorf("%s: took %v for %d bytes: %v", name, time.Since(start), len(out), err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"ü ${{ repository.name", "1:3: the expression that begins here has no"},
		{"a\n${{", "2:1: the expression that begins here has no"},
		{"x ${{ if true }}\n y", "1:3: what begins here has no"},
		{"${{ end }}", `1:1: there is no "if"`},
		{"${{ repository.name }} ${{ a b ( }} ${{ c }}", "1:24: in ${{ a b ( }}: "},
		{"${{ if true }}${{ 5 6 7 | 8 }}${{ end }}", "1:15: in ${{ 5 6 7 | 8 }}: "},
		{"a\n\n  ${{ \"abc }} x", "3:3: "},
		{"${{ }}", "1:1: in ${{ }}: missing value"},
		{"${{ define \"x\" }}${{ end }}", `1:1: "define" is not allowed`},
		{"${{- template \"x\" }}", `1:1: "template" is not allowed`},
		{"${{ block \"x\" . }}${{ end }}", `1:1: "block" is not allowed`},
		{"${{ break }}", "outside {{range}}"},
		{"${{ " + strings.Repeat("(", 100_000) + " }}", "1:1: the expression nests more than 50"},
		{strings.Repeat("${{ if true }}", 60) + strings.Repeat("${{ end }}", 60), "nested more than 50"},
		{strings.Repeat("${{ 1 }}", 20_000), "more than 10000 expressions"},
		{strings.Repeat("x", template.MaxText+1), "larger than 4M"},
	} {
		_, err := template.Parse(c.text)
		var fault *template.SyntaxError
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 {
			t.Errorf("%.60q: got %.300v, want %q", c.text, err, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	step, output, changeset := template.PlaceStep, template.PlaceOutput, template.PlaceChangeset
	for _, c := range []struct {
		place      template.Place
		text, want string
	}{
		{step, "\n  ${{ repository.nam }}", "2:7: unknown variable repository.nam: did you mean repository.name?"},
		{step, "${{ repository.xyzzy }}", "1:5: unknown variable repository.xyzzy: repository has branch, name, search_result_paths"},
		{step, "${{ repository.name.first }}", "1:5: repository.name.first: repository.name is a text, which has no fields"},
		{step, "${{ reposotory.name }}", "1:5: unknown name reposotory: did you mean repository?"},
		{step, "${{ joni previous_step.added_files \",\" }}", "1:5: unknown name joni: did you mean join?"},
		{step, "${{ zzzzzzz }}", "1:5: unknown name zzzzzzz: the variables are batch_change, batch_change_link, outputs"},
		{step, "${{ .repository.name }}", "1:5: .repository.name has nothing before its dot: write repository.name"},
		{step, "${{ $.repository }}", "$ holds nothing here"},
		{step, "${{ . }}", "the dot stands for nothing here"},
		{step, "${{ outputs.versoin }}", "1:5: no earlier step has the output versoin: did you mean outputs.version?"},
		{step, "${{ outputs.other }}", "1:5: no earlier step has the output other"},
		{step, "${{ step.stdout }}", "1:5: step is known only in the values of a step's outputs: did you mean previous_step?"},
		{changeset, "${{ step.stdout }}", "1:5: step is known only in the values of a step's outputs"},
		{changeset, "${{ previous_step.stdout }}", "1:5: previous_step is not known in the changeset template"},
		{output, "${{ batch_change_link }}", "1:5: batch_change_link is known only in the changeset template"},
		{step, "${{ join repository.name \",\" }}", "1:10: join wants a list as argument 1, not a text"},
		{step, "${{ join repository.search_result_paths }}", "1:5: join takes 2 arguments, not 1"},
		{step, "${{ replace \"a\" \"b\" }}", "replace takes 3 arguments, not 2"},
		{step, "${{ \"a\" | matches \"b\" \"c\" }}", "matches takes 2 arguments, not 3"},
		{step, "${{ join_if }}", "join_if takes at least 1 argument, not 0"},
		{step, "${{ eq 1 }}", "eq takes at least 2 arguments, not 1"},
		{step, "${{ matches \"a\" \"[\" }}", "1:17: matches: the glob has a bracket"},
		{step, "${{ printf \"%5000d\" 1 }}", "1:12: printf takes widths"},
		{step, "${{ len 5 }}", "len wants a text or a list, not a number"},
		{step, "${{ call outputs }}", "call is not allowed"},
		{step, "${{ repository.name \"x\" }}", "repository.name is a value, not a function"},
		{step, "${{ range repository.name }}${{ end }}", "range wants a list, not a text"},
		{step, "${{ range previous_step.added_files }}${{ .name }}${{ end }}", "which has no fields"},
		{step, "${{ if eq repository.nam \"x\" }}${{ else if steps.pth }}${{ end }}", "did you mean repository.name?\n1:44: unknown variable steps.pth"},
		{step, "${{ count_one_step }}", "unknown name count_one_step"},

		{output, "${{ step.stdout }} ${{ outputs.version.any.thing }} ${{ outputs }}", ""},
		{changeset, "${{ batch_change_link }} ${{ steps.path }}", ""},
		{step, `${{ with batch_change }}${{ .name }}${{ end }} ${{ "a" | printf "%s-%s" "b" }} ${{ (previous_step).stdout }}`, ""},
		{step, `${{ range $i, $f := previous_step.added_files }}${{ $i }}${{ $f }}${{ end }}`, ""},
		{step, `${{ range outputs.version }}${{ .name }}${{ end }}`, ""},
		{step, "no expression", ""},
	} {
		text, err := template.Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		err = text.Check(c.place, []string{"version"})
		var fault *template.SyntaxError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.text, err)
		case c.want != "" && (!errors.As(err, &fault) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.text, err, c.want)
		}
	}
}

func TestUsesAndStatic(t *testing.T) {
	for _, c := range []struct {
		text   string
		prefix []string
		want   bool
	}{
		{"x", []string{"previous_step"}, false},
		{"${{ previous_step.stdout }}", []string{"previous_step", "stdout"}, true},
		{"${{ previous_step.stdout }}", []string{"previous_step"}, true},
		{"${{ previous_step.stdout }}", []string{"previous_step", "stderr"}, false},
		{`${{ index previous_step "stdout" }}`, []string{"previous_step", "stdout"}, true},
		{"${{ $p := previous_step }}${{ $p.stdout }}", []string{"previous_step", "stdout"}, true},
		{"${{ if (eq repository.name (join_if previous_step.stdout)) }}${{ end }}", []string{"previous_step", "stdout"}, true},
		{"${{ with (previous_step).stderr }}${{ else }}${{ end }}", []string{"previous_step", "stdout"}, true},
		{"${{ range steps.added_files }}${{ outputs.x.y }}${{ end }}", []string{"outputs", "x"}, true},
	} {
		text, err := template.Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got := text.Uses(c.prefix...); got != c.want {
			t.Errorf("%s uses %v: %v", c.text, c.prefix, got)
		}
		if text.Static() != (c.text == "x") {
			t.Errorf("%s: static %v", c.text, text.Static())
		}
	}
}

func TestPartial(t *testing.T) {
	for _, c := range []struct {
		text, want string
		known      bool
	}{
		{"true", "true", true},
		{`${{ eq repository.name "github.com/a/b" }}`, "true", true},
		{`${{ matches repository.name "x*" }}`, "false", true},
		{`${{ batch_change.name }} ${{ steps.path }}`, "tidy x", true},
		{`${{ and (eq repository.name "x") (eq previous_step.stdout "y") }}`, "false", true},
		{`${{ or (eq steps.path "x") outputs.none }}`, "true", true},
		{`${{ if eq steps.path "x" }}a${{ else }}${{ outputs.none }}${{ end }}`, "a", true},
		{`${{ and (eq steps.path "x") (eq previous_step.stdout "y") }}`, "", false},
		{`${{ eq outputs.text "t" }}`, "", false},
		{`${{ steps.modified_files }}`, "", false},
		{`${{ len steps }}`, "", false},
		{`${{ step.stdout }}`, "", false},
		{`${{ index repository.search_result_paths 7 }}`, "", false},
	} {
		text, err := template.Parse(c.text)
		if err != nil {
			t.Fatal(err)
		}
		if got, known := text.Partial(scope(template.PlaceStep)); got != c.want || known != c.known {
			t.Errorf("%s: got %q %v, want %q %v", c.text, got, known, c.want, c.known)
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, s := range []string{
		"${{ repository.name }}", `${{ join (split "a" "") previous_step.stdout | printf "%5s" }}`, "${{ range $i, $x := outputs.map.list }}${{ if $i }}${{ break }}${{ end }}${{ end }}",
		"${{ with $x := step }}${{ .stdout }}${{ else with outputs }}${{ index . \"map\" }}${{ end }}", "${{- /* */ -}}${{ range 3 }}${{ slice outputs.map.list 0 . }}${{ end }}", "${{ html . | js | urlquery }}${{ eq 1.0 'a' 0x1p-2 3i }}", "${{ call nil }}${{ not (and) }}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := template.Parse(s)
		if err != nil {
			var fault *template.SyntaxError
			if !errors.As(err, &fault) || fault.Line < 1 || fault.Column < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		text.Uses("previous_step", "stdout")
		_ = text.Check(template.PlaceOutput, []string{"map"})
		text.Partial(scope(template.PlaceStep))
		sc := scope(template.PlaceOutput)
		sc.Step = sc.Previous
		out, err := text.Render(t.Context(), sc)
		if len(out) > template.MaxText || err != nil && (out != "" || strings.Contains(err.Error(), "unexpected: ")) {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
	})
}
