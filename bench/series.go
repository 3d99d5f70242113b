package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// series are the figures of one variant.
type series struct {
	name    string
	figures []float64
}

func (s series) minimum() float64 { return slices.Min(s.figures) }
func (s series) maximum() float64 { return slices.Max(s.figures) }

func (s series) median() float64 {
	sorted := slices.Sorted(slices.Values(s.figures))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// variant is one way to do the measured thing; run returns its figure.
type variant struct {
	name string
	run  func(ctx context.Context) (float64, error)
}

// timed makes a variant's run of a function: its figure is wall milliseconds.
func timed(f func(ctx context.Context) error) func(context.Context) (float64, error) {
	return func(ctx context.Context) (float64, error) {
		start := time.Now()
		err := f(ctx)
		return float64(time.Since(start).Microseconds()) / 1000, err
	}
}

// takeTurns runs each variant once uncounted, then runs times in turn.
func takeTurns(ctx context.Context, runs int, variants []variant) ([]series, error) {
	result := make([]series, len(variants))
	for round := -1; round < runs; round++ {
		for i, v := range variants {
			figure, err := v.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", v.name, err)
			}
			result[i].name = v.name
			if round >= 0 {
				result[i].figures = append(result[i].figures, figure)
			}
		}
	}
	return result, nil
}

// print writes one table; the first series is the floor that ratios refer to.
func print(title string, all []series) {
	fmt.Printf("\n%s\n", title)
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  variant\tminimum\tmedian\tmaximum\tratio to the first\truns")
	for _, s := range all {
		fmt.Fprintf(w, "  %s\t%.1f\t%.1f\t%.1f\t%.2f\t%d\n",
			s.name, s.minimum(), s.median(), s.maximum(), s.median()/all[0].median(), len(s.figures))
	}
	w.Flush()
}
