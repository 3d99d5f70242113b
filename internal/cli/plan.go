package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/jobfile"
)

func (a *app) planCommand() *cobra.Command {
	var schema, asJSON bool
	cmd := &cobra.Command{
		Use: "plan FILE", Short: "Check a job file and print the resolved job; run nothing",
		Long: `Plan checks a job file (YAML or JSON, "-" for stdin) and prints the job with
every default filled in. With --schema it prints the JSON Schema of job files.

Exit codes: 0 the file is right, 2 it is not.`,
		Example: "  glovebox plan job.yaml\n  glovebox plan --schema > job.schema.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if schema {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if schema {
				_, err := a.out.Write(jobfile.Schema())
				return err
			}
			file, err := a.readJobFile(args[0])
			if err != nil {
				return err
			}
			spec, err := file.Resolve()
			if err != nil {
				return fileError(args[0], err)
			}
			if asJSON {
				return printJSON(a.out, spec)
			}
			return printYAML(a.out, spec)
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of job files")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the job as JSON rather than YAML")
	return cmd
}

// readJobFile reads and parses a job file; "-" is stdin.
func (a *app) readJobFile(name string) (*jobfile.File, error) {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usageErrorf("read job file: %w", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, jobfile.MaxSize+1))
	if err != nil {
		return nil, usageErrorf("read job file: %w", err)
	}
	file, err := jobfile.Parse(data)
	if err != nil {
		return nil, fileError(name, err)
	}
	return file, nil
}

// fileError names the file in each problem, as compilers do: FILE:LINE:COLUMN: PATH: MESSAGE.
func fileError(name string, err error) error {
	var invalid *glovebox.ValidationError
	if !errors.As(err, &invalid) {
		return fmt.Errorf("%s: %w", name, err)
	}
	if name == "-" {
		name = "stdin"
	}
	var lines []error
	for _, p := range invalid.Problems {
		text := name + ":"
		if p.Line > 0 {
			text += fmt.Sprintf("%d:%d:", p.Line, p.Column)
		}
		if p.Path != "" {
			text += " " + p.Path + ":"
		}
		lines = append(lines, errors.New(text+" "+p.Message))
	}
	return withHint(&exitError{code: exitUsage, err: errors.Join(lines...)}, "docs/job-file.md explains every field; glovebox plan --schema prints the schema")
}

// printYAML writes a value by way of its JSON form, so that field names and units are those of the job file.
func printYAML(w io.Writer, v any) error {
	var node yaml.Node
	data, err := jsonBytes(v)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(data, &node); err != nil {
		return fmt.Errorf("print as YAML: %w", err)
	}
	plain(&node)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&node); err != nil {
		return fmt.Errorf("print as YAML: %w", err)
	}
	return enc.Close()
}

// plain takes JSON's braces and quotes from a tree; the encoder puts back the quotes that are needed.
func plain(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" {
		n.Tag = "!!str"
	}
	n.Style = 0
	for _, c := range n.Content {
		plain(c)
	}
}
