package glovebox

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
)

var outputShape = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,99}$`) })

// checkTemplate checks what came with templates: their values, step outputs and files, the step cache.
func (v *validator) checkTemplate(s JobSpec) {
	v.check(s.StepCache == "" || s.StepCache == StepCacheUse || s.StepCache == StepCacheRefresh, "step_cache",
		"want %q or %q, not %q", StepCacheUse, StepCacheRefresh, short(s.StepCache))
	if t := s.Template; t != nil {
		v.checkTemplateValues(*t)
	}
	if len(s.Steps) > MaxSteps {
		return // reported
	}
	total := 0
	for i, step := range s.Steps {
		p := fmt.Sprintf("steps[%d]", i)
		total += v.checkStepFiles(p+".files", step.Files)
		if len(step.Outputs) > 0 && s.Template == nil {
			v.add(p+".outputs", "a step has outputs only in a job with a template")
		}
		total += v.checkStepOutputs(p+".outputs", step.Outputs)
	}
	v.check(total <= MaxFileBytes, "steps", "want at most %s of step files and outputs together, not %d bytes", Size(MaxFileBytes), total)
}

func (v *validator) checkTemplateValues(t Template) {
	for _, f := range []struct{ path, value string }{
		{"template.repository.name", t.Repository.Name}, {"template.repository.branch", t.Repository.Branch}, {"template.batch_change.name", t.BatchChange.Name},
	} {
		v.check(len(f.value) <= maxPath && plain(f.value), f.path, "want at most %d bytes of UTF-8 without control characters", maxPath)
	}
	v.check(len(t.BatchChange.Description) <= MaxCondition && text(t.BatchChange.Description), "template.batch_change.description",
		"want at most %s of UTF-8 without NUL bytes", Size(MaxCondition))
	total := 0
	for i, p := range t.Repository.SearchResultPaths {
		total += len(p)
		v.check(len(p) <= maxPath && text(p), fmt.Sprintf("template.repository.search_result_paths[%d]", i), "want at most %d bytes of UTF-8 without NUL bytes", maxPath)
	}
	v.check(total <= MaxScript, "template.repository.search_result_paths", "want at most %s together", Size(MaxScript))
	if t.Path != "" {
		if msg := badPath(t.Path); msg != "" {
			v.add("template.path", "%s", msg)
		}
	}
}

// checkStepFiles returns the size of the files.
func (v *validator) checkStepFiles(p string, files []StepFile) int {
	if len(files) > MaxStepFiles {
		v.add(p, "want at most %d files, not %d", MaxStepFiles, len(files))
		return 0
	}
	seen := map[string]int{}
	total := 0
	for i, f := range files {
		fp := fmt.Sprintf("%s[%d]", p, i)
		if msg := badSandboxPath(f.Path); msg != "" {
			v.add(fp+".path", "%s", msg)
		} else if f.Path == "/work" {
			v.add(fp+".path", "want a path other than /work, which is the workspace")
		} else if strings.Contains(f.Path, ",") {
			v.add(fp+".path", "want a path without commas")
		} else if j, ok := seen[f.Path]; ok {
			v.add(fp+".path", "%q is the path of files[%d] too", short(f.Path), j)
		}
		seen[f.Path] = i
		v.check(f.Content == "" || f.Base64 == "", fp, "want only one of content and base64")
		total += len(f.Content)
		if f.Base64 != "" {
			n, err := base64Size(f.Base64)
			v.check(err == nil, fp+".base64", "want standard base64 with padding")
			total += n
		}
	}
	for name, i := range seen {
		for dir := path.Dir(name); dir != "/" && dir != "."; dir = path.Dir(dir) {
			if j, ok := seen[dir]; ok {
				v.add(fmt.Sprintf("%s[%d].path", p, i), "lies beneath files[%d], which is a file", j)
			}
		}
	}
	v.check(total <= MaxFileBytes, p, "want at most %s of files together, not %d bytes", Size(MaxFileBytes), total)
	return total
}

// checkStepOutputs returns the size of the outputs' templates.
func (v *validator) checkStepOutputs(p string, outputs map[string]StepOutput) int {
	if len(outputs) > MaxOutputs {
		v.add(p, "want at most %d outputs, not %d", MaxOutputs, len(outputs))
		return 0
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		o := outputs[name]
		total += len(o.Value)
		v.check(outputShape().MatchString(name), at(p, name), "want a name of letters, digits and '_', not beginning with a digit")
		v.check(len(o.Value) <= MaxScript && text(o.Value), at(p, name)+".value", "want at most %s of UTF-8 without NUL bytes", Size(MaxScript))
		v.check(o.Format == "" || o.Format == "text" || o.Format == "yaml" || o.Format == "json", at(p, name)+".format",
			"want text, yaml or json, not %q", short(o.Format))
	}
	return total
}

// checkCaches checks the names and places of shared folders.
func (v *validator) checkCaches(caches []CacheFolder) {
	if len(caches) > MaxCaches {
		v.add("caches", "want at most %d folders, not %d", MaxCaches, len(caches))
		return
	}
	for i, c := range caches {
		p := fmt.Sprintf("caches[%d]", i)
		v.check(keyShape().MatchString(c.Name) && c.Name != "." && c.Name != "..", p+".name", "want 1 to 64 letters, digits, '-', '_' and '.'")
		msg := badSandboxPath(c.Path)
		if msg == "" && beneath(c.Path, "/work") {
			msg = "want a path outside of /work, which is the workspace"
		}
		if msg != "" {
			v.add(p+".path", "%s", msg)
			continue
		}
		for j, other := range caches[:i] {
			v.check(other.Name != c.Name, p+".name", "%q is the name of caches[%d] too", short(c.Name), j)
			v.check(!beneath(c.Path, other.Path) && !beneath(other.Path, c.Path), p+".path", "lies in, or holds, caches[%d]", j)
		}
	}
}

// badSandboxPath says what keeps p from being a place of its own in a sandbox; "" when nothing does.
func badSandboxPath(p string) string {
	switch {
	case p == "" || len(p) > maxPath:
		return fmt.Sprintf("want a path of 1 to %d bytes", maxPath)
	case !plain(p):
		return "want UTF-8 without control characters"
	case !path.IsAbs(p):
		return "want an absolute path"
	case path.Clean(p) != p:
		return "want a clean path: no \".\", no \"..\", no empty parts, no slash at the end"
	case p == "/":
		return "want a path other than /"
	}
	for _, taken := range []string{"/proc", "/sys", "/dev"} {
		if beneath(p, taken) {
			return "want a path outside of " + taken
		}
	}
	for part := range strings.SplitSeq(p, "/") {
		if len(part) > maxName {
			return fmt.Sprintf("want names of at most %d bytes", maxName)
		}
	}
	return ""
}

// beneath reports whether a clean path is a folder or lies in it.
func beneath(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
