package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait of a script; real runtimes on a busy machine are slow.
const patience = 60 * time.Second

// command makes a process with the script's environment and folder.
func command(ts *testscript.TestScript, args []string) *exec.Cmd {
	env := []string{}
	for _, name := range []string{"PATH", "HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "RUNTIME", "GLOVEBOX_TEST_GVISOR", "DOCKER_HOST",
		"GLOVEBOX_SERVER", "GLOVEBOX_TOKEN", "GLOVEBOX_EXECUTOR_TOKEN", "GLOVEBOX_RUNTIME", "TMPDIR", "SECRET"} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	path := args[0]
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		if p := filepath.Join(dir, args[0]); !strings.Contains(args[0], "/") {
			if _, err := os.Stat(p); err == nil {
				path = p
				break
			}
		}
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Env, cmd.Dir = env, ts.MkAbs(".")
	return cmd
}

// exits CODE CMD…: the command ends with exactly this code. "stdout" and "stderr" look at the files out and err.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	if err != nil || neg {
		ts.Fatalf("usage: exits CODE CMD…")
	}
	cmd := command(ts, args[1:])
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err = cmd.Run()
	ts.Check(os.WriteFile(ts.MkAbs("out"), out.Bytes(), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("err"), errOut.Bytes(), 0o600))
	ts.Logf("[stdout]\n%s[stderr]\n%s", out.String(), errOut.String())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Fatalf("%v", err)
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// repository DIR: makes the folder a git repository with one commit of all it holds.
func repository(ts *testscript.TestScript, _ bool, args []string) {
	for _, git := range [][]string{{"init", "-q", "-b", "main"}, {"add", "-A"}, {"commit", "-q", "-m", "one"}} {
		cmd := exec.Command("git", append([]string{"-C", ts.MkAbs(args[0]), "-c", "user.name=e2e", "-c", "user.email=e2e@localhost", "-c", "commit.gpgsign=false"}, git...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("git %s: %v: %s", git[0], err, out)
		}
	}
}

// words translates the fake runtime's words, at the beginning of a line, to the shell.
var words = []struct {
	fake  *regexp.Regexp
	shell string
}{
	{regexp.MustCompile(`(?m)^(\s*)write (\S+) (.*)$`), `${1}echo "$3" > $2`},
	{regexp.MustCompile(`(?m)^(\s*)append (\S+) (.*)$`), `${1}echo "$3" >> $2`},
	{regexp.MustCompile(`(?m)^(\s*)err (.*)$`), `${1}echo "$2" >&2`},
	{regexp.MustCompile(`(?m)^(\s*)env (\S+)$`), `${1}echo "$$$2"`},
	{regexp.MustCompile(`(?m)^(\s*)hang$`), `${1}sleep 1000`},
	{regexp.MustCompile(`(?m)^(\s*)link (\S+) (\S+)$`), `${1}ln -s $2 $3`},
}

// jobs FILE…: makes the job files fit for the script's runtime.
func jobs(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		text := ts.ReadFile(name)
		if ts.Getenv("RUNTIME") != "fake" {
			for _, w := range words {
				text = w.fake.ReplaceAllString(text, w.shell)
			}
		}
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}

// dev [FLAGS…]: starts "glovebox dev" for the rest of the script and sets GLOVEBOX_SERVER,
// GLOVEBOX_TOKEN and GLOVEBOX_EXECUTOR_TOKEN.
func dev(ts *testscript.TestScript, _ bool, args []string) {
	cmd := command(ts, append([]string{"glovebox", "dev", "--json", "--runtime", ts.Getenv("RUNTIME")}, args...))
	var log lockedBuffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ended := make(chan struct{})
	line := make(chan string, 1)
	go func() {
		defer close(ended)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			select {
			case line <- lines.Text():
			default:
			}
		}
		_ = cmd.Wait()
	}()
	ts.Defer(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			<-ended
			ts.Logf("dev did not end by SIGTERM")
		}
		ts.Logf("[dev]\n%s", log.String())
	})
	var ready struct {
		URL, Token    string
		ExecutorToken string `json:"executor_token"`
	}
	select {
	case l := <-line:
		ts.Check(json.Unmarshal([]byte(l), &ready))
	case <-ended:
		ts.Fatalf("dev ended: %s", log.String())
	case <-time.After(patience):
		ts.Fatalf("dev did not answer: %s", log.String())
	}
	ts.Setenv("GLOVEBOX_SERVER", ready.URL)
	ts.Setenv("GLOVEBOX_TOKEN", ready.Token)
	ts.Setenv("GLOVEBOX_EXECUTOR_TOKEN", ready.ExecutorToken)
}

// setenv NAME FILE: sets a variable to a file's text.
func setenv(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile(args[1])))
}

// eventually PATTERN CMD…: runs the command until its output, stdout and stderr, matches.
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	pattern, err := regexp.Compile(args[0])
	ts.Check(err)
	var out []byte
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		out, _ = command(ts, args[1:]).CombinedOutput()
		if pattern.Match(out) != neg {
			return
		}
	}
	ts.Fatalf("no match of %s in time; the last output:\n%s", pattern, out)
}

// interrupt CODE PATTERN CMD…: starts the command, sends SIGINT once its output matches, and wants that exit code.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	cmd := command(ts, args[2:])
	var out lockedBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	ts.Check(cmd.Start())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for sent := false; ; {
		select {
		case <-ended:
			if got := cmd.ProcessState.ExitCode(); !sent || got != want {
				ts.Fatalf("exit code %d (signal sent: %v), want %d:\n%s", got, sent, want, out.String())
			}
			return
		case <-tick.C:
			if !sent && pattern.MatchString(out.String()) {
				ts.Check(cmd.Process.Signal(syscall.SIGINT))
				sent = true
			}
		case <-deadline:
			_ = cmd.Process.Kill()
			<-ended
			ts.Fatalf("did not end in time:\n%s", out.String())
		}
	}
}

// lockedBuffer takes a process's output while others read it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
