package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox/internal/sandbox"
)

// errClosed ends a step whose sandbox is closed.
var errClosed = errors.New("sandbox closed")

// script is a step being interpreted.
type script struct {
	box            *box
	step           sandbox.Step
	stdout, stderr io.Writer
	exit           sandbox.Exit
	over           bool
	// files are the step's own by their paths.
	files map[string][]byte
}

// failed is a command's failure: the step's, not ours.
type failed struct{ message string }

func (f failed) Error() string { return f.message }

func (s *script) run(ctx context.Context) (sandbox.Exit, error) {
	if len(s.step.Argv) == 0 {
		return s.exit, fmt.Errorf("run step %s: no command", s.step.Key)
	}
	for line := range strings.SplitSeq(s.text(), "\n") {
		if ctx.Err() != nil {
			return s.exit, context.Cause(ctx)
		}
		words, err := split(line)
		if err == nil && len(words) > 0 {
			err = s.command(ctx, words[0], words[1:])
		}
		var f failed
		switch {
		case errors.As(err, &f):
			fmt.Fprintln(s.stderr, "fake:", f.message)
			s.exit.Code = 1
			return s.exit, nil
		case err != nil:
			return s.exit, err
		case s.over:
			return s.exit, nil
		}
	}
	return s.exit, nil
}

// text is the script: what "sh -e -c SCRIPT" or "sh -e FILE" would run, else the words of a plain command.
func (s *script) text() string {
	argv := s.step.Argv
	if base := path.Base(argv[0]); base == "sh" || base == "bash" {
		last := argv[len(argv)-1]
		if b, ok := s.files[last]; ok {
			return string(b)
		}
		if name, ok := strings.CutPrefix(last, sandbox.WorkspaceDir+"/"); ok {
			if b, err := s.box.root.ReadFile(name); err == nil {
				return string(b)
			}
		}
		return last
	}
	switch argv[0] {
	case "true":
		return ""
	case "false":
		return "exit 1"
	}
	quoted := []string{argv[0]}
	for _, a := range argv[1:] {
		quoted = append(quoted, strconv.Quote(a))
	}
	return strings.Join(quoted, " ")
}

// split splits a line into words; a word in double quotes is unquoted as in Go.
func split(line string) ([]string, error) {
	var words []string
	for line = strings.TrimSpace(line); line != "" && line[0] != '#'; line = strings.TrimSpace(line) {
		if line[0] == '"' {
			quoted, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, failed{fmt.Sprintf("bad quotes: %s", line)}
			}
			word, err := strconv.Unquote(quoted)
			if err != nil {
				return nil, failed{fmt.Sprintf("bad quotes: %s", line)}
			}
			words, line = append(words, word), line[len(quoted):]
			continue
		}
		end := strings.IndexAny(line, " \t")
		if end < 0 {
			end = len(line)
		}
		words, line = append(words, line[:end]), line[end:]
	}
	return words, nil
}

func (s *script) command(ctx context.Context, word string, args []string) error {
	if n := arity(word); len(args) < n {
		return failed{fmt.Sprintf("%s: want %d arguments", word, n)}
	}
	rest := strings.Join(args, " ")
	switch word {
	case "echo":
		return write(s.stdout, rest+"\n")
	case "err":
		return write(s.stderr, rest+"\n")
	case "print":
		return write(s.stdout, rest)
	case "spam":
		return s.spam(ctx, args)
	case "env":
		return s.env(args[0])
	case "sleep":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			return failed{err.Error()}
		}
		return sleep(ctx, d)
	case "hang":
		<-ctx.Done()
		return context.Cause(ctx)
	case "fail":
		return errors.New(rest)
	case "call":
		f, ok := s.box.runtime.Calls[args[0]]
		if !ok {
			return failed{"call: no function " + args[0]}
		}
		return f(ctx, s.step)
	case "exit", "oom", "pids", "cpu":
		return s.end(word, args)
	}
	return s.file(word, args)
}

// arity is how many arguments a command needs at least.
func arity(word string) int {
	switch word {
	case "spam", "env", "sleep", "call", "exit", "cpu", "write", "append", "cat", "rm", "mkdir", "exists":
		return 1
	case "link":
		return 2
	}
	return 0
}

// end is the commands that set how the step ends.
func (s *script) end(word string, args []string) error {
	switch word {
	case "oom":
		s.exit.OOM, s.exit.Code, s.over = true, 137, true
	case "pids":
		s.exit.PidsLimit, s.exit.Code, s.over = true, 1, true
	case "cpu":
		n, err := strconv.ParseFloat(args[0], 64)
		if err != nil {
			return failed{err.Error()}
		}
		s.exit.Usage.CPUSeconds += n
	case "exit":
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 0 || n > 255 {
			return failed{"exit: want a number from 0 to 255"}
		}
		s.exit.Code, s.over = n, true
	}
	return nil
}

// file is the commands on files: the step's own, and those beneath the workspace and cache folders.
func (s *script) file(word string, args []string) error {
	var root *os.Root
	var name string
	if n := place(word); n >= 0 {
		if b, ok := s.files[s.abs(args[n])]; ok {
			return s.ownFile(word, args[n], b)
		}
		root, name = s.find(args[n])
	}
	var err error
	switch word {
	case "write":
		err = root.WriteFile(name, []byte(strings.Join(args[1:], " ")+"\n"), 0o644)
	case "append":
		var f *os.File
		if f, err = root.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
			_, err = io.WriteString(f, strings.Join(args[1:], " ")+"\n")
			err = errors.Join(err, f.Close())
		}
	case "cat":
		var b []byte
		if b, err = root.ReadFile(name); err == nil {
			return write(s.stdout, string(b))
		}
	case "rm":
		err = root.RemoveAll(name)
	case "mkdir":
		err = root.MkdirAll(name, 0o755)
	case "exists":
		_, err = root.Lstat(name)
	case "link":
		err = root.Symlink(args[0], name)
	default:
		fmt.Fprintf(s.stderr, "fake: %s: not found\n", word)
		s.exit.Code, s.over = 127, true
		return nil
	}
	if err != nil {
		return failed{fmt.Sprintf("%s: %v", word, err)}
	}
	return nil
}

func (s *script) env(name string) error {
	for i := len(s.step.Env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(s.step.Env[i], name+"="); ok {
			return write(s.stdout, v+"\n")
		}
	}
	return failed{name + " is not set"}
}

func (s *script) spam(ctx context.Context, args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return failed{err.Error()}
	}
	line := strings.Join(args[1:], " ") + "\n"
	if len(args) == 1 {
		line = strings.Repeat("spam ", 12) + "\n"
	}
	for range n {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := write(s.stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
