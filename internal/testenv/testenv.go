// Package testenv says which real things a test may use. A test that needs one
// asks for it here: without it the test is skipped with one line that names the
// variable to set, or fails when the name is in GLOVEBOX_TEST_REQUIRE, so that
// "make test" can't pass with a tier left out. It must not start anything.
package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Names of what GLOVEBOX_TEST_REQUIRE may list, comma-separated.
const (
	NameGvisor   = "gvisor"
	NameDocker   = "docker"
	NameChromium = "chromium"
	NameRoot     = "root"
	NameGitea    = "gitea"
)

// Gvisor returns the path of a built glovebox binary, which is a complete runsc.
func Gvisor(t testing.TB) string {
	t.Helper()
	return binary(t, NameGvisor, "GLOVEBOX_TEST_GVISOR", "a built glovebox binary (make build)")
}

// Chromium returns the path of a Chromium that can run headless.
func Chromium(t testing.TB) string {
	t.Helper()
	return binary(t, NameChromium, "GLOVEBOX_TEST_CHROMIUM", "a Chromium binary")
}

// Gitea returns the path of a Gitea that scripts/gitea.sh built.
func Gitea(t testing.TB) string {
	t.Helper()
	return binary(t, NameGitea, "GLOVEBOX_TEST_GITEA", "a Gitea binary (scripts/gitea.sh builds one)")
}

// Docker returns when a Docker daemon may be used; DOCKER_HOST says which.
func Docker(t testing.TB) {
	t.Helper()
	if os.Getenv("GLOVEBOX_TEST_DOCKER") == "" {
		miss(t, NameDocker, "set GLOVEBOX_TEST_DOCKER=1, with DOCKER_HOST if the daemon is not at its usual place")
	}
}

// Root returns when the test runs as root and may mount, make network
// namespaces and the like. It needs no variable: being root is leave enough for
// what a test cleans up.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		miss(t, NameRoot, "run the tests as root")
	}
}

// binary returns the absolute path of the program that a variable names.
func binary(t testing.TB, name, variable, what string) string {
	t.Helper()
	value := os.Getenv(variable)
	if value == "" {
		miss(t, name, "set "+variable+" to "+what)
	}
	path, err := exec.LookPath(value)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		t.Fatalf("%s=%s: %v", variable, value, err)
	}
	return path
}

// miss skips the test, or fails it when what it lacks was required.
func miss(t testing.TB, name, how string) {
	t.Helper()
	if Required(name) {
		t.Fatalf("%s is in GLOVEBOX_TEST_REQUIRE but is not there: %s", name, how)
	}
	t.Skipf("needs %s: %s", name, how)
}

// Required reports whether GLOVEBOX_TEST_REQUIRE lists the name.
func Required(name string) bool {
	for _, n := range strings.Split(os.Getenv("GLOVEBOX_TEST_REQUIRE"), ",") {
		if strings.TrimSpace(n) == name {
			return true
		}
	}
	return false
}
