package local

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync"
	"unicode"

	"github.com/glovebox-dev/glovebox"
)

// name gives each workspace the name of its files: that of the repository where it is the only
// one of it, else the repository's as a folder, with path and branch.
func (f *folder) name(outcomes []Outcome) {
	count, branches := map[string]int{}, map[string]map[string]bool{}
	for _, o := range outcomes {
		count[o.Repo]++
		if branches[o.Repo] == nil {
			branches[o.Repo] = map[string]bool{}
		}
		branches[o.Repo][o.Branch] = true
	}
	taken := map[string]bool{changesetsFile: true, reportFile: true, stateFile: true, logsFolder: true, tempFolder: true}
	f.names = nil
	for _, o := range outcomes {
		name := safePath(o.Repo)
		if count[o.Repo] > 1 {
			last := strings.ReplaceAll(o.Path, "/", "-")
			if last == "" {
				last = "root"
			}
			if len(branches[o.Repo]) > 1 {
				last += "@" + strings.ReplaceAll(strings.TrimPrefix(o.Branch, "refs/heads/"), "/", "-")
			}
			name = path.Join(name, safePart(last))
		}
		free := name
		for n := 2; taken[strings.ToLower(free)]; n++ {
			free = fmt.Sprintf("%s-%d", name, n)
		}
		taken[strings.ToLower(free)] = true
		f.names = append(f.names, free)
	}
}

// safePath makes a relative path of a repository's name or address.
func safePath(name string) string {
	if _, rest, ok := strings.Cut(name, "://"); ok {
		name = rest
		if _, host, ok := strings.Cut(name, "@"); ok {
			name = host
		}
	}
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." && part != ".." {
			parts = append(parts, safePart(part))
		}
	}
	if len(parts) == 0 {
		return "repository"
	}
	if parts[0] == logsFolder || parts[0] == tempFolder {
		parts[0] += "-"
	}
	return path.Join(parts...)
}

// safePart makes one name of a file: no control characters, nothing that a shell or a program takes for an
// option or hides, and not too long.
func safePart(part string) string {
	part = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ':' || unicode.IsControl(r) || r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, part)
	if strings.HasPrefix(part, "-") || strings.HasPrefix(part, ".") {
		part = "_" + part[1:]
	}
	const most = 200
	if len(part) > most {
		part = strings.ToValidUTF8(part[:most], "")
	}
	return part
}

// workspaceFiles are the files of one workspace while it runs.
type workspaceFiles struct {
	folder *folder
	name   string
	// temp is the path of both without their endings.
	temp string
	diff *os.File

	mu  sync.Mutex
	log *os.File
	out *bufio.Writer
}

// logFile makes the log's file when there is more to write than fits into memory, or the log is kept: most are not.
type logFile struct{ w *workspaceFiles }

func (l logFile) Write(p []byte) (int, error) {
	w := l.w
	if w.log == nil {
		var err error
		if w.log, err = w.folder.root.OpenFile(w.temp+".log", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
			return 0, fmt.Errorf("make log file: %w", err)
		}
	}
	return w.log.Write(p)
}

func (f *folder) open(i int) (*workspaceFiles, error) {
	w := &workspaceFiles{folder: f, name: f.names[i], temp: path.Join(tempFolder, fmt.Sprint(i))}
	var err error
	if w.diff, err = f.root.OpenFile(w.temp+".diff", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644); err != nil {
		return nil, fmt.Errorf("make file for the diff: %w", err)
	}
	return w, nil
}

// writeLog appends a record to the log.
func (w *workspaceFiles) writeLog(r glovebox.LogRecord) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		w.out = bufio.NewWriter(logFile{w})
	}
	mark := map[string]string{glovebox.StreamStdout: "|", glovebox.StreamStderr: "!", glovebox.StreamSystem: "*"}[r.Stream]
	_, err := fmt.Fprintf(w.out, "%s %s%s %s\n", r.Time.UTC().Format("2006-01-02T15:04:05.000Z"), r.Step, mark, r.Text)
	return err
}

// keepLog moves the log to its place and returns that, empty if there is none.
func (w *workspaceFiles) keepLog() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.out == nil {
		return ""
	}
	place := path.Join(logsFolder, w.name+".log")
	if err := errors.Join(w.out.Flush(), w.folder.move(w.temp+".log", place)); err != nil {
		return ""
	}
	return place
}

func (w *workspaceFiles) readDiff(size int64) ([]byte, error) {
	if _, err := w.diff.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read diff: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(w.diff, size+1))
	if err == nil && int64(len(text)) != size {
		err = fmt.Errorf("%d bytes, described as %d", len(text), size)
	}
	if err != nil {
		return nil, fmt.Errorf("read diff: %w", err)
	}
	return text, nil
}

// keepPatch moves the diff to its place and returns that.
func (w *workspaceFiles) keepPatch() (string, error) {
	place := w.name + ".patch"
	return place, w.folder.move(w.temp+".diff", place)
}

// split writes the patch of one changeset of several.
func (f *folder) split(i int, branch string, diff []byte) (string, error) {
	place := path.Join(f.names[i]+".changesets", safePart(strings.ReplaceAll(branch, "/", "-"))+".patch")
	temp := path.Join(tempFolder, fmt.Sprintf("%d.split", i))
	if err := f.root.WriteFile(temp, diff, 0o644); err != nil {
		return "", fmt.Errorf("write patch: %w", err)
	}
	return place, f.move(temp, place)
}

// move renames a file to a place whose folders are made.
func (f *folder) move(from, to string) error {
	if dir := path.Dir(to); dir != "." {
		if err := f.root.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("write %s: %w", to, err)
		}
	}
	if err := f.root.Rename(from, to); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return nil
}

func (w *workspaceFiles) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.diff.Close()
	if w.log != nil {
		w.log.Close()
	}
	left := []string{w.temp + ".diff"}
	if w.log != nil {
		left = append(left, w.temp+".log")
	}
	for _, name := range left {
		if err := w.folder.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}
