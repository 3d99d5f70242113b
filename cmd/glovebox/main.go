// Command glovebox is the one binary: server, executor and command line.
// Executed again under the name runsc, or as /proc/self/exe, it is gVisor, which is linked in.
package main

import (
	"os"
	"path/filepath"
	"strings"

	"gvisor.dev/gvisor/runsc/cli/maincli"

	"github.com/glovebox-dev/glovebox/internal/cli"
)

func main() {
	name := filepath.Base(os.Args[0])
	if strings.HasPrefix(name, "runsc") || os.Args[0] == "/proc/self/exe" {
		if name == "runsc-gofer" || name == "runsc-sandbox" {
			useSeccompPrograms()
		}
		maincli.Main()
		return
	}
	os.Exit(cli.Main(cli.Options{}))
}
