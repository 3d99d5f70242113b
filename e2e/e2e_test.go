// Package e2e runs scripts against the command line, linked into the test binary
// together with the fake runtime. The scripts in runtime/ also run on each real
// runtime that internal/testenv allows: the fourth tier. See scripts_test.go for their words.
package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/glovebox-dev/glovebox/internal/cli"
	"github.com/glovebox-dev/glovebox/internal/sandbox"
	"github.com/glovebox-dev/glovebox/internal/sandbox/fake"
	"github.com/glovebox-dev/glovebox/internal/testenv"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"glovebox": func() {
			os.Exit(cli.Main(cli.Options{Runtimes: []sandbox.Runtime{&fake.Runtime{}}, Runsc: os.Getenv("GLOVEBOX_TEST_GVISOR")}))
		},
	})
}

// TestScripts runs what does not depend on a runtime.
func TestScripts(t *testing.T) { scripts(t, ".", "fake") }

// TestRuntimeFake, TestRuntimeGvisor and TestRuntimeDocker run the same scripts on each runtime.
func TestRuntimeFake(t *testing.T) { scripts(t, "runtime", "fake") }

func TestRuntimeGvisor(t *testing.T) {
	testenv.Gvisor(t)
	testenv.Root(t)
	scripts(t, "runtime", "gvisor")
}

func TestRuntimeDocker(t *testing.T) {
	testenv.Docker(t)
	testenv.Root(t)
	scripts(t, "runtime", "docker")
}

func scripts(t *testing.T, dir, runtime string) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"GLOVEBOX_TEST_GVISOR", "DOCKER_HOST"} {
				env.Setenv(name, os.Getenv(name))
			}
			env.Setenv("RUNTIME", runtime)
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			for _, name := range []string{"XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"} {
				env.Setenv(name, filepath.Join(env.WorkDir, "home", name))
			}
			env.Setenv("GIT_AUTHOR_NAME", "e2e")
			env.Setenv("GIT_AUTHOR_EMAIL", "e2e@localhost")
			env.Setenv("GIT_COMMITTER_NAME", "e2e")
			env.Setenv("GIT_COMMITTER_EMAIL", "e2e@localhost")
			return os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o700)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":      exits,
			"repository": repository,
			"jobs":       jobs,
			"dev":        dev,
			"setenv":     setenv,
			"eventually": eventually,
			"interrupt":  interrupt,
		},
	})
}
