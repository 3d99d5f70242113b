package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox/internal/testenv"
)

// hostileAttack is a file of testdata/hostile: a step's script, and in its head what is expected of the
// run. Whatever the attack, its job may neither read nor change anything of the host (see trap),
// send control sequences to the terminal, or take longer than its limit.
type hostileAttack struct {
	name, title, script string
	flags               []string
	// exit is a pattern of the exit code; says and never are of what is printed.
	exit, says, never string
	// diff wants one that applies; quiet keeps the output out of messages.
	diff, quiet bool
	limit       time.Duration
}

func hostileAttacks(t *testing.T) []hostileAttack {
	t.Helper()
	files, err := filepath.Glob("testdata/hostile/*.sh")
	if err != nil || len(files) == 0 {
		t.Fatalf("no attacks: %v", err)
	}
	var all []hostileAttack
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a := hostileAttack{name: strings.TrimSuffix(filepath.Base(file), ".sh"), script: string(text), exit: "0", limit: 60 * time.Second}
		for line := range strings.Lines(a.script) {
			head, ok := strings.CutPrefix(line, "#: ")
			if !ok {
				break
			}
			key, value, _ := strings.Cut(strings.TrimSpace(head), " ")
			value = strings.TrimSpace(value)
			switch key {
			case "attack":
				a.title = value
			case "flags":
				a.flags = strings.Fields(value)
			case "exit":
				a.exit = value
			case "says":
				a.says = value
			case "never":
				a.never = value
			case "diff":
				a.diff = true
			case "quiet":
				a.quiet = true
			case "limit":
				if a.limit, err = time.ParseDuration(value); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
			default:
				t.Fatalf("%s: what is %q?", file, key)
			}
		}
		all = append(all, a)
	}
	return all
}

func TestHostileGvisor(t *testing.T) {
	testenv.Gvisor(t)
	hostile(t, "gvisor")
}

func TestHostileDocker(t *testing.T) {
	testenv.Docker(t)
	hostile(t, "docker")
}

// hostile runs every attack on a runtime, and wants nothing of them left on the host.
func hostile(t *testing.T, runtime string) {
	testenv.Root(t)
	dir := t.TempDir()
	t.Run("attacks", func(t *testing.T) {
		for _, a := range hostileAttacks(t) {
			t.Run(a.name, func(t *testing.T) {
				t.Parallel()
				a.run(t, runtime, dir)
			})
		}
	})
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			t.Errorf("left behind: mount %s", line)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "data", "run", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// trap is what an attack is after: a folder of the host, secrets, and a server on all addresses.
type trap struct {
	dir, canary, app string
	env              []string
	listener         net.Listener
}

const (
	hostSecret  = "HOST-SECRET-5b1f0c"
	givenSecret = "hunter2-correct-horse-battery"
)

func newTrap(t *testing.T) *trap {
	t.Helper()
	dir := t.TempDir()
	c := &trap{dir: dir, canary: filepath.Join(dir, "canary"), app: filepath.Join(dir, "app")}
	for path, text := range map[string]string{
		"canary/secret": hostSecret + "\n", "canary/.gitignore": hostSecret + "\n", "app/a.txt": "old\n", "app/sub/b.txt": "b\n",
	} {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	c.git(t, "init", "-q", "-b", "main")
	c.git(t, "add", "-A")
	c.git(t, "commit", "-q", "-m", "first")
	var err error
	if c.listener, err = net.Listen("tcp", ":0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.listener.Close() })
	_, port, err := net.SplitHostPort(c.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c.env = []string{"CANARY=" + c.canary, "LAB=" + dir, "HOST_PORT=" + port, "HOST_ADDRESSES=" + strings.Join(hostAddresses(t), " ")}
	return c
}

// hostAddresses are this host's own, but for loopback and link-local ones.
func hostAddresses(t *testing.T) []string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			list = append(list, n.IP.String())
		}
	}
	return list
}

func (c *trap) git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = c.app
	cmd.Env = append(os.Environ(), "GIT_AUTHOR_NAME=e2e", "GIT_AUTHOR_EMAIL=e@e", "GIT_COMMITTER_NAME=e2e", "GIT_COMMITTER_EMAIL=e@e",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// sprung says what an attack did to the host.
func (c *trap) sprung(t *testing.T) (harm []string) {
	t.Helper()
	entries, err := os.ReadDir(c.canary)
	if err != nil || len(entries) != 2 {
		harm = append(harm, fmt.Sprintf("the host's folder holds %v, %v", entries, err))
	}
	if text, err := os.ReadFile(filepath.Join(c.canary, "secret")); err != nil || string(text) != hostSecret+"\n" {
		harm = append(harm, fmt.Sprintf("the host's file is %.80q, %v", text, err))
	}
	if status := c.git(t, "status", "--porcelain"); status != "" {
		harm = append(harm, "the repository that was given has changed: "+status)
	}
	return harm
}

// run runs the attack and judges it.
func (a hostileAttack) run(t *testing.T, runtime, dir string) {
	c := newTrap(t)
	diff, outputs := filepath.Join(c.dir, "diff"), filepath.Join(c.dir, "outputs")
	args := []string{"run", "--runtime", runtime, "--data", filepath.Join(dir, "data"), "--repo", c.app, "--diff", diff, "--output-dir", outputs, "--disk", "256M", "--memory", "512M"}
	if !strings.Contains(strings.Join(a.flags, " "), "--network") {
		args = append(args, "--network", "none")
	}
	for _, kv := range c.env {
		args = append(args, "--env", kv)
	}
	args = append(append(args, a.flags...), "--", "sh", "-c", a.script)
	ctx, cancel := context.WithTimeout(t.Context(), a.limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "glovebox", args...)
	cmd.Env = append(os.Environ(), "HOME="+c.dir, "HOST_ONLY="+hostSecret, "GIVEN_SECRET="+givenSecret)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	_ = cmd.Run() // its code is judged
	took := time.Since(start).Round(10 * time.Millisecond)

	said := out.String() + errs.String()
	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if code := fmt.Sprint(cmd.ProcessState.ExitCode()); !regexp.MustCompile(`^(?:` + a.exit + `)$`).MatchString(code) {
		fault("exit code %s", code)
	}
	if ctx.Err() != nil {
		fault("took longer than %v", a.limit)
	}
	if a.says != "" && !regexp.MustCompile(a.says).MatchString(said) {
		fault("does not say %q", a.says)
	}
	if a.never != "" && regexp.MustCompile(a.never).MatchString(said) {
		fault("says %q", a.never)
	}
	if i := strings.IndexAny(said, "\x1b\x07\x00\x9b"); i >= 0 {
		fault("control character at %d reaches the terminal", i)
	}
	patch, _ := os.ReadFile(diff) // there may be none
	for where, text := range map[string]string{"output": said, "diff": string(patch), "kept outputs": everything(t, outputs)} {
		if strings.Contains(text, hostSecret) || strings.Contains(where, "output") && strings.Contains(text, givenSecret) {
			fault("a secret is in the %s", where)
		}
	}
	faults = append(faults, c.sprung(t)...)
	if a.diff && len(faults) == 0 {
		if len(patch) == 0 {
			fault("there is no diff")
		} else {
			c.git(t, "apply", "--index", diff)
		}
	}
	t.Logf("%-7s %s: expected exit %s%s; seen exit %d in %v", runtime, a.title, a.exit, wanted(a.says), cmd.ProcessState.ExitCode(), took)
	if len(faults) > 0 {
		if a.quiet && len(said) > 2000 {
			said = said[:1000] + "…" + said[len(said)-1000:]
		}
		t.Errorf("%s\n%s", strings.Join(faults, "\n"), said)
	}
}

func wanted(says string) string {
	if says == "" {
		return ""
	}
	return fmt.Sprintf(" and %q", says)
}

// everything is all that a folder's files hold; a link in it is followed.
func everything(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return all.String()
}
