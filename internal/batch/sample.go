package batch

import (
	"encoding/json"
	"regexp"
	"strings"
	"sync"
)

var nameShape = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.-]{1,200}$`) })

// Sample returns a spec to begin with, which Parse accepts. Without a name that batch changes may have it
// takes one of its own; without an author, or with one that no commit can have, changesets have the default one.
func Sample(name, authorName, authorEmail string) []byte {
	if !nameShape().MatchString(name) {
		name = "my-batch-change"
	}
	author := `    # author: {name: Ada Lovelace, email: ada@example.org}
`
	if badAuthor(Author{authorName, authorEmail}) == nil && !strings.Contains(authorName+authorEmail, "${{") {
		author = "    author: {name: " + quote(authorName) + ", email: " + quote(authorEmail) + "}\n"
	}
	return []byte(strings.NewReplacer("NAME", quote(name), "    AUTHOR\n", author).Replace(sample))
}

// quote writes a text so that YAML and JSON read it as it is.
func quote(s string) string {
	b, _ := json.Marshal(s) // a string always has a JSON form
	return string(b)
}

const sample = `# A batch change: what to run, over which repositories, and what to make of the changes.
#   glovebox batch validate FILE                      finds mistakes; nothing is run
#   glovebox batch preview FILE --repos-dir DIR       runs it on local clones and shows the diffs
version: 2
name: NAME
description: Say hello in each README

# The repositories: all that the entries name, each once.
on:
  - repository: acme/app                    # a name; a git URL; locally, the path of a clone below DIR
    # branch: main                          # the default branch without it
  # - repositoriesMatching: acme/*          # a glob over names
  # - repositoriesFrom: repositories.txt    # a file beside this one, a name or URL a line
  # - repositoriesMatchingQuery: repo:^acme/ file:go.mod

# Several workspaces in one repository: one in each folder with such a file.
# workspaces:
#   - rootAtLocationOf: package.json
#     in: acme/*                            # a glob over names; all without it

# What is run, one step after another, in each workspace. Between ${{ and }} stand templates: they know
# repository, batch_change, previous_step, steps and outputs.
steps:
  - run: |
      echo "Hello from ${{ batch_change.name }}" >> README.md
      echo "${{ repository.name }}"
    container: host                         # an image such as debian:13; "host" is this machine's tools, read-only
    # if: ${{ matches repository.name "acme/*" }}
    # env:
    #   LANG: C.UTF-8                       # a value
    # timeout: 10m
    outputs:
      greeted:
        value: ${{ step.stdout }}

# Bounds of each workspace, and what it may reach.
# limits: {memory: 2G, cpus: 2, disk: 4G}
# timeout: 30m
# network: none                             # public without it
# cache: {npm: /root/.npm}                  # folders shared by all your runs

# What becomes of the changes: a commit on a branch of each repository, and a pull or merge request.
changesetTemplate:
  title: Say hello
  body: Adds a greeting to ${{ outputs.greeted }}
  branch: batch/${{ batch_change.name }}
  commit:
    message: Say hello in the README
    AUTHOR
  published: false                          # true, draft, or a list such as [{"acme/*": draft}]
`
