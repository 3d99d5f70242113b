package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
)

const batchExitCodes = `
Exit codes: 0 all went well, 1 some workspaces failed or the request was refused,
2 the spec or the usage is wrong, 130 canceled.`

func (a *app) batchCommand() *cobra.Command {
	r := &remote{}
	cmd := parent("batch", "Batch changes: one tool over many repositories, to reviewed diffs and published branches",
		a.batchNewCommand(), a.batchValidateCommand(), a.batchPlanCommand(), a.batchPreviewCommand(r), a.batchApplyCommand(r),
		a.batchListCommand(r), a.batchShowCommand(r), a.batchPublishCommand(r), a.batchRetryCommand(r), a.batchCancelCommand(r), a.batchCloseCommand(r))
	cmd.Aliases = []string{"batches"}
	cmd.Long = `A batch change runs the steps of a batch spec over many repositories, each in a sandbox
of its own, and collects what they changed. "preview" does it here, with no server, and
leaves patches. With --server executors do it, and "apply" publishes branches and
pull requests.`
	cmd.Example = `  glovebox batch new spec.yaml
  glovebox batch validate spec.yaml
  glovebox batch preview spec.yaml --repos-dir ~/src -o patches
  git -C ~/src/app apply --index $PWD/patches/app.patch
  glovebox batch apply spec.yaml --server https://glovebox.example.org`
	r.addFlags(cmd)
	return cmd
}

// readBatchSpec reads and checks a spec; "-" is stdin. Its folder is where mounts are taken from.
func (a *app) readBatchSpec(name string) (spec *batch.Spec, text []byte, dir string, err error) {
	if spec, text, dir, err = a.parseBatchSpec(name); err != nil {
		return nil, nil, "", specError(name, err)
	}
	return spec, text, dir, nil
}

// parseBatchSpec is readBatchSpec with the problems of the text as they are.
func (a *app) parseBatchSpec(name string) (spec *batch.Spec, text []byte, dir string, err error) {
	in, dir := a.in, "."
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, nil, "", withHint(usageErrorf("read batch spec: %w", err), "glovebox batch new writes one to begin with")
		}
		defer f.Close()
		in, dir = f, filepath.Dir(name)
	}
	text, err = io.ReadAll(io.LimitReader(in, maxBatchSpec+1))
	if err != nil {
		return nil, nil, "", usageErrorf("read batch spec: %w", err)
	}
	spec, warnings, err := batch.Parse(text, batch.ParseOptions{Dir: dir})
	if err != nil {
		return nil, nil, "", err
	}
	for _, w := range warnings {
		fmt.Fprintf(a.err, "%s:%d:%d: warning: %s\n", visible(specName(name)), w.Line, w.Column, visible(strings.TrimPrefix(w.Path+": "+w.Message, ": ")))
	}
	return spec, text, dir, nil
}

// maxBatchSpec is what batch.Parse reads at most; it refuses more with a text of its own.
const maxBatchSpec = 4 << 20

func specName(name string) string {
	if name == "-" {
		return "stdin"
	}
	return name
}

// specError is fileError with the hint for batch specs.
func specError(name string, err error) error {
	var invalid *glovebox.ValidationError
	if !errors.As(err, &invalid) {
		return err // it names the file
	}
	err = fileError(name, err)
	var hint *hinted
	if errors.As(err, &hint) {
		hint.hint = "docs/batch-spec.md explains every field; glovebox batch validate --schema prints the schema"
	}
	return err
}

func (a *app) batchNewCommand() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "new [FILE]", Short: "Write a batch spec to begin with", Args: cobra.MaximumNArgs(1),
		Long: `New writes a commented batch spec (batch.yaml unless FILE is named; "-" is stdout). It
never overwrites a file.`,
		Example: "  glovebox batch new\n  glovebox batch new --name go-any any.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "batch.yaml"
			if len(args) == 1 {
				file = args[0]
			}
			text := batch.Sample(name, gitConfig("user.name"), gitConfig("user.email"))
			if file == "-" {
				_, err := a.out.Write(text)
				return err
			}
			f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
			if errors.Is(err, os.ErrExist) {
				return withHint(fmt.Errorf("%s exists already", visible(file)), "name another file")
			}
			if err != nil {
				return fmt.Errorf("write batch spec: %w", err)
			}
			_, err = f.Write(text)
			if err = errors.Join(err, f.Close()); err != nil {
				return fmt.Errorf("write batch spec: %w", err)
			}
			fmt.Fprintf(a.err, "wrote %s; try it with: glovebox batch preview %s --repos-dir DIR\n", visible(file), visible(file))
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "name", "my-batch-change", "the batch change's `name`")
	return cmd
}

// gitConfig reads the user's own git configuration; empty where there is none.
func gitConfig(key string) string {
	out, err := exec.Command("git", "config", "--global", "--get", key).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (a *app) batchValidateCommand() *cobra.Command {
	var schema, asJSON bool
	cmd := &cobra.Command{
		Use: "validate FILE…", Short: "Check batch specs, templates too; run nothing",
		Long: `Validate checks batch specs ("-" is stdin): their shape, the files that they mount, and
every template. What is wrong is told with line and column.
` + batchExitCodes,
		Example: "  glovebox batch validate spec.yaml\n  glovebox batch validate --schema > batch.schema.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if schema {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.MinimumNArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if schema {
				_, err := a.out.Write(batch.Schema())
				return err
			}
			var faults []error
			for _, name := range args {
				spec, _, _, err := a.parseBatchSpec(name)
				switch {
				case asJSON:
					if perr := a.printLine(validated(name, err)); perr != nil {
						return perr
					}
				case err == nil:
					fmt.Fprintf(a.err, "%s: %s is right\n", visible(specName(name)), spec.Name)
				}
				if err != nil {
					faults = append(faults, specError(name, err))
				}
			}
			if asJSON && len(faults) > 0 {
				return &exitError{code: exitUsage}
			}
			if len(faults) == 1 {
				return faults[0]
			}
			return joinUsage(faults)
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of batch specs, for editors")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document a line for each file, with its problems")
	return cmd
}

func joinUsage(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	return &exitError{code: exitUsage, err: errors.Join(faults...)}
}

// validated is what "validate --json" prints of one file.
func validated(name string, err error) any {
	v := struct {
		File     string             `json:"file"`
		OK       bool               `json:"ok"`
		Problems []glovebox.Problem `json:"problems,omitempty"`
	}{File: name, OK: err == nil}
	var invalid *glovebox.ValidationError
	if errors.As(err, &invalid) {
		v.Problems = invalid.Problems
	} else if err != nil {
		v.Problems = []glovebox.Problem{{Message: err.Error()}}
	}
	return v
}
