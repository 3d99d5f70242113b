package cli

import (
	"errors"
	"fmt"
	"os/exec"

	"github.com/spf13/cobra"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// finding is one line of "doctor".
type finding struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Default bool   `json:"default,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Fix     string `json:"fix,omitempty"`
}

func (a *app) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Say which runtimes this host can do, and how to fix those it can't", Args: cobra.NoArgs,
		Long: `Doctor tries every runtime, starting a sandbox where that is the only way to know.

Exit codes: 0 the default runtime works, 1 it does not.`,
		Example: "  glovebox doctor\n  sudo glovebox doctor --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := interruptible(cmd.Context(), errInterrupted)
			defer stop()
			dir, err := dataDir("")
			if err != nil {
				return err
			}
			var findings []finding
			for i, name := range a.runtimeNames() {
				rt, err := a.makeRuntime(name, dir)
				if err == nil {
					err = rt.Check(ctx)
				}
				findings = append(findings, judge(name, err, i == 0))
			}
			findings = append(findings, tool("git", "jobs with a repository need it", "apt-get install git"),
				tool("mkfs.ext4", "the disk limit needs it", "apt-get install e2fsprogs"))
			if asJSON {
				err = printJSON(a.out, findings)
			} else {
				err = a.printFindings(findings)
			}
			if err == nil && !findings[0].OK {
				err = &exitError{code: 1}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func judge(name string, err error, isDefault bool) finding {
	f := finding{Name: name, OK: err == nil, Default: isDefault}
	var check *sandbox.CheckError
	switch {
	case errors.As(err, &check):
		f.Reason, f.Fix = check.Reason, check.Fix
	case err != nil:
		f.Reason = err.Error()
	}
	return f
}

func tool(name, reason, fix string) finding {
	if _, err := exec.LookPath(name); err != nil {
		return finding{Name: name, Reason: "not found; " + reason, Fix: fix}
	}
	return finding{Name: name, OK: true}
}

func (a *app) printFindings(findings []finding) error {
	for _, f := range findings {
		verdict, name := a.paint(green, "ok     "), f.Name
		if !f.OK {
			verdict = a.paint(red, "not ok ")
		}
		if f.Default {
			name += " (default)"
		}
		line := fmt.Sprintf("%s %s", verdict, name)
		if !f.OK {
			line += "\n          why: " + visible(f.Reason)
			if f.Fix != "" {
				line += "\n          fix: " + visible(f.Fix)
			}
		}
		if _, err := fmt.Fprintln(a.out, line); err != nil {
			return err
		}
	}
	return nil
}
