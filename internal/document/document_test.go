package document_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/glovebox-dev/glovebox/internal/document"
)

const schema = `{"type": "object", "additionalProperties": false, "properties": {
	"text": {"type": "string"}, "number": {"type": "number"}, "both": {"type": ["string", "integer"]}, "in": {"type": "object", "additionalProperties": {"type": "string"}}}}`

func load(t *testing.T, merge bool, text string) (*document.Document, error) {
	t.Helper()
	s, err := document.LoadSchema([]byte(schema))
	if err != nil {
		t.Fatal(err)
	}
	return (&document.Format{Noun: "letter", Smallest: "{}", Schema: s, Merge: merge}).Load([]byte(text))
}

// TestMerge: a mapping's own fields stand before those of "<<", the first of those before later ones.
func TestMerge(t *testing.T) {
	text := "in: {a: &a {x: 1, y: 2}, b: &b {y: 3, z: 4}, c: {y: 9, <<: [*a, *b]}, d: {<<: *b}}\n"
	d, err := load(t, true, text)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ In map[string]map[string]int }
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	one := map[string]int{"x": 1, "y": 9, "z": 4}
	if diff := cmp.Diff(one, got.In["c"]); diff != "" || got.In["d"]["y"] != 3 {
		t.Errorf("%s %v", diff, got.In)
	}
	if _, err := load(t, false, text); err == nil || !strings.Contains(err.Error(), "merge keys") {
		t.Errorf("merge keys where they are not allowed: %v", err)
	}
	if _, err := load(t, true, "in: {<<: x}"); err == nil || !strings.Contains(err.Error(), "is not a mapping") {
		t.Errorf("merged text: %v", err)
	}
}

// TestPositionIn: a place in a text is found in the document, however the text is quoted there.
func TestPositionIn(t *testing.T) {
	for _, c := range []struct {
		name, source, path string
		line, column       int
	}{
		{"plain", "text: a @one b @two", "text", 1, 16},
		{"quoted", `{"number": 1, "text": "ü \" @one\n @two"}`, "text", 1, 36},
		{"single", "text: 'it''s @one\n\n   @two'", "text", 3, 4},
		{"literal", "text: |2-\n\n    @one\n   \n   x @two\n", "text", 5, 6},
		{"folded", "text: >\n  @one\n  @two\n", "text", 3, 3},
		{"an alias", "in: {a: &a '@one @two', b: *a}", "in.b", 1, 18},
		{"not in the text", "in: {a: x}", "in.a", 1, 6},
		{"escaped away", `text: "\u0040one \u0040two"`, "text", 1, 1},
	} {
		d, err := load(t, false, c.source)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		value := "@one\n @two"
		if line, column := d.PositionIn(c.path, value, "@", strings.LastIndex(value, "@")); line != c.line || column != c.column {
			t.Errorf("%s: %d:%d, want %d:%d", c.name, line, column, c.line, c.column)
		}
	}
}

// TestHostileKeys: what a key is called reaches messages without control characters.
func TestHostileKeys(t *testing.T) {
	d, err := load(t, false, `{"a\u001b[2J`+strings.Repeat("x", 5000)+`": 1}`)
	if err != nil {
		t.Fatal(err)
	}
	err = d.Check()
	if err == nil || strings.ContainsRune(err.Error(), 0x1b) || len(err.Error()) > 1000 {
		t.Errorf("%.200q", err)
	}
}
