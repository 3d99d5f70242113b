package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/glovebox-dev/glovebox"
)

var update = flag.Bool("update", false, "write docs/config.md")

// invocation is a command line that a test ran.
type invocation struct {
	code     int
	out, err string
}

// invoke runs a command line with the environment given and nothing else.
func invoke(t *testing.T, env map[string]string, stdin string, args ...string) invocation {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	var out, errOut bytes.Buffer
	a := &app{in: strings.NewReader(stdin), out: &out, err: &errOut, getenv: func(name string) string { return env[name] }}
	code := a.run(context.Background(), args)
	return invocation{code: code, out: out.String(), err: errOut.String()}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"nosuch"}, {"job"}, {"job", "nosuch"}, {"job", "show"}, {"job", "show", "a", "b"}, {"run"}, {"run", "--nosuch"},
		{"run", "true", "false"}, {"run", "--memory", "lots", "--", "true"}, {"run", "--cpus", "x", "--", "true"}, {"run", "--file", "x", "--", "true"},
		{"run", "--rev", "main", "--", "true"}, {"run", "--network", "all", "--", "true"}, {"run", "--env", "NOT_SET_HERE", "--", "true"},
		{"run", "--secret", "NOT_SET_HERE", "--", "true"}, {"run", "/no/such/job.yaml"},
		{"plan"}, {"plan", "/no/such/job.yaml"}, {"job", "list"}, {"job", "list", "--server", "ftp://x", "--token", "t"},
		{"job", "list", "--server", "http://x"}, {"--log-level", "loud", "version"}, {"--config", "/no/such/file", "version"},
		{"token", "create", "x", "--role", "viewer", "--executor", "y", "--server", "http://127.0.0.1:1", "--token", "t"},
		{"server", "--tls-cert", "x"}, {"server", "--external-url", "nonsense"}, {"executor", "run"},
	} {
		got := invoke(t, nil, "", args...)
		if got.code != exitUsage {
			t.Errorf("%q: exit %d, want %d; stderr %q", args, got.code, exitUsage, got.err)
		}
		if !strings.HasPrefix(got.err, "glovebox: ") || got.out != "" {
			t.Errorf("%q: stdout %q, stderr %q", args, got.out, got.err)
		}
	}
}

func TestPlan(t *testing.T) {
	job := "steps: [{image: host, run: \"true\", env: {N: 0x10}}]\nlimits: {memory: 1024M}\n"
	got := invoke(t, nil, job, "plan", "-", "--json")
	if got.code != 0 {
		t.Fatalf("exit %d: %s", got.code, got.err)
	}
	var spec glovebox.JobSpec
	if err := json.Unmarshal([]byte(got.out), &spec); err != nil {
		t.Fatal(err)
	}
	if spec.Limits.Memory != 1<<30 || spec.Limits.Pids == 0 || spec.Steps[0].Key != "step-1" || spec.Steps[0].Env["N"] != "0x10" {
		t.Errorf("resolved job %+v", spec)
	}
	// The YAML form is a job file of the same job.
	asYAML := invoke(t, nil, job, "plan", "-")
	again := invoke(t, nil, asYAML.out, "plan", "-", "--json")
	if again.out != got.out {
		t.Errorf("plan's output is not a job file of the same job:\n%s\n%s", asYAML.out, again.err+again.out)
	}
	schema := invoke(t, nil, "", "plan", "--schema")
	if !json.Valid([]byte(schema.out)) || schema.code != 0 {
		t.Errorf("--schema: exit %d, %q", schema.code, schema.err)
	}
	bad := invoke(t, nil, "steps:\n  - rnu: x\n", "plan", "-")
	if bad.code != exitUsage || !strings.Contains(bad.err, `stdin:2:5: steps[0].rnu: unknown field (did you mean "run"?)`) {
		t.Errorf("exit %d, %q", bad.code, bad.err)
	}
	evil := invoke(t, nil, "\"\\e]0;owned\\a\": 1\nsteps: [{run: x}]\n", "plan", "-")
	if strings.ContainsRune(evil.err, 0x1b) || evil.code != exitUsage {
		t.Errorf("an escape sequence reached the terminal: %q", evil.err)
	}
}

func TestSettingsComeFromFlagThenEnvironmentThenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("server: http://from-file.invalid\ntoken: t\nlimit: 7\nenv: [A=1, B=2]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"GLOVEBOX_CONFIG": file, "GLOVEBOX_SERVER": "http://from-env.invalid"}
	a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}, getenv: func(name string) string { return env[name] }}
	value := func(args ...string) (server, limit, environment string) {
		root := a.command()
		cmd, rest, err := root.Find(args)
		if err == nil {
			err = cmd.ParseFlags(rest)
		}
		if err == nil {
			err = a.loadSettings(cmd)
		}
		if err != nil {
			t.Fatal(err)
		}
		get := func(name string) string {
			if f := cmd.Flags().Lookup(name); f != nil {
				return f.Value.String()
			}
			return ""
		}
		return get("server"), get("limit"), get("env")
	}
	server, limit, _ := value("job", "list")
	if server != "http://from-env.invalid" || limit != "7" {
		t.Errorf("server %q, limit %q", server, limit)
	}
	if server, _, _ = value("job", "list", "--server", "http://from-flag.invalid"); server != "http://from-flag.invalid" {
		t.Errorf("server %q", server)
	}
	if _, _, environment := value("run"); environment != "[A=1,B=2]" {
		t.Errorf("env %q", environment)
	}
	for _, bad := range []string{"nosuch: 1\n", "server: {a: b}\n", "limit: many\n", "- a\n", "server: [\n", "server: a\nserver: b\n"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := invoke(t, map[string]string{"GLOVEBOX_CONFIG": file, "GLOVEBOX_TOKEN": "t", "GLOVEBOX_SERVER": "http://127.0.0.1:1"}, "", "job", "list"); got.code != exitUsage {
			t.Errorf("configuration %q: exit %d, %q", bad, got.code, got.err)
		}
	}
}

// TestHelp: every command says what it does with an example, and every flag has a description.
func TestHelp(t *testing.T) {
	walk((&app{}).command(), func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s: no description", cmd.CommandPath())
		}
		if cmd.Example == "" && !cmd.HasSubCommands() {
			t.Errorf("%s: no example", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s: no description", cmd.CommandPath(), f.Name)
			}
		})
	})
}

func walk(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, child := range cmd.Commands() {
		walk(child, visit)
	}
}

const (
	tableBegin = "<!-- flags: written by go test ./internal/cli -run TestConfigDoc -update -->\n"
	tableEnd   = "<!-- end of flags -->\n"
)

// TestConfigDoc holds docs/config.md to the flags.
func TestConfigDoc(t *testing.T) {
	const path = "../../docs/config.md"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(doc), tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks of the table", path)
	}
	want := before + tableBegin + flagTables() + tableEnd + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(doc) != want {
		t.Errorf("%s does not list the flags as they are; run: go test ./internal/cli -run TestConfigDoc -update", path)
	}
}

// flagTables writes a table for each command.
func flagTables() string {
	var b strings.Builder
	table := func(title string, flags *pflag.FlagSet) {
		rows := ""
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" || f.Hidden {
				return
			}
			_, usage := pflag.UnquoteUsage(f)
			if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "[]" && f.DefValue != "0s" {
				usage += " (default " + f.DefValue + ")"
			}
			rows += fmt.Sprintf("| `--%s` | `%s` | %s |\n", f.Name, variable(f), strings.ReplaceAll(usage, "|", "\\|"))
		})
		if rows != "" {
			fmt.Fprintf(&b, "\n### %s\n\n| flag | variable | meaning |\n| --- | --- | --- |\n%s\n", title, rows)
		}
	}
	root := (&app{}).command()
	table("every command", root.PersistentFlags())
	walk(root, func(cmd *cobra.Command) {
		if cmd == root {
			return
		}
		table(cmd.CommandPath(), cmd.LocalFlags())
	})
	return b.String()
}
