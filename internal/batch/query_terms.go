package batch

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// fieldNames are the fields of the language with their short forms. Those that we can't answer are
// here too: they must be an error, for a query that finds other repositories than it says is worse.
var fieldNames = map[string]string{
	"repo": "repo", "r": "repo", "repohasfile": "repohasfile", "file": "file", "f": "file", "path": "file",
	"lang": "lang", "language": "lang", "l": "lang", "patterntype": "patterntype", "case": "case", "content": "content",
	"count": "count", "timeout": "timeout", "context": "context",
	"fork": "fork", "archived": "archived", "visibility": "visibility", "type": "type", "select": "select", "rev": "rev", "revision": "rev",
	"repogroup": "repogroup", "repohascommitafter": "repohascommitafter", "author": "author", "committer": "committer", "message": "message",
	"before": "before", "after": "after", "since": "since", "until": "until", "stable": "stable", "index": "index", "rule": "rule", "combyrule": "rule",
}

const supported = "known are repo:, file:, lang:, repo:has.file(), repohasfile:, content:, case:, patternType: and text to find"

// languages are the file names of the languages that lang: knows: extensions, or whole names.
var languages = map[string][]string{
	"bash": {".sh", ".bash"}, "c": {".c", ".h"}, "c#": {".cs"}, "c++": {".cpp", ".cc", ".cxx", ".hpp", ".hh", ".hxx", ".h"}, "css": {".css"},
	"dockerfile": {"dockerfile", ".dockerfile"}, "go": {".go"}, "haskell": {".hs"}, "html": {".html", ".htm"}, "java": {".java"},
	"javascript": {".js", ".mjs", ".cjs", ".jsx"}, "json": {".json"}, "kotlin": {".kt", ".kts"}, "makefile": {"makefile", ".mk"},
	"markdown": {".md", ".markdown"}, "php": {".php"}, "python": {".py", ".pyi"}, "ruby": {".rb", "gemfile", "rakefile"}, "rust": {".rs"},
	"scala": {".scala", ".sc"}, "sql": {".sql"}, "swift": {".swift"}, "terraform": {".tf", ".tfvars"}, "toml": {".toml"},
	"typescript": {".ts", ".mts", ".cts", ".tsx"}, "xml": {".xml"}, "yaml": {".yaml", ".yml"},
}

var languageNames = map[string]string{
	"shell": "bash", "sh": "bash", "csharp": "c#", "cs": "c#", "cpp": "c++", "golang": "go", "js": "javascript", "kt": "kotlin", "md": "markdown",
	"py": "python", "rb": "ruby", "rs": "rust", "hcl": "terraform", "tf": "terraform", "ts": "typescript", "yml": "yaml",
}

// queryBuilder makes a query of its terms.
type queryBuilder struct {
	query      *Query
	ignoreCase bool
	// kind is how text is read: "literal", "keyword", "standard" or "regexp".
	kind  string
	words []term
}

func (b *queryBuilder) note(format string, args ...any) {
	b.query.Notes = append(b.query.Notes, "query: "+fmt.Sprintf(format, args...))
}

// setMode reads the terms that say how all others are meant.
func (b *queryBuilder) setMode(t term) error {
	value := strings.ToLower(t.value)
	switch t.field {
	case "case":
		if value != "yes" && value != "no" || t.not {
			return fmt.Errorf("query: want case:yes or case:no, not %q", clip(t.value))
		}
		b.ignoreCase = value == "no"
	case "patterntype":
		if value == "regex" {
			value = "regexp"
		}
		if !slices.Contains([]string{"literal", "keyword", "standard", "regexp"}, value) || t.not {
			return fmt.Errorf("query: patternType:%s is not supported; known are literal, keyword, standard and regexp", clip(t.value))
		}
		b.kind = value
	}
	return nil
}

// add takes one term.
func (b *queryBuilder) add(t term) error {
	if t.field != "" && t.value == "" {
		return fmt.Errorf("query: %s: has no value", t.field)
	}
	switch t.field {
	case "case", "patterntype":
		return nil
	case "count", "timeout":
		b.note("%s: is ignored: every match counts", t.field)
		return nil
	case "context":
		if t.value != "global" || t.not {
			return fmt.Errorf("query: context:%s is not supported", clip(t.value))
		}
		return nil
	case "":
		return b.addWord(t)
	case "content":
		if t.not {
			return errors.New("query: -content: is not supported")
		}
		b.words = append(b.words, t)
		return nil
	case "repo":
		return b.addRepo(t)
	case "repohasfile":
		re, err := b.compile(t.value)
		b.query.having = append(b.query.having, having{path: re, not: t.not})
		return err
	case "file":
		return b.addFile(t)
	case "lang":
		return b.addLanguage(t)
	}
	return fmt.Errorf("query: %s: is not supported; %s", t.field, supported)
}

// compile reads the expression of a filter on names, which ignore case as text does.
func (b *queryBuilder) compile(expr string) (*regexp.Regexp, error) {
	flags := ""
	if b.ignoreCase {
		flags = "(?i)"
	}
	re, err := regexp.Compile(flags + expr)
	if err != nil {
		return nil, fmt.Errorf("query: regular expression %q: %w", clip(expr), err)
	}
	return re, nil
}

func (b *queryBuilder) addRepo(t term) error {
	predicate, args, ok := strings.Cut(t.value, "(")
	if ok && !t.quoted && strings.HasSuffix(args, ")") && (strings.HasPrefix(predicate, "has.") || strings.HasPrefix(predicate, "contains.")) {
		return b.addHaving(predicate, strings.TrimSuffix(args, ")"), t.not)
	}
	if _, branch, ok := strings.Cut(t.value, "@"); ok && !t.quoted {
		return fmt.Errorf("query: repo:…@%s is not supported; use repository with branch in a further entry of on", clip(branch))
	}
	re, err := b.compile(t.value)
	if err != nil {
		return err
	}
	if t.not {
		b.query.notRepos = append(b.query.notRepos, re)
	} else {
		b.query.repos = append(b.query.repos, re)
	}
	return nil
}

// addHaving reads repo:has.file(path:… content:…), has.path(…) and has.content(…).
func (b *queryBuilder) addHaving(predicate, args string, not bool) error {
	h := having{not: not}
	what := strings.TrimPrefix(strings.TrimPrefix(predicate, "has."), "contains.")
	if what != "file" && what != "path" && what != "content" {
		return fmt.Errorf("query: repo:%s() is not supported; %s", clip(predicate), supported)
	}
	var pathArg, contentArg string
	switch args = strings.TrimSpace(args); {
	case what == "content":
		contentArg = args
	case what == "path" || !strings.HasPrefix(args, "path:") && !strings.HasPrefix(args, "content:"):
		pathArg = args
	default:
		for rest := args; rest != ""; {
			key, value, _ := strings.Cut(rest, ":")
			value, _, after, err := scanValue(value, true)
			if err != nil {
				return err
			}
			switch rest = strings.TrimSpace(after); key {
			case "path":
				pathArg = value
			case "content":
				contentArg = value
			default:
				return fmt.Errorf("query: repo:%s(): want path: and content:, not %q", predicate, clip(key))
			}
		}
	}
	if pathArg == "" && contentArg == "" {
		return fmt.Errorf("query: repo:%s(): want a path or a content", predicate)
	}
	var err error
	if pathArg != "" {
		if h.path, err = b.compile(pathArg); err != nil {
			return err
		}
	}
	if contentArg != "" {
		h.content = &Pattern{Text: contentArg, Regexp: true, IgnoreCase: b.ignoreCase}
		if _, err = h.content.Compile(); err != nil {
			return fmt.Errorf("query: regular expression %q: %w", clip(contentArg), err)
		}
	}
	b.query.having = append(b.query.having, h)
	return nil
}

func (b *queryBuilder) addFile(t term) error {
	if strings.HasPrefix(t.value, "has.") || strings.HasPrefix(t.value, "contains.") {
		return fmt.Errorf("query: file:%s is not supported; write the content as text to find", clip(t.value))
	}
	re, err := b.compile(t.value)
	if err != nil {
		return err
	}
	b.addPath(re.MatchString, t.not)
	return nil
}

func (b *queryBuilder) addPath(matches func(string) bool, not bool) {
	if not {
		b.query.notFiles = append(b.query.notFiles, matches)
	} else {
		b.query.files = append(b.query.files, matches)
	}
}

func (b *queryBuilder) addLanguage(t term) error {
	name := strings.ToLower(t.value)
	if long, ok := languageNames[name]; ok {
		name = long
	}
	ends, ok := languages[name]
	if !ok {
		known := make([]string, 0, len(languages))
		for l := range languages {
			known = append(known, l)
		}
		slices.Sort(known)
		return fmt.Errorf("query: lang:%s is not known; known are %s; or write file:", clip(t.value), strings.Join(known, ", "))
	}
	b.addPath(func(p string) bool {
		base := strings.ToLower(path.Base(p))
		return slices.ContainsFunc(ends, func(end string) bool { return base == end || end[0] == '.' && strings.HasSuffix(base, end) })
	}, t.not)
	return nil
}
