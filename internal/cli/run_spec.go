package cli

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/image"
)

// sizeFlag and durationFlag read the units of job files.
type sizeFlag struct{ to *glovebox.Size }

func (f sizeFlag) String() string {
	if f.to == nil || *f.to == 0 {
		return ""
	}
	return f.to.String()
}
func (f sizeFlag) Type() string { return "size" }
func (f sizeFlag) Set(s string) (err error) {
	*f.to, err = glovebox.ParseSize(s)
	return err
}

type durationFlag struct{ to *glovebox.Duration }

func (f durationFlag) String() string {
	if f.to == nil || *f.to == 0 {
		return ""
	}
	return f.to.String()
}
func (f durationFlag) Type() string { return "time" }
func (f durationFlag) Set(s string) (err error) {
	*f.to, err = glovebox.ParseDuration(s)
	return err
}

// specFlags are the flags of "run" that make or change a job.
type specFlags struct {
	repo, rev, image, runtime, network string
	env, files, outputs, secrets       []string
	limits                             glovebox.Limits
}

func (s *specFlags) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&s.repo, "repo", "", "the repository that the workspace holds: a path or a `URL`; without it the workspace is empty")
	flags.StringVar(&s.rev, "rev", "", "branch, tag or commit (default: the repository's HEAD)")
	flags.StringVar(&s.image, "image", image.Host, "what steps that name no image see as their root: host, a registry reference, docker-archive:PATH or oci:PATH")
	flags.StringVar(&s.runtime, "runtime", "", "gvisor or docker (default gvisor)")
	flags.StringVar(&s.network, "network", "", "what the job may reach: public or none (default public)")
	flags.Float64Var(&s.limits.CPUs, "cpus", 0, "CPUs' time (default 2)")
	flags.Var(sizeFlag{&s.limits.Memory}, "memory", "bound of memory (default 2G)")
	flags.Var(sizeFlag{&s.limits.Disk}, "disk", "bound of workspace, root and temporary files (default 4G)")
	flags.IntVar(&s.limits.Pids, "pids", 0, "bound of processes and threads (default 1024)")
	flags.Var(durationFlag{&s.limits.Timeout}, "timeout", "bound of the wall time of all steps (default 1h)")
	flags.StringArrayVar(&s.env, "env", nil, "environment `K=V` of every step; K alone takes the value from here")
	flags.StringArrayVar(&s.files, "file", nil, "copy `SRC:DST` into the workspace before the first step")
	flags.StringArrayVar(&s.outputs, "output", nil, "keep the files that this `glob` matches; see --output-dir")
	flags.StringArrayVar(&s.secrets, "secret", nil, "give the command (or the steps of a job file that list it) the secret `NAME[=ENV]` as variable NAME, its value taken from ENV here; it is removed from the log")
}

// apply changes a job by the flags. Steps of a job file keep what they say themselves.
func (s *specFlags) apply(spec *glovebox.JobSpec, lookup func(string) (string, bool)) (secrets map[string]string, err error) {
	if s.repo != "" {
		spec.Repo = &glovebox.Repo{Name: s.repo}
	}
	if s.rev != "" {
		if spec.Repo == nil {
			return nil, usageErrorf("--rev %s: without --repo there is nothing it could name", visible(s.rev))
		}
		spec.Repo.Rev, spec.Repo.Commit = s.rev, ""
	}
	if s.runtime != "" {
		spec.Runtime = s.runtime
	}
	if s.network != "" {
		spec.Network = glovebox.NetworkPolicy(s.network)
	}
	spec.Limits = s.limits.WithDefaults(spec.Limits)
	spec.Outputs = append(spec.Outputs, s.outputs...)
	for _, f := range s.files {
		file, err := readFileFlag(f)
		if err != nil {
			return nil, err
		}
		spec.Files = append(spec.Files, file)
	}
	env, err := s.readEnv(lookup)
	if err != nil {
		return nil, err
	}
	secrets, err = s.readSecrets(lookup)
	if err != nil {
		return nil, err
	}
	for i := range spec.Steps {
		step := &spec.Steps[i]
		if step.Image == "" {
			step.Image = s.image
		}
		for k, v := range env {
			if step.Env == nil {
				step.Env = map[string]string{}
			}
			if _, own := step.Env[k]; !own {
				step.Env[k] = v
			}
		}
	}
	return secrets, nil
}

func (s *specFlags) readEnv(lookup func(string) (string, bool)) (map[string]string, error) {
	env := map[string]string{}
	for _, kv := range s.env {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			if v, ok = lookup(k); !ok {
				return nil, usageErrorf("--env %s: the variable is not set here; write --env %s=VALUE", visible(k), visible(k))
			}
		}
		env[k] = v
	}
	return env, nil
}

// readSecrets reads the values of secrets from the environment, never from arguments,
// which every user of the host can read.
func (s *specFlags) readSecrets(lookup func(string) (string, bool)) (map[string]string, error) {
	secrets := map[string]string{}
	for _, flag := range s.secrets {
		name, from, ok := strings.Cut(flag, "=")
		if !ok {
			from = name
		}
		v, ok := lookup(from)
		if !ok || v == "" {
			return nil, usageErrorf("--secret %s: the variable %s is not set", visible(name), visible(from))
		}
		secrets[name] = v
	}
	return secrets, nil
}

// readFileFlag reads the file of a --file SRC:DST.
func readFileFlag(flag string) (glovebox.File, error) {
	src, dst, ok := strings.Cut(flag, ":")
	if !ok || src == "" || dst == "" {
		return glovebox.File{}, usageErrorf("--file %s: want SRC:DST", visible(flag))
	}
	f, err := os.Open(src)
	if err != nil {
		return glovebox.File{}, usageErrorf("--file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return glovebox.File{}, usageErrorf("--file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return glovebox.File{}, usageErrorf("--file %s: not a regular file", visible(src))
	}
	data, err := io.ReadAll(io.LimitReader(f, glovebox.MaxFileBytes+1))
	if err != nil {
		return glovebox.File{}, usageErrorf("--file: %w", err)
	}
	if len(data) > glovebox.MaxFileBytes {
		return glovebox.File{}, usageErrorf("--file %s: larger than %s", visible(src), glovebox.Size(glovebox.MaxFileBytes))
	}
	file := glovebox.File{Path: dst, Executable: info.Mode()&0o111 != 0}
	if utf8.Valid(data) {
		file.Content = string(data)
	} else {
		file.Base64 = base64.StdEncoding.EncodeToString(data)
	}
	return file, nil
}

// readSpec makes the job from a job file or from a command after "--".
func (a *app) readSpec(cmd *cobra.Command, args []string, flags *specFlags) (glovebox.JobSpec, map[string]string, error) {
	dash := cmd.ArgsLenAtDash()
	var spec glovebox.JobSpec
	locate := func(err error) error { return err }
	switch {
	case dash == 0 && len(args) > 0:
		spec.Steps = []glovebox.Step{{Key: "run", Command: args}}
	case dash < 0 && len(args) == 1:
		file, err := a.readJobFile(args[0])
		if errors.Is(err, os.ErrNotExist) {
			return spec, nil, withHint(err, "to run a command rather than a job file, write: glovebox run -- "+visible(args[0]))
		}
		if err != nil {
			return spec, nil, err
		}
		spec = file.Spec
		locate = func(err error) error { return fileError(args[0], file.Locate(err)) }
	default:
		return spec, nil, usageErrorf("want either one job FILE or -- and a command")
	}
	secrets, err := flags.apply(&spec, lookupIn(a.getenv))
	if err != nil {
		return spec, nil, err
	}
	if dash == 0 {
		for name := range secrets {
			spec.Steps[0].Secrets = append(spec.Steps[0].Secrets, name)
		}
	}
	spec.ApplyDefaults()
	if err := spec.Validate(); err != nil {
		if err = locate(err); dash == 0 {
			err = &exitError{code: exitUsage, err: fmt.Errorf("the job is not valid:\n%w", err)}
		}
		return spec, nil, err
	}
	for _, step := range spec.Steps {
		for _, name := range step.Secrets {
			if _, ok := secrets[name]; !ok {
				return spec, nil, usageErrorf("step %s wants the secret %s: give it by --secret %s", visible(step.Key), visible(name), visible(name))
			}
		}
	}
	return spec, secrets, nil
}

// lookupIn takes an empty variable for one that is not set.
func lookupIn(getenv func(string) string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		v := getenv(name)
		return v, v != ""
	}
}
