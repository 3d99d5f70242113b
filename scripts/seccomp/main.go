// Command seccomp makes cmd/glovebox/seccomp.json, the seccomp programs of gVisor's sentry and
// gofers, with gVisor's own generator from the rules of the version in go.mod; with -check it compares
// instead. It is a program and no test, so that "go test ./..." need not compile gVisor.
//
//	CGO_ENABLED=0 go run ./scripts/seccomp          after an upgrade of gVisor
//	CGO_ENABLED=0 go run ./scripts/seccomp -check   what make test does
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	sentry "gvisor.dev/gvisor/runsc/boot/filter/config"
	gofer "gvisor.dev/gvisor/runsc/fsgofer/filter/config"
)

const path = "cmd/glovebox/seccomp.json"

func main() {
	check := flag.Bool("check", false, "compare "+path+" with what would be written")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "seccomp:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	made, err := generate()
	if err != nil {
		return err
	}
	if !check {
		return os.WriteFile(path, made, 0o644)
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Equal(kept, made) {
		return errors.New(path + " is not what gVisor's generator makes of the linked version's rules: run go run ./scripts/seccomp")
	}
	fmt.Println("ok", path)
	return nil
}

// generate returns the file's content: the programs for the options that we start gVisor with.
func generate() ([]byte, error) {
	forGofer, err := gofer.PrecompiledPrograms()
	if err != nil {
		return nil, err
	}
	forSentry, err := sentry.PrecompiledPrograms()
	if err != nil {
		return nil, err
	}
	var file struct {
		Version       string
		Gofer, Sentry []precompiledseccomp.Program
	}
	file.Version = gvisorVersion()
	file.Gofer = choose(forGofer, "UDSOpenEnabled=false UDSCreateEnabled=false", "DirectFS=true", "Instrumentation=false", "CgoEnabled=false")
	file.Sentry = choose(forSentry, `Platform="systrap"`, "HostNetwork=false", "HostFilesystem=true", "Instrumentation=false",
		"NVProxy=false", "TPUProxy=false", "RDMAProxy=false", "CgoEnabled=false")
	if file.Version == "" || len(file.Gofer) != 2 || len(file.Sentry) != 1 {
		return nil, fmt.Errorf("gVisor %q has %d programs for our gofers and %d for our sentry, want 2 (with and without lisafs) and 1",
			file.Version, len(file.Gofer), len(file.Sentry))
	}
	if err := ownPID(&file.Sentry[0], uint32(os.Getpid())); err != nil {
		return nil, err
	}
	text, err := json.Marshal(file)
	return append(text, '\n'), err
}

// ownPID puts right the one rule that gVisor writes with the generator's own process ID where it
// means the sentry's (rt_tgsigqueueinfo to itself): the sentry is process 1 of its namespace.
func ownPID(p *precompiledseccomp.Program, generator uint32) error {
	at := -1
	for i, k := range p.Bytecode32 {
		if k == generator {
			if at >= 0 {
				return fmt.Errorf("the process ID %d is also another number in the program: run it again", generator)
			}
			at = i
		}
	}
	if at < 0 {
		return errors.New("the sentry's program no longer holds the generator's process ID: ownPID can go")
	}
	p.Bytecode32[at] = 1
	return nil
}

func gvisorVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "gvisor.dev/gvisor" {
			return m.Version + " " + m.Sum
		}
	}
	return ""
}

// choose picks the programs whose keys hold all parts.
func choose(programs []precompiledseccomp.Program, parts ...string) []precompiledseccomp.Program {
	var chosen []precompiledseccomp.Program
next:
	for _, p := range programs {
		for _, part := range parts {
			if !strings.Contains(p.Name, part) {
				continue next
			}
		}
		chosen = append(chosen, p)
	}
	return chosen
}
