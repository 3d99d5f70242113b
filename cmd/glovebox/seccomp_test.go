package main

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	sentry "gvisor.dev/gvisor/runsc/boot/filter/config"
	gofer "gvisor.dev/gvisor/runsc/fsgofer/filter/config"

	"github.com/glovebox-dev/glovebox/internal/testenv"
)

var update = flag.Bool("update", false, "write seccomp.json anew")

// TestSeccompVersion fails after an upgrade of gVisor until seccomp.json is made anew:
//
//	CGO_ENABLED=0 GLOVEBOX_TEST_GVISOR=bin/glovebox go test ./cmd/glovebox -update
func TestSeccompVersion(t *testing.T) {
	if *update {
		t.Skip("seccomp.json is being made")
	}
	var file seccompFile
	if err := json.Unmarshal(seccompJSON, &file); err != nil {
		t.Fatal(err)
	}
	if want := gvisorVersion(); want == "" || file.Version != want {
		t.Errorf("seccomp.json is of gVisor %q, linked is %q: make it anew as said above", file.Version, want)
	}
}

// TestSeccompPrograms holds seccomp.json to what gVisor's own generator makes of the
// linked version's rules, which takes it a minute.
func TestSeccompPrograms(t *testing.T) {
	testenv.Gvisor(t)
	forGofer, err := gofer.PrecompiledPrograms()
	if err != nil {
		t.Fatal(err)
	}
	forSentry, err := sentry.PrecompiledPrograms()
	if err != nil {
		t.Fatal(err)
	}
	want := seccompFile{
		Version: gvisorVersion(),
		Gofer:   choose(forGofer, "UDSOpenEnabled=false UDSCreateEnabled=false", "DirectFS=true", "Instrumentation=false", "CgoEnabled=false"),
		Sentry:  choose(forSentry, `Platform="systrap"`, "HostNetwork=false", "HostFilesystem=true", "Instrumentation=false", "NVProxy=false", "TPUProxy=false", "RDMAProxy=false", "CgoEnabled=false"),
	}
	if len(want.Gofer) != 2 || len(want.Sentry) != 1 {
		t.Fatalf("gVisor has %d programs for our gofers and %d for our sentry, want 2 (with and without lisafs) and 1", len(want.Gofer), len(want.Sentry))
	}
	if *update {
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("seccomp.json", append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	var got seccompFile
	if err := json.Unmarshal(seccompJSON, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("seccomp.json is not of this gVisor (-want +got); make it anew with -update:\n%.2000s", diff)
	}
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
