// Package git runs the host's git in the one hardened way: no system or user
// configuration, no hooks, no fsmonitor, no external diff or filters, no transports
// but those asked for, no prompt, "--" before every name that came from outside. It
// must not know workspaces, jobs or servers.
package git

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// Options say where one git command runs and what it may reach. The zero value
// reaches nothing: no repository, no transport.
type Options struct {
	// GitDir is the repository, passed as --git-dir; none when empty.
	GitDir string
	// WorkTree is passed as --work-tree; without it a command with a GitDir runs as in a bare repository.
	WorkTree string
	// Dir is the process's working directory; "/" when empty, so that no repository is found by chance.
	Dir string
	// Transports are the protocols that may be spoken: "https", "http", "ssh", "git", "file". None when empty.
	Transports []string
	// Username and Password are sent by basic authentication to addresses that begin
	// with AuthURL, and to no other. They reach git by its environment only.
	Username, Password string
	AuthURL            string
	// Config are further "key=value" settings; they win over the hardened ones.
	Config []string
	// Env are further "K=V" variables, such as GIT_INDEX_FILE or GIT_PROTOCOL.
	Env []string
	// MaxMemory bounds the memory that the process takes for itself (maps of files do not count); no bound when 0.
	MaxMemory int64
	// Stdin and Stdout of the process; empty and discarded when nil.
	Stdin  io.Reader
	Stdout io.Writer
}

// hardened are the settings of every command. Command-line scope wins over the
// repository's own config, and counts as protected configuration (safe.directory).
func hardened() []string {
	return []string{
		"safe.directory=*",
		"core.hooksPath=/dev/null",
		"core.fsmonitor=false",
		"core.untrackedCache=false",
		"core.attributesFile=/dev/null",
		"core.excludesFile=/dev/null",
		"core.autocrlf=false",
		"core.symlinks=true",
		"core.fileMode=true",
		"core.protectHFS=true",
		"core.protectNTFS=true",
		"core.askPass=",
		"core.pager=cat",
		"core.editor=false",
		"credential.helper=",
		"diff.ignoreSubmodules=all",
		"submodule.recurse=false",
		"fetch.recurseSubmodules=false",
		"gc.auto=0",
		"maintenance.auto=false",
		"advice.detachedHead=false",
		"init.defaultBranch=main",
		"protocol.version=2",
		"protocol.allow=never",
		"http.lowSpeedLimit=1",
		"http.lowSpeedTime=600",
	}
}

// LocalUploadPack is the --upload-pack of a fetch from a path on this host: git clears
// command-line settings for the process at the other end, which then refuses
// repositories that other users own.
const LocalUploadPack = "git -c 'safe.directory=*' -c core.hooksPath=/dev/null upload-pack"

// passed are the variables of our own environment that git may see.
func passed() []string {
	return []string{"PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO",
		"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"}
}

// Command prepares one git command. Its process group is killed when ctx ends.
// Stderr is left to the caller; Run and Output put it into their errors.
func Command(ctx context.Context, opts Options, args ...string) *exec.Cmd {
	argv := []string{"--no-pager"}
	if opts.GitDir != "" {
		argv = append(argv, "--git-dir="+opts.GitDir)
	}
	if opts.WorkTree != "" {
		argv = append(argv, "--work-tree="+opts.WorkTree)
	}
	cmd := exec.CommandContext(ctx, "git", append(argv, args...)...)
	cmd.Dir = opts.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.Env = environment(opts)
	cmd.Stdin, cmd.Stdout = opts.Stdin, opts.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

func environment(opts Options) []string {
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"HOME=/nonexistent", "XDG_CONFIG_HOME=/nonexistent",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=",
		"GIT_OPTIONAL_LOCKS=0", "GIT_NO_REPLACE_OBJECTS=1", "GIT_NO_LAZY_FETCH=1",
		"GIT_PROTOCOL_FROM_USER=0", "GIT_ALLOW_PROTOCOL=" + strings.Join(opts.Transports, ":"),
		"GIT_SSH_COMMAND=ssh -oBatchMode=yes -oConnectTimeout=20",
		"GIT_CEILING_DIRECTORIES=/", "LC_ALL=C", "LANGUAGE=C",
	}
	keep := passed()
	config := hardened()
	for _, t := range opts.Transports {
		config = append(config, "protocol."+t+".allow=always")
		if t == "ssh" {
			keep = append(keep, "SSH_AUTH_SOCK")
		}
	}
	if opts.Password != "" && opts.AuthURL != "" {
		basic := base64.StdEncoding.EncodeToString([]byte(opts.Username + ":" + opts.Password))
		config = append(config, "http."+opts.AuthURL+".extraHeader=Authorization: Basic "+basic, "http.followRedirects=false")
	}
	config = append(config, opts.Config...)
	for _, name := range keep {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	n := 0
	for _, kv := range config {
		key, value, ok := cutConfig(kv)
		if !ok {
			continue
		}
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, value))
		n++
	}
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", n))
	return append(env, opts.Env...)
}

// cutConfig splits "key=value" where the key's middle part may be a URL with "=" in it:
// the key ends at the first "=" after its last section dot.
func cutConfig(kv string) (key, value string, ok bool) {
	const header = ".extraHeader="
	if i := strings.Index(kv, header); i >= 0 {
		return kv[:i+len(header)-1], kv[i+len(header):], true
	}
	return strings.Cut(kv, "=")
}

// Run runs one git command to its end. The error of a failed one holds the
// command's name and the end of what it wrote to stderr, credentials removed.
func Run(ctx context.Context, opts Options, args ...string) error {
	cmd := Command(ctx, opts, args...)
	stderr := &tail{max: 2048}
	cmd.Stderr = stderr
	err := cmd.Start()
	if err == nil {
		err = errors.Join(bound(cmd, opts.MaxMemory), cmd.Wait())
	}
	if err != nil {
		return Error(ctx, opts, args, stderr.String(), err)
	}
	return nil
}

// bound sets the memory limit of a process that was just started, and ends it if that can't be done.
func bound(cmd *exec.Cmd, memory int64) error {
	if memory == 0 {
		return nil
	}
	limit := &unix.Rlimit{Cur: uint64(memory), Max: uint64(memory)}
	if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_DATA, limit, nil); err != nil && !errors.Is(err, unix.ESRCH) {
		return errors.Join(fmt.Errorf("bound git's memory: %w", err), cmd.Cancel())
	}
	return nil
}

// MaxOutput bounds what Output keeps of a command's output.
const MaxOutput = 64 << 20

// Output runs one git command and returns what it wrote to stdout. A command that writes
// more than MaxOutput is ended: the error wraps glovebox.ErrTooLarge.
func Output(ctx context.Context, opts Options, args ...string) ([]byte, error) {
	out := &bounded{max: MaxOutput}
	opts.Stdout = out
	err := Run(ctx, opts, args...)
	if out.over {
		return nil, fmt.Errorf("git %s: more than %d bytes of output: %w", args[0], MaxOutput, glovebox.ErrTooLarge)
	}
	if err != nil {
		return nil, err
	}
	return out.buf.Bytes(), nil
}

// CommandError is a git command that ended badly.
type CommandError struct {
	// Name is the git subcommand; Stderr the end of what it said, safe to show.
	Name, Stderr string
	Err          error
}

func (e *CommandError) Error() string {
	if e.Stderr == "" {
		return fmt.Sprintf("git %s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("git %s: %s (%v)", e.Name, e.Stderr, e.Err)
}

func (e *CommandError) Unwrap() error { return e.Err }

// Error makes the error of a command whose stderr the caller captured itself. When ctx
// has ended it wraps context.Cause(ctx).
func Error(ctx context.Context, opts Options, args []string, stderr string, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	text := Redact(strings.TrimSpace(stderr))
	if opts.Password != "" {
		text = strings.ReplaceAll(text, opts.Password, "***")
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	return &CommandError{Name: name, Stderr: printable(text), Err: err}
}

// printable keeps a foreign text from playing with a terminal or a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < 0x20 || r == 0x7f || r == 0xfffd {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// tail keeps the last max bytes written to it.
type tail struct {
	max int
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.buf) }

// bounded keeps up to max bytes and refuses more, which ends the writer.
type bounded struct {
	// Not embedded: io.Copy would find the buffer's ReadFrom and go past the bound.
	buf  bytes.Buffer
	max  int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > b.max {
		b.over = true
		return 0, glovebox.ErrTooLarge
	}
	return b.buf.Write(p)
}
