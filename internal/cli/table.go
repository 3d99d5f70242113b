package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
)

// table prints aligned columns on a terminal and tab-separated ones, with no
// header, elsewhere: a script cuts them at tabs.
type table struct {
	a      *app
	header []string
	rows   [][]string
}

func (a *app) table(header ...string) *table { return &table{a: a, header: header} }

// add appends a row; its cells may hold texts from outside.
func (t *table) add(cells ...string) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = visible(strings.ReplaceAll(c, "\t", " "))
	}
	t.rows = append(t.rows, row)
}

// print writes the table. empty is said on a terminal when there is no row.
func (t *table) print(empty string) error {
	if !t.a.outTerm {
		for _, row := range t.rows {
			if _, err := fmt.Fprintln(t.a.out, strings.Join(row, "\t")); err != nil {
				return err
			}
		}
		return nil
	}
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(t.a.out, empty)
		return err
	}
	widths := make([]int, len(t.header))
	for _, row := range append([][]string{t.header}, t.rows...) {
		for i, c := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	line := func(row []string, header bool) error {
		var b strings.Builder
		for i, c := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+2)
			if header {
				c = t.a.paint(dim, c)
			} else {
				c = t.a.paint(stateColor(c), c)
			}
			b.WriteString(c)
			if i < len(row)-1 {
				b.WriteString(pad)
			}
		}
		_, err := fmt.Fprintln(t.a.out, b.String())
		return err
	}
	if err := line(t.header, true); err != nil {
		return err
	}
	for _, row := range t.rows {
		if err := line(row, false); err != nil {
			return err
		}
	}
	return nil
}

// printJSON writes one indented document.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// age writes how long ago t was.
func age(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return short(time.Since(t)) + " ago"
}

// short writes a duration in its largest unit or two.
func short(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return glovebox.Duration(d.Round(time.Second)).String()
	case d < 48*time.Hour:
		return glovebox.Duration(d.Round(time.Minute)).String()
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// orDash shows that there is nothing.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// jsonBytes encodes v in one line, without HTML escapes.
func jsonBytes(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
