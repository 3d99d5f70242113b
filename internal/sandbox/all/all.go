// Package all lists the runtimes by the names that users write. It is the one place
// that knows them all; a new runtime is a folder and a line here.
package all

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox/internal/egress"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/docker"
	"github.com/glovebox-dev/glovebox/internal/sandbox/gvisor"
)

// Options is what the runtimes need from outside.
type Options struct {
	// Runsc is the program to execute as runsc; this very program when empty.
	Runsc string
	// Dir is a folder that the runtimes keep their own files in.
	Dir    string
	Logger *slog.Logger
}

// runtimes maps names to constructors, the default runtime first.
func runtimes() []entry {
	return []entry{
		{"gvisor", func(o Options) (sandbox.Runtime, error) {
			return gvisor.New(gvisor.Options{Exe: o.Runsc, Logger: o.Logger}), nil
		}},
		{"docker", func(o Options) (sandbox.Runtime, error) {
			return docker.New(docker.Options{Guard: egress.Guard, ResolvConf: egress.ResolvConf, Logger: o.Logger})
		}},
	}
}

type entry struct {
	name string
	make func(Options) (sandbox.Runtime, error)
}

// Names lists the runtimes, the default first.
func Names() []string {
	var names []string
	for _, e := range runtimes() {
		names = append(names, e.name)
	}
	return names
}

// New makes the runtime with that name.
func New(name string, o Options) (sandbox.Runtime, error) {
	i := slices.IndexFunc(runtimes(), func(e entry) bool { return e.name == name })
	if i < 0 {
		return nil, fmt.Errorf("runtime %q is not known: want one of %s", name, strings.Join(Names(), ", "))
	}
	return runtimes()[i].make(o)
}
