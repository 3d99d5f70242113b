package stepcache

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Inputs are all that a step's result depends on. Texts are as they are after templates
// were rendered; what may be long or confidential is there as its hash (Hash).
type Inputs struct {
	// Tree is the workspace before the step: commit, folder, files brought along, and what
	// earlier steps changed.
	Tree Tree `json:"tree"`
	// Script is the hash of the script or the command, with how it is run.
	Script string `json:"script"`
	// Image is what the step names, Digest what that was.
	Image  string `json:"image"`
	Digest string `json:"digest"`
	Dir    string `json:"dir,omitempty"`
	// Env maps names to hashes of values, Files paths to hashes of contents.
	Env   map[string]string `json:"env,omitempty"`
	Files map[string]string `json:"files,omitempty"`
	// Outputs is the hash of what the step's outputs are made from, empty when it has none.
	Outputs string `json:"outputs,omitempty"`
	// Network is the policy: a script may come to something else without a network.
	Network string `json:"network"`
}

// Tree names the content of a workspace.
type Tree struct {
	Commit string `json:"commit,omitempty"`
	Only   string `json:"only,omitempty"`
	// Files is the hash of the files that the job brought along.
	Files string `json:"files,omitempty"`
	// Diff is the hash of the diff that earlier steps left, empty for none.
	Diff string `json:"diff,omitempty"`
	// Step is the key of the step before, when that left more than its diff says.
	Step string `json:"step,omitempty"`
}

// Hash is the hash of the parts, each told from the next.
func Hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:", len(p))
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Key is the key of the result that the inputs lead to.
func (in Inputs) Key() string {
	text, err := json.Marshal(in) // maps come out sorted
	if err != nil {
		panic(err) // strings and maps of strings
	}
	return Hash(fmt.Sprintf("step result %d", Version), string(text))
}

// Explain says in a few words what is not as it was: why a result of before does not serve now.
func (in Inputs) Explain(before Inputs) string {
	var why []string
	add := func(changed bool, format string, args ...any) {
		if changed {
			why = append(why, fmt.Sprintf(format, args...))
		}
	}
	a, b := before.Tree, in.Tree
	switch {
	case a.Commit != b.Commit:
		add(true, "the repository is at %.10s, it was at %.10s", b.Commit, a.Commit)
	case a.Diff != b.Diff || a.Step != b.Step:
		add(true, "the steps before it left something else")
	}
	add(a.Only != b.Only, "the workspace's folder changed")
	add(a.Files != b.Files, "the job's files changed")
	add(before.Script != in.Script, "the script changed")
	switch {
	case before.Image != in.Image:
		add(true, "the image is %s, it was %s", in.Image, before.Image)
	case before.Digest != in.Digest:
		add(true, "the image %s moved from %.19s to %.19s", in.Image, before.Digest, in.Digest)
	}
	add(before.Dir != in.Dir, "the working directory changed")
	add(before.Network != in.Network, "the network policy is %s, it was %s", in.Network, before.Network)
	why = append(why, differing("variable", before.Env, in.Env)...)
	why = append(why, differing("file", before.Files, in.Files)...)
	add(before.Outputs != in.Outputs, "what its outputs are made from changed")
	if len(why) == 0 {
		return "its result was removed from the cache"
	}
	return strings.Join(why, "; ")
}

// maxNamed bounds how many names of a kind an explanation lists.
const maxNamed = 5

func differing(noun string, before, now map[string]string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if old, ok := before[name]; !ok {
			names = append(names, name+" is new")
		} else if old != now[name] {
			names = append(names, name+" changed")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := now[name]; !ok {
			names = append(names, name+" is gone")
		}
	}
	if len(names) == 0 {
		return nil
	}
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed], fmt.Sprintf("and %d more", more))
	}
	return []string{noun + " " + strings.Join(names, ", ")}
}
