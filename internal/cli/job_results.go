package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
)

func (a *app) jobDiffCommand(r *remote) *cobra.Command {
	return a.jobAction(r, &cobra.Command{
		Use: "diff ID", Short: "Print what a job's steps changed, for git apply --index",
		Long:    "Diff prints the job's diff byte for byte; on a terminal it is coloured and made safe to show.",
		Example: "  glovebox job diff ID\n  glovebox job diff ID | git apply --index",
	}, func(cmd *cobra.Command, c *api.Client, id string) error {
		body, err := c.JobDiff(cmd.Context(), id)
		if err != nil {
			return fmt.Errorf("read diff of job %s: %w", id, err)
		}
		defer body.Close()
		if err := a.printDiff(body); err != nil {
			return fmt.Errorf("read diff of job %s: %w", id, err)
		}
		return nil
	})
}

// printDiff copies a diff to stdout: as it is, or, on a terminal, coloured and safe to show.
func (a *app) printDiff(r io.Reader) error {
	if !a.outTerm {
		_, err := io.Copy(a.out, r)
		return err
	}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			fmt.Fprintln(a.out, a.paint(diffColor(line), visible(strings.TrimRight(line, "\r\n"))))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func diffColor(line string) string {
	switch {
	case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "index "), strings.HasPrefix(line, "--- "), strings.HasPrefix(line, "+++ "):
		return bold
	case strings.HasPrefix(line, "@@"):
		return blue
	case strings.HasPrefix(line, "+"):
		return green
	case strings.HasPrefix(line, "-"):
		return red
	}
	return ""
}

func (a *app) jobOutputsCommand(r *remote) *cobra.Command {
	var dir string
	var asJSON bool
	cmd := a.jobAction(r, &cobra.Command{
		Use: "outputs ID", Short: "List the files that a job kept, or download them",
		Example: "  glovebox job outputs ID\n  glovebox job outputs ID -o results/",
	}, func(cmd *cobra.Command, c *api.Client, id string) error {
		outputs, err := c.JobOutputs(cmd.Context(), id)
		if err != nil {
			return fmt.Errorf("list outputs of job %s: %w", id, err)
		}
		if dir != "" {
			if err := a.downloadOutputs(cmd.Context(), c, id, outputs, dir); err != nil {
				return err
			}
		}
		if asJSON {
			return printJSON(a.out, outputs)
		}
		t := a.table("NAME", "SIZE", "SHA256")
		for _, o := range outputs {
			t.add(o.Name, humanize.IBytes(uint64(max(0, o.Size))), o.SHA256)
		}
		return t.print("the job kept no files")
	})
	cmd.Flags().StringVarP(&dir, "output-dir", "o", "", "download the files beneath this `folder`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func (a *app) downloadOutputs(ctx context.Context, c *api.Client, id string, outputs []glovebox.Output, dir string) error {
	return writeOutputs(dir, outputs, func(o glovebox.Output) (io.ReadCloser, error) { return c.JobOutput(ctx, id, o.Name) })
}

// writeOutputs writes files beneath dir. Their names came from a sandbox: none
// leads out of dir, through links neither.
func writeOutputs(dir string, outputs []glovebox.Output, open func(glovebox.Output) (io.ReadCloser, error)) error {
	if len(outputs) == 0 {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make output folder: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("open output folder: %w", err)
	}
	defer root.Close()
	for _, o := range outputs {
		if err := writeOutput(root, o, open); err != nil {
			return fmt.Errorf("write output %s: %w", visible(o.Name), err)
		}
	}
	return nil
}

func writeOutput(root *os.Root, o glovebox.Output, open func(glovebox.Output) (io.ReadCloser, error)) error {
	name := filepath.FromSlash(o.Name)
	if !filepath.IsLocal(name) {
		return errors.New("the name leads out of the folder")
	}
	if parent := path.Dir(o.Name); parent != "." {
		if err := root.MkdirAll(filepath.FromSlash(parent), 0o755); err != nil {
			return err
		}
	}
	body, err := open(o)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, body)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil && n != o.Size {
		err = fmt.Errorf("got %d bytes of %d", n, o.Size)
	}
	return err
}
