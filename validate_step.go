package glovebox

import (
	"fmt"
	"strings"
)

// checkSteps checks each step and that their keys differ.
func (v *validator) checkSteps(steps []Step) {
	if len(steps) == 0 || len(steps) > MaxSteps {
		v.add("steps", "want 1 to %d steps, not %d", MaxSteps, len(steps))
		return
	}
	keys := map[string]int{}
	total := 0
	for i, s := range steps {
		key := s.Key
		if key == "" {
			key = fmt.Sprintf("step-%d", i+1)
		}
		if j, ok := keys[key]; ok {
			v.add(fmt.Sprintf("steps[%d].key", i), "%q is the key of steps[%d] too", short(key), j)
		} else {
			keys[key] = i
		}
		total += v.checkStep(fmt.Sprintf("steps[%d]", i), s)
	}
	v.check(total <= MaxScripts, "steps", "want at most %s of scripts, commands and environments together, not %d bytes", Size(MaxScripts), total)
}

// checkStep returns the size of what the step carries.
func (v *validator) checkStep(p string, s Step) int {
	v.check(s.Key == "" || keyShape().MatchString(s.Key) && s.Key != "." && s.Key != "..", p+".key",
		"want 1 to 64 letters, digits, '-', '_' and '.'")
	v.check(s.Image != "", p+".image", "want an image, such as host or debian:13")
	v.check(len(s.Image) <= maxPath && plain(s.Image) && !strings.HasPrefix(s.Image, "-"), p+".image",
		"want at most %d bytes without control characters, not beginning with '-'", maxPath)
	size := v.checkCommand(p, s)
	if s.Dir != "" {
		if msg := badPath(s.Dir); msg != "" {
			v.add(p+".dir", "%s", msg)
		}
	}
	v.check(s.If == "" || s.If == "success" || s.If == "failure" || s.If == "always", p+".if",
		"want success, failure or always, not %q", short(s.If))
	v.check(len(s.Condition) <= MaxCondition && text(s.Condition), p+".condition", "want at most %s of UTF-8 without NUL bytes", Size(MaxCondition))
	v.checkTimeout(s.Timeout, p+".timeout")
	return size + len(s.Condition) + v.checkEnv(p, s)
}

// checkCommand checks that there is exactly one of script and command.
func (v *validator) checkCommand(p string, s Step) int {
	size := len(s.Run)
	hasRun, hasCommand := strings.TrimSpace(s.Run) != "", len(s.Command) > 0
	switch {
	case hasRun && hasCommand:
		v.add(p+".run", "want only one of run and command")
	case !hasRun && !hasCommand:
		v.add(p+".run", "want a script here, or a command")
	}
	v.check(len(s.Run) <= MaxScript, p+".run", "want at most %s, not %d bytes", Size(MaxScript), len(s.Run))
	v.check(text(s.Run), p+".run", "want UTF-8 without NUL bytes")
	v.check(len(s.Command) <= MaxArgs, p+".command", "want at most %d arguments, not %d", MaxArgs, len(s.Command))
	for i, arg := range s.Command[:min(len(s.Command), MaxArgs)] {
		size += len(arg)
		v.check(i > 0 || arg != "", fmt.Sprintf("%s.command[0]", p), "want the name of a program")
		v.check(len(arg) <= MaxString && text(arg), fmt.Sprintf("%s.command[%d]", p, i), "want at most %d bytes of UTF-8 without NUL bytes", MaxString)
	}
	return size
}

// checkEnv checks variables and secrets, which share their names.
func (v *validator) checkEnv(p string, s Step) int {
	size := 0
	v.check(len(s.Env) <= MaxEnv, p+".env", "want at most %d variables, not %d", MaxEnv, len(s.Env))
	v.check(len(s.Secrets) <= MaxEnv, p+".secrets", "want at most %d secrets, not %d", MaxEnv, len(s.Secrets))
	if len(s.Env) > MaxEnv || len(s.Secrets) > MaxEnv {
		return 0
	}
	for _, k := range sortedKeys(s.Env) {
		val := s.Env[k]
		size += len(k) + len(val)
		v.check(envShape().MatchString(k), at(p+".env", k), "want a name of letters, digits and '_', not beginning with a digit")
		v.check(len(k)+1+len(val) <= MaxString && text(val), at(p+".env", k), "want a value of at most %d bytes of UTF-8 without NUL bytes", MaxString)
	}
	seen := map[string]bool{}
	for i, name := range s.Secrets {
		sp := fmt.Sprintf("%s.secrets[%d]", p, i)
		v.check(envShape().MatchString(name), sp, "want a name of letters, digits and '_', not beginning with a digit")
		_, inEnv := s.Env[name]
		v.check(!seen[name] && !inEnv, sp, "%q is set already", short(name))
		seen[name] = true
	}
	return size
}
