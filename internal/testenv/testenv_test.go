package testenv_test

import (
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// recorder stands for a test that asks: it keeps how it was ended.
type recorder struct {
	testing.TB
	outcome string
}

func (r *recorder) Helper() {}
func (r *recorder) Skipf(format string, args ...any) {
	r.outcome = "skip"
	runtime.Goexit()
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.outcome = "fail"
	runtime.Goexit()
}

// ask runs f as a test and returns how it ended: "", "skip" or "fail".
func ask(f func(testing.TB)) string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return r.outcome
}

func TestMissingIsSkippedOrFailsWhenRequired(t *testing.T) {
	asks := map[string]func(testing.TB){
		testenv.NameGvisor:   func(t testing.TB) { testenv.Gvisor(t) },
		testenv.NameDocker:   testenv.Docker,
		testenv.NameChromium: func(t testing.TB) { testenv.Chromium(t) },
		testenv.NameGitea:    func(t testing.TB) { testenv.Gitea(t) },
	}
	for name, f := range asks {
		t.Setenv("GLOVEBOX_TEST_"+strings.ToUpper(name), "")
		t.Setenv("GLOVEBOX_TEST_REQUIRE", "")
		if got := ask(f); got != "skip" {
			t.Errorf("%s not there, not required: %q, want skip", name, got)
		}
		t.Setenv("GLOVEBOX_TEST_REQUIRE", "other, "+name)
		if got := ask(f); got != "fail" {
			t.Errorf("%s not there, required: %q, want fail", name, got)
		}
	}
}

func TestBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GLOVEBOX_TEST_GVISOR", self)
	if got := testenv.Gvisor(t); got != self {
		t.Errorf("Gvisor() = %s, want %s", got, self)
	}
	t.Setenv("GLOVEBOX_TEST_GVISOR", self+".missing")
	if got := ask(func(t testing.TB) { testenv.Gvisor(t) }); got != "fail" {
		t.Errorf("a path that leads nowhere: %q, want fail", got)
	}
}
