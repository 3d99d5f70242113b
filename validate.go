package glovebox

import (
	"encoding/base64"
	"fmt"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of a JobSpec. They keep a hostile one from costing more than an ordinary one.
const (
	MaxSteps      = 100
	MaxScript     = 1 << 20
	MaxScripts    = 4 << 20 // all scripts, commands and environments together
	MaxArgs       = 1024
	MaxString     = 128<<10 - 1 // one argument or environment variable, as Linux has it
	MaxEnv        = 256
	MaxFiles      = 1000
	MaxFileBytes  = 16 << 20 // all files together
	MaxOutputs    = 100
	MaxStepFiles  = 64
	MaxCaches     = 16
	MaxCondition  = 64 << 10
	MaxLabels     = 64
	MaxAttempts   = 20
	MaxTimeout    = Duration(7 * 24 * time.Hour)
	maxPath       = 4096
	maxName       = 255
	minMemory     = Size(16 << 20)
	maxBytes      = Size(64 << 40)
	defaultTries  = 3
	DefaultQueue  = "default" // the queue of a job that names none
	maxPriorities = 100
)

var (
	keyShape     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`) })
	queueShape   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`) })
	runtimeShape = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`) })
	envShape     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,254}$`) })
	traceShape   = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`) })
	commitShape  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`) })
)

// ApplyDefaults fills in what the spec leaves out: queue, network, limits, attempts and
// step keys. Doing it twice changes nothing. Slices that the caller shares are not written to.
func (s *JobSpec) ApplyDefaults() {
	if s.Queue == "" {
		s.Queue = DefaultQueue
	}
	if s.Network == "" {
		s.Network = NetworkPublic
	}
	if s.Attempts == 0 {
		s.Attempts = defaultTries
	}
	s.Limits = s.Limits.WithDefaults(DefaultLimits())
	s.Steps = slices.Clone(s.Steps)
	for i := range s.Steps {
		if s.Steps[i].Key == "" {
			s.Steps[i].Key = fmt.Sprintf("step-%d", i+1)
		}
	}
}

// Validate returns nil or a *ValidationError with every problem found. A spec without its defaults is
// valid too: empty fields that have a default are no problem.
func (s JobSpec) Validate() error {
	var v validator
	v.checkHead(s)
	v.checkLimits(s.Limits)
	if s.Repo != nil {
		v.checkRepo(*s.Repo)
	}
	v.checkFiles(s.Files)
	v.checkSteps(s.Steps)
	v.checkOutputs(s.Outputs)
	v.checkTemplate(s)
	v.checkCaches(s.Caches)
	if len(v.problems) == 0 {
		return nil
	}
	return &ValidationError{Problems: v.problems}
}

// maxProblems bounds the report: who sent a million faults needs not read them all.
const maxProblems = 100

// validator collects problems.
type validator struct {
	problems []Problem
}

func (v *validator) add(path, format string, args ...any) {
	if len(v.problems) < maxProblems {
		v.problems = append(v.problems, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
	}
}

// check adds a problem unless ok.
func (v *validator) check(ok bool, path, format string, args ...any) {
	if !ok {
		v.add(path, format, args...)
	}
}

// checkHead checks the fields of the job as a whole.
func (v *validator) checkHead(s JobSpec) {
	v.check(len(s.Name) <= 200 && plain(s.Name), "name", "want at most 200 bytes of UTF-8 without control characters")
	v.check(s.Queue == "" || queueShape().MatchString(s.Queue), "queue",
		"want up to 64 letters, digits, '-', '_' and '.', beginning with a letter or digit")
	v.check(s.Priority >= -maxPriorities && s.Priority <= maxPriorities, "priority", "want -100 to 100, not %d", s.Priority)
	v.check(s.Trace == "" || traceShape().MatchString(s.Trace), "trace", "want a W3C traceparent such as 00-<32 hex digits>-<16 hex digits>-01")
	v.check(s.Attempts >= 0 && s.Attempts <= MaxAttempts, "attempts", "want 1 to %d, not %d", MaxAttempts, s.Attempts)
	v.check(s.Runtime == "" || runtimeShape().MatchString(s.Runtime), "runtime", "want a runtime's name such as gvisor or docker")
	v.check(s.Network == "" || s.Network == NetworkPublic || s.Network == NetworkNone, "network",
		"want %q or %q, not %q", NetworkPublic, NetworkNone, short(string(s.Network)))
	v.check(len(s.Labels) <= MaxLabels, "labels", "want at most %d labels", MaxLabels)
	for _, k := range sortedKeys(s.Labels) {
		v.check(k != "" && len(k) <= 128 && plain(k), at("labels", k), "want a label of 1 to 128 bytes without control characters")
		v.check(len(s.Labels[k]) <= 256 && plain(s.Labels[k]), at("labels", k), "want a value of at most 256 bytes without control characters")
	}
}

// checkLimits checks the ranges; zero is the default.
func (v *validator) checkLimits(l Limits) {
	v.check(l.CPUs == 0 || l.CPUs >= 0.1 && l.CPUs <= 1024 && !math.IsNaN(l.CPUs), "limits.cpus", "want 0.1 to 1024")
	v.check(l.Memory == 0 || l.Memory >= minMemory && l.Memory <= maxBytes, "limits.memory", "want %s to %s", minMemory, maxBytes)
	v.check(l.Disk == 0 || l.Disk >= minMemory && l.Disk <= maxBytes, "limits.disk", "want %s to %s", minMemory, maxBytes)
	v.check(l.Pids >= 0 && l.Pids <= 1<<22, "limits.pids", "want 1 to %d", 1<<22)
	v.check(l.OpenFiles == 0 || l.OpenFiles >= 16 && l.OpenFiles <= 1<<20, "limits.open_files", "want 16 to %d", 1<<20)
	v.check(l.Log >= 0 && l.Log <= maxBytes, "limits.log", "want a size of at most %s", maxBytes)
	v.checkTimeout(l.Timeout, "limits.timeout")
}

func (v *validator) checkTimeout(d Duration, path string) {
	v.check(d >= 0 && d <= MaxTimeout, path, "want a time of more than 0 and at most %s", MaxTimeout)
}

// checkRepo checks names that will be arguments of git.
func (v *validator) checkRepo(r Repo) {
	v.check(r.Name != "", "repo.name", "want the name of a repository")
	v.check(len(r.Name) <= maxPath && plain(r.Name) && !strings.HasPrefix(r.Name, "-"), "repo.name",
		"want at most %d bytes without control characters, not beginning with '-'", maxPath)
	okRev := len(r.Rev) <= 512 && plain(r.Rev) && !strings.HasPrefix(r.Rev, "-") &&
		!strings.ContainsAny(r.Rev, " :?*[\\") && !strings.Contains(r.Rev, "..")
	v.check(okRev, "repo.rev", "want a branch, a tag or a commit: no spaces, no control characters, none of : ? * [ \\ and \"..\", not beginning with '-'")
	if r.Only != "" {
		msg := badPath(r.Only)
		if msg == "" && path.Clean(r.Only) != r.Only {
			msg = "want a clean path: no \".\", no empty parts, no slash at the end"
		}
		v.check(msg == "", "repo.only", "%s", msg)
	}
	v.check(r.Commit == "" || commitShape().MatchString(r.Commit), "repo.commit", "want a full commit of 40 or 64 lower-case hex digits")
}

// checkFiles checks paths and the size of all files together.
func (v *validator) checkFiles(files []File) {
	if len(files) > MaxFiles {
		v.add("files", "want at most %d files, not %d", MaxFiles, len(files))
		return
	}
	seen := map[string]int{}
	total := 0
	for i, f := range files {
		p := fmt.Sprintf("files[%d]", i)
		if msg := badPath(f.Path); msg != "" {
			v.add(p+".path", "%s", msg)
		} else if clean := path.Clean(f.Path); clean == "." || strings.HasSuffix(f.Path, "/") {
			v.add(p+".path", "want the path of a file, not of a folder")
		} else if j, ok := seen[clean]; ok {
			v.add(p+".path", "%q is the path of files[%d] too", short(clean), j)
		} else {
			seen[clean] = i
		}
		v.check(f.Content == "" || f.Base64 == "", p, "want only one of content and base64")
		total += len(f.Content)
		if f.Base64 != "" {
			n, err := base64Size(f.Base64)
			v.check(err == nil, p+".base64", "want standard base64 with padding")
			total += n
		}
	}
	for clean, i := range seen {
		for dir := path.Dir(clean); dir != "."; dir = path.Dir(dir) {
			if j, ok := seen[dir]; ok {
				v.add(fmt.Sprintf("files[%d].path", i), "lies beneath files[%d], which is a file", j)
			}
		}
	}
	v.check(total <= MaxFileBytes, "files", "want at most %s of files together, not %d bytes", Size(MaxFileBytes), total)
}

// base64Size is the number of bytes that s decodes to, found without keeping them.
func base64Size(s string) (int, error) {
	if len(s) > 2*MaxFileBytes {
		return len(s) / 2, nil // too large anyway
	}
	b, err := base64.StdEncoding.DecodeString(s)
	return len(b), err
}

// checkOutputs checks the globs' shape.
func (v *validator) checkOutputs(globs []string) {
	v.check(len(globs) <= MaxOutputs, "outputs", "want at most %d globs, not %d", MaxOutputs, len(globs))
	for i, g := range globs[:min(len(globs), MaxOutputs)] {
		p := fmt.Sprintf("outputs[%d]", i)
		if msg := badPath(g); msg != "" {
			v.add(p, "%s", msg)
		} else if _, err := path.Match(g, "x"); err != nil {
			v.add(p, "want a glob such as report/**/*.json: %q has an open bracket or ends in a backslash", short(g))
		}
	}
}

// badPath says what keeps p from being a path inside a workspace; "" when nothing does.
func badPath(p string) string {
	clean := path.Clean(p)
	first, _, _ := strings.Cut(clean, "/")
	switch {
	case p == "" || len(p) > maxPath:
		return fmt.Sprintf("want a path of 1 to %d bytes", maxPath)
	case !plain(p):
		return "want UTF-8 without control characters"
	case path.IsAbs(p):
		return "want a path relative to the workspace, not an absolute one"
	case slices.Contains(strings.Split(p, "/"), ".."):
		return `want a path inside the workspace, without ".."`
	case strings.EqualFold(first, ".git"):
		return "want a path outside .git, which is not part of the workspace"
	}
	for part := range strings.SplitSeq(p, "/") {
		if len(part) > maxName {
			return fmt.Sprintf("want names of at most %d bytes", maxName)
		}
	}
	return ""
}

// plain reports whether s is UTF-8 without control characters: fit for one line and for an argument.
func plain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// text reports whether s is UTF-8 without NUL.
func text(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// short cuts a value from outside for use in a message.
func short(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}

// at is the path of a key of a map.
func at(p, key string) string {
	if envShape().MatchString(key) {
		return p + "." + key
	}
	return fmt.Sprintf("%s[%q]", p, short(key))
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
