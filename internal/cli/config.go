package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

// envAnnotation names, on a flag, a variable of another name than GLOVEBOX_<FLAG>.
const envAnnotation = "glovebox_env"

// longRunning annotates commands that log at level info where nothing else is said.
const longRunning = "glovebox_long_running"

// maxConfig bounds the configuration file.
const maxConfig = 1 << 20

// variable returns the name of the environment variable that stands for a flag.
func variable(f *pflag.Flag) string {
	if own := f.Annotations[envAnnotation]; len(own) == 1 {
		return own[0]
	}
	return "GLOVEBOX_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// nameVariable makes a flag read another variable.
func nameVariable(flags *pflag.FlagSet, flag, env string) {
	flags.Lookup(flag).Annotations = map[string][]string{envAnnotation: {env}}
}

// loadSettings gives every flag of cmd that the command line does not set its value
// from the environment or, after that, from the configuration file; then it sets up the log.
func (a *app) loadSettings(cmd *cobra.Command) error {
	if !cmd.Flags().Changed("config") {
		a.configFile = a.getenv("GLOVEBOX_CONFIG")
	}
	file, err := a.readConfig(cmd.Root())
	if err != nil {
		return err
	}
	var problems []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || f.Name == "help" || f.Name == "config" {
			return
		}
		name := variable(f)
		if v := a.getenv(name); v != "" {
			if err := f.Value.Set(v); err != nil {
				problems = append(problems, fmt.Errorf("%s=%q: %w", name, v, err))
			}
			f.Changed = true
			return
		}
		for _, v := range file[f.Name] {
			if err := f.Value.Set(v); err != nil {
				problems = append(problems, fmt.Errorf("configuration file %s: %s: %q: %w", a.configFile, f.Name, v, err))
			}
			f.Changed = true
		}
	})
	if err := errors.Join(problems...); err != nil {
		return usageErrorf("%w", err)
	}
	return a.setUpLog(cmd)
}

// readConfig reads the configuration file: a mapping from names of flags to values.
func (a *app) readConfig(root *cobra.Command) (map[string][]string, error) {
	named := a.configFile != ""
	if !named {
		dir, err := os.UserConfigDir()
		if err != nil {
			return nil, nil // no home: no file
		}
		a.configFile = filepath.Join(dir, "glovebox", "config.yaml")
	}
	f, err := os.Open(a.configFile)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, nil
	}
	if err != nil {
		return nil, usageErrorf("read configuration file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return nil, usageErrorf("read configuration file: %w", err)
	}
	if len(data) > maxConfig {
		return nil, usageErrorf("configuration file %s is larger than 1M", a.configFile)
	}
	var values map[string]any
	if len(strings.TrimSpace(string(data))) > 0 {
		if err := yaml.Load(data, &values); err != nil {
			return nil, usageErrorf("configuration file %s: %w", a.configFile, err)
		}
	}
	known := flagNames(root)
	settings := map[string][]string{}
	for name, v := range values {
		if !slices.Contains(known, name) {
			return nil, usageErrorf("configuration file %s: %q is no setting; each is the name of a flag (docs/config.md)", a.configFile, name)
		}
		list, err := settingValues(v)
		if err != nil {
			return nil, usageErrorf("configuration file %s: %s: %w", a.configFile, name, err)
		}
		settings[name] = list
	}
	return settings, nil
}

// settingValues returns the texts of a setting: one, or a list's.
func settingValues(v any) ([]string, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var texts []string
	for _, item := range list {
		switch item.(type) {
		case string, bool, int, int64, uint64, float64:
			texts = append(texts, fmt.Sprint(item))
		default:
			return nil, errors.New("want a text, number or boolean, or a list of them")
		}
	}
	return texts, nil
}

// flagNames lists the flags of all commands, sorted.
func flagNames(cmd *cobra.Command) []string {
	names := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		add := func(f *pflag.Flag) {
			if f.Name != "help" && f.Name != "config" {
				names[f.Name] = true
			}
		}
		c.LocalFlags().VisitAll(add)
		c.PersistentFlags().VisitAll(add)
		for _, child := range c.Commands() {
			walk(child)
		}
	}
	walk(cmd)
	var list []string
	for name := range names {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// setUpLog makes the program's own log.
func (a *app) setUpLog(cmd *cobra.Command) error {
	if a.logLevel == "" {
		a.logLevel = "warn"
		if cmd.Annotations[longRunning] != "" {
			a.logLevel = "info"
		}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(a.logLevel)); err != nil {
		return usageErrorf("--log-level %q: want debug, info, warn or error", a.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch a.logFormat {
	case "text":
		a.log = slog.New(slog.NewTextHandler(a.err, opts))
	case "json":
		a.log = slog.New(slog.NewJSONHandler(a.err, opts))
	default:
		return usageErrorf("--log-format %q: want text or json", a.logFormat)
	}
	return nil
}
