package local

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox"
)

// Files of the folder that a run fills, besides patches:
//
//	run.jsonl         what the run is, then a line for each workspace that ended: to be resumed from
//	changesets.json   what would be published
//	report.json       the summary
//	logs/NAME.log     of workspaces that failed
const (
	stateFile      = "run.jsonl"
	changesetsFile = "changesets.json"
	reportFile     = "report.json"
	logsFolder     = "logs"
	tempFolder     = ".running"
)

// folder is where a run's results go. Names in it are made of hostile ones: everything is opened beneath its root.
type folder struct {
	root  *os.Root
	state *os.File
	// id is the run's, in its jobs' names.
	id     string
	header header
	// before are the outcomes taken over from an earlier run; nil for a new one.
	before []Outcome
	names  []string
}

// header is the first line of stateFile.
type header struct {
	Name string `json:"name"`
	// Spec is the SHA-256 of the spec's text.
	Spec       string    `json:"spec_sha256"`
	Workspaces []Outcome `json:"workspaces"`
}

// ended is each further line.
type ended struct {
	Index   int     `json:"index"`
	Outcome Outcome `json:"outcome"`
}

// openFolder opens or makes the folder, for one run at a time, and takes over or clears what an earlier one left.
func openFolder(dir, name string, spec []byte, resume bool) (_ *folder, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make folder for results: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder for results: %w", err)
	}
	sum := sha256.Sum256(spec)
	id := make([]byte, 4)
	rand.Read(id) // never fails
	f := &folder{root: root, id: hex.EncodeToString(id), header: header{Name: name, Spec: hex.EncodeToString(sum[:])}}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if f.state, err = root.OpenFile(stateFile, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o644); err != nil {
		return nil, fmt.Errorf("open %s: %w", path.Join(dir, stateFile), err)
	}
	if err := unix.Flock(int(f.state.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, fmt.Errorf("the folder %s is in use by another run: %w", dir, glovebox.ErrConflict)
	}
	old, outcomes, err := readState(f.state)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path.Join(dir, stateFile), err)
	}
	switch {
	case resume && old == nil:
		return nil, fmt.Errorf("there is no run to resume in %s: %w", dir, glovebox.ErrNotFound)
	case resume && old.Spec != f.header.Spec:
		return nil, fmt.Errorf("the run in %s is of another spec; without --resume its results are replaced, and steps that did not change are taken from the cache: %w", dir, glovebox.ErrConflict)
	case resume:
		f.before = f.takeOver(outcomes)
	default:
		f.clear(outcomes)
	}
	return f, nil
}

// maxState bounds a state file, maxLine a line of it.
const (
	maxState = 1 << 30
	maxLine  = 64 << 20
)

// readState reads a state file. A last line that was cut short is left out.
func readState(in io.Reader) (*header, []Outcome, error) {
	lines := bufio.NewScanner(io.LimitReader(in, maxState))
	lines.Buffer(make([]byte, 64<<10), maxLine)
	if !lines.Scan() {
		return nil, nil, lines.Err()
	}
	h := &header{}
	if err := json.Unmarshal(lines.Bytes(), h); err != nil {
		return nil, nil, nil // never completely begun, or not ours
	}
	outcomes := h.Workspaces
	for lines.Scan() {
		var e ended
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			break
		}
		if e.Index >= 0 && e.Index < len(outcomes) {
			outcomes[e.Index] = e.Outcome
		}
	}
	return h, outcomes, lines.Err()
}

// takeOver keeps the outcomes that need not be made again: those that went well and whose patches are as they were.
func (f *folder) takeOver(outcomes []Outcome) []Outcome {
	kept := make([]Outcome, 0, len(outcomes))
	for _, o := range outcomes {
		if o.Failed() || !f.intact(o) {
			f.clear([]Outcome{o})
			o = Outcome{Workspace: o.Workspace}
		}
		kept = append(kept, o)
	}
	return kept
}

// intact reports whether the patches of an outcome are still there.
func (f *folder) intact(o Outcome) bool {
	if o.State == "" {
		return false
	}
	if o.Diff == nil {
		return true
	}
	file, err := f.root.Open(o.Patch)
	if err != nil {
		return false
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, io.LimitReader(file, o.Diff.Size+1)); err != nil {
		return false
	}
	for _, c := range o.Changesets {
		if info, err := f.root.Lstat(c.Patch); err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return hex.EncodeToString(sum.Sum(nil)) == o.Diff.SHA256
}

// clear removes the files of earlier outcomes, and no others.
func (f *folder) clear(outcomes []Outcome) {
	for _, o := range outcomes {
		names := []string{o.Patch, o.Log}
		for _, c := range o.Changesets {
			names = append(names, c.Patch)
		}
		for _, name := range names {
			if name != "" {
				_ = f.root.Remove(name) // gone, or a later write says what is wrong
			}
		}
	}
}

// begin writes the state of a run that starts.
func (f *folder) begin(outcomes []Outcome) error {
	_ = f.root.RemoveAll(tempFolder)
	if err := f.root.Mkdir(tempFolder, 0o700); err != nil {
		return fmt.Errorf("prepare folder for results: %w", err)
	}
	for _, name := range []string{changesetsFile, reportFile} {
		if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("prepare folder for results: %w", err)
		}
	}
	h := f.header
	for _, o := range outcomes {
		h.Workspaces = append(h.Workspaces, Outcome{Workspace: o.Workspace})
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	err := enc.Encode(h)
	for i, o := range outcomes {
		if err == nil && o.State != "" {
			err = enc.Encode(ended{i, o})
		}
	}
	if err == nil {
		err = f.state.Truncate(0)
	}
	if err == nil {
		_, err = f.state.WriteAt(text.Bytes(), 0)
	}
	if err == nil {
		_, err = f.state.Seek(0, io.SeekEnd)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", stateFile, err)
	}
	return nil
}

// record appends a workspace's outcome to the state.
func (f *folder) record(i int, o Outcome) error {
	line, err := json.Marshal(ended{i, o})
	if err == nil {
		_, err = f.state.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", stateFile, err)
	}
	return nil
}

// report writes what the run came to.
func (f *folder) report(s Summary) error {
	_ = f.root.RemoveAll(tempFolder)
	changesets := append([]Changeset{}, s.Imported...)
	for _, o := range s.Outcomes {
		changesets = append(changesets, o.Changesets...)
	}
	return errors.Join(f.writeJSON(changesetsFile, changesets), f.writeJSON(reportFile, s))
}

func (f *folder) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err == nil {
		err = f.root.WriteFile(name+".new", append(text, '\n'), 0o644)
	}
	if err == nil {
		err = f.root.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (f *folder) close() {
	if f.state != nil {
		f.state.Close()
	}
	f.root.Close()
}
