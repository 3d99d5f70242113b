package main

import (
	_ "embed"
	"encoding/json"
	"runtime"
	"runtime/debug"
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	sentryfilter "gvisor.dev/gvisor/runsc/boot/filter"
	goferfilter "gvisor.dev/gvisor/runsc/fsgofer/filter"
)

// seccompJSON holds the seccomp programs of gVisor's sentry and gofers for the options
// that we start them with. gVisor's own build embeds such programs; as a Go module it comes
// without and compiles them from its rules in each process, which takes tens of milliseconds.
// scripts/seccomp makes the file with gVisor's generator, and make test holds it to the linked
// version's rules.
//
//go:embed seccomp.json
var seccompJSON []byte

// seccompFile is the content of seccomp.json.
type seccompFile struct {
	// Version is gVisor's: programs of another one are not used.
	Version       string
	Gofer, Sentry []precompiledseccomp.Program
}

// gVisor looks its embedded programs up in these; it has no function to add to them.
//
//go:linkname goferPrograms gvisor.dev/gvisor/runsc/fsgofer/filter.precompiledPrograms
var goferPrograms map[string]precompiledseccomp.Program

//go:linkname sentryPrograms gvisor.dev/gvisor/runsc/boot/filter.precompiledPrograms
var sentryPrograms map[string]precompiledseccomp.Program

// useSeccompPrograms gives gVisor its programs. What does not fit, be it the version
// or the options in a program's key, is left to gVisor to compile, as without them.
func useSeccompPrograms() {
	if runtime.GOARCH != "amd64" {
		return
	}
	var file seccompFile
	if err := json.Unmarshal(seccompJSON, &file); err != nil || file.Version != gvisorVersion() {
		return
	}
	goferfilter.GetPrecompiled("") // the first call makes the maps
	sentryfilter.GetPrecompiled("")
	for _, p := range file.Gofer {
		goferPrograms[p.Name] = p
	}
	for _, p := range file.Sentry {
		sentryPrograms[p.Name] = p
	}
}

// gvisorVersion is the version of the linked gVisor.
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
