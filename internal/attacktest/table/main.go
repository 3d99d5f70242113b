// Command table prints the attacks that tests wrote down, and fails when one did not come to what was expected or
// when docs/threat-model.md names an attack that no test made.
//
//	go run ./internal/attacktest/table ROWS [docs/threat-model.md]
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/glovebox-dev/glovebox/internal/attacktest"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: table ROWS [THREAT-MODEL]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "attacks:", err)
		os.Exit(1)
	}
}

func run(path string, documents []string) error {
	rows, err := read(path)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ATTACK\tON\tEXPECTED\tSEEN")
	made, bad := map[string]bool{}, 0
	for _, r := range rows {
		made[r.Attack] = true
		mark := ""
		if r.Seen != r.Expected {
			bad++
			mark = "  <-- " + r.Test
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s%s\n", r.Attack, r.Runtime, r.Expected, r.Seen, mark)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Printf("%d attacks, %d not as expected\n", len(rows), bad)
	if len(documents) > 0 && len(rows) == 0 {
		return errors.New("no test wrote an attack down")
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d did not come to what was expected", bad, len(rows))
	}
	for _, document := range documents {
		names, err := named(document)
		if err != nil {
			return err
		}
		var missing []string
		for _, name := range names {
			if !made[name] {
				missing = append(missing, name)
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("%s names attacks that no test made:\n  %s", document, strings.Join(missing, "\n  "))
		}
	}
	return nil
}

// read returns the rows, sorted, the ones said twice once.
func read(path string) ([]attacktest.Row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var rows []attacktest.Row
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r attacktest.Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		rows = append(rows, r)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b attacktest.Row) int {
		return cmp.Or(cmp.Compare(a.Attack, b.Attack), cmp.Compare(a.Runtime, b.Runtime), cmp.Compare(a.Seen, b.Seen))
	})
	return slices.CompactFunc(rows, func(a, b attacktest.Row) bool {
		a.Test, b.Test = "", ""
		return a == b
	}), nil
}

// named returns the attacks that a document names in bold code: **`name`**.
func named(document string) ([]string, error) {
	text, err := os.ReadFile(document)
	if err != nil {
		return nil, err
	}
	bold := regexp.MustCompile("\\*\\*`([^`]+)`\\*\\*")
	var names []string
	for _, m := range bold.FindAllStringSubmatch(string(text), -1) {
		names = append(names, m[1])
	}
	return names, nil
}
