package cli

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version and commit are set by the linker (-X); otherwise they are what the Go toolchain wrote into the binary.
var version, commit string

// buildVersion is what "version" prints.
type buildVersion struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Dirty   bool   `json:"dirty,omitempty"`
	Gvisor  string `json:"gvisor,omitempty"`
	Go      string `json:"go"`
}

// readBuild reads what the Go toolchain wrote into the binary.
func readBuild() buildVersion {
	b := buildVersion{Version: version, Commit: commit}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	b.Go = info.GoVersion
	if b.Version == "" {
		b.Version = info.Main.Version
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "devel"
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			if b.Commit == "" {
				b.Commit = s.Value
			}
		case "vcs.modified":
			b.Dirty = s.Value == "true"
		}
	}
	for _, m := range info.Deps {
		if m.Path == "gvisor.dev/gvisor" {
			b.Gvisor = m.Version
		}
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print version, commit and the version of the gVisor linked in", Args: cobra.NoArgs,
		Example: "  glovebox version\n  glovebox version --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			b := readBuild()
			if asJSON {
				return printJSON(a.out, b)
			}
			from := orDash(b.Commit)
			if b.Dirty {
				from += " (with changes)"
			}
			gvisor := b.Gvisor
			if gvisor == "" {
				gvisor = "not linked in"
			}
			_, err := fmt.Fprintf(a.out, "glovebox %s\ncommit   %s\ngvisor   %s\ngo       %s\n", b.Version, from, gvisor, b.Go)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// builtWithCgo reports whether the binary is linked dynamically: gVisor executes it again
// where no shared library can be found.
func builtWithCgo() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "CGO_ENABLED" {
			return s.Value == "1"
		}
	}
	return false
}
