package executor

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
)

func TestScripts(t *testing.T) {
	long := "echo begin\n" + strings.Repeat("# a comment that makes the script long\n", 10_000) + "echo \"$# $0\"\n"
	tests := []struct {
		step glovebox.Step
		want string
		code int
	}{
		{glovebox.Step{Run: "echo a\nfalse\necho b"}, "a\n", 1},
		{glovebox.Step{Run: "echo a\nfalse\necho b", KeepGoing: true}, "a\nb\n", 0},
		{glovebox.Step{Run: long}, "begin\n0 sh\n", 0},
		{glovebox.Step{Run: long + "false\necho no"}, "begin\n0 sh\n", 1},
		{glovebox.Step{Command: []string{"printf", "%s", "$HOME"}}, "$HOME", 0},
	}
	for i, tt := range tests {
		command := argv(tt.step)
		for _, arg := range command {
			if len(arg) >= 128<<10 {
				t.Errorf("%d: an argument of %d bytes", i, len(arg))
			}
		}
		cmd := exec.Command(command[0], command[1:]...)
		out, _ := cmd.Output()
		if string(out) != tt.want || cmd.ProcessState.ExitCode() != tt.code {
			t.Errorf("%d: %q, exit %d", i, out, cmd.ProcessState.ExitCode())
		}
	}
}

func TestEnvironment(t *testing.T) {
	r := newRig(t, newMemorySource())
	l := lease("j", glovebox.JobSpec{})
	l.Secrets = map[string]string{"TOKEN": "value", "OTHER": "not for this step"}
	a := newAttempt(r.deps.withDefaults(), l)
	got := a.environ(glovebox.Step{Key: "s", Env: map[string]string{"CI": "no", "TOKEN": "plain"}, Secrets: []string{"TOKEN"}},
		&image.Image{Env: []string{"PATH=/bin", "HOME=/home/x", "EQ=a=b"}})
	want := []string{"CI=no", "EQ=a=b", "GLOVEBOX=true", "GLOVEBOX_JOB_ID=j", "GLOVEBOX_STEP=s", "HOME=/home/x", "PATH=/bin", "TOKEN=value"}
	if !slices.Equal(got, want) {
		t.Errorf("%s", fmt.Sprint(got))
	}
}

func TestAttemptName(t *testing.T) {
	for id, want := range map[string]string{"01HX-abc": "01hx-abc-1", "../../etc": "etc-1", strings.Repeat("x", 99): strings.Repeat("x", 32) + "-1"} {
		if got := attemptName(glovebox.LeaseRef{JobID: id, Attempt: 1}); got != want {
			t.Errorf("%s: %s", id, got)
		}
	}
}
