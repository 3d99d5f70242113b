package workspace

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

// snapshot is one commit, ready to be laid out. Its folder holds
//
//	data           the bytes of all files, one after another, in the manifest's order
//	manifest       "git ls-tree -r -z -l" of the commit
//	commit         the commit object
//	objects/pack   one pack with every object of the commit, and its index
//
// The manifest is written last: a folder without it is unfinished.
type snapshot struct {
	dir  string
	lock *os.File
	data *os.File
	list []byte
}

// openSnapshot opens a finished snapshot and takes over the lock; not after an error.
func openSnapshot(dir string, lock *os.File) (*snapshot, error) {
	list, err := os.ReadFile(filepath.Join(dir, "manifest"))
	if err != nil {
		return nil, err
	}
	data, err := os.Open(filepath.Join(dir, "data"))
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %v", err) // not ErrNotExist: the snapshot is damaged
	}
	s := &snapshot{dir: dir, lock: lock, data: data, list: list}
	entries, err := s.entries()
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	info, err := data.Stat()
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	if n := len(entries); n > 0 && info.Size() != entries[n-1].offset+entries[n-1].size {
		return nil, errors.Join(errors.New("open snapshot: its data is cut short"), data.Close())
	}
	now := time.Now()
	_ = os.Chtimes(dir+".lock", now, now)
	return s, nil
}

func (s *snapshot) entries() ([]entry, error) { return parseEntries(s.list) }

func (s *snapshot) release() error { return errors.Join(s.data.Close(), s.lock.Close()) }

// time is the commit's own time, clamped to what file systems and git's index can hold,
// and to the past: a file whose time is now was changed since.
func (s *snapshot) time() time.Time {
	oldest := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	text, err := os.ReadFile(filepath.Join(s.dir, "commit"))
	if err != nil {
		return oldest
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if line == "" {
			break
		}
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[0] != "committer" {
			continue
		}
		if sec, err := strconv.ParseInt(fields[len(fields)-2], 10, 64); err == nil {
			if t := time.Unix(sec, 0); t.After(oldest) && t.Before(time.Now().Add(-time.Minute)) {
				return t
			}
		}
	}
	return oldest
}

// makeSnapshot makes the snapshot of a commit that gitDir holds, with at most max bytes of files unless max is 0.
func makeSnapshot(ctx context.Context, gitDir, dir, commit string, max int64) error {
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "objects", "pack"), 0o700); err != nil {
		return err
	}
	opts := git.Options{GitDir: gitDir}
	packed := make(chan error, 1)
	go func() {
		pack := opts
		pack.Stdin = strings.NewReader(commit + "\n")
		// The window of 0 takes deltas as they came and looks for no new ones.
		packed <- git.Run(ctx, pack, "pack-objects", "-q", "--revs", "--delta-base-offset", "--window=0", filepath.Join(dir, "objects", "pack", "pack"))
	}()
	list, err := makeData(ctx, opts, dir, commit, max)
	if err := errors.Join(err, <-packed); err != nil {
		return err
	}
	object, err := git.Output(ctx, opts, "cat-file", "commit", commit)
	if err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(dir, "commit"), object); err != nil {
		return err
	}
	if err := writeSynced(filepath.Join(dir, "manifest.new"), list); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, "manifest.new"), filepath.Join(dir, "manifest"))
}

// listFor bounds the listing of a tree, which a forged one can make endless: empty folders in
// folders, each named many times, take no room and are never done.
const listFor = 2 * time.Minute

func makeData(ctx context.Context, opts git.Options, dir, commit string, max int64) ([]byte, error) {
	listing, cancel := context.WithTimeoutCause(ctx, listFor, fmt.Errorf("listing the tree takes longer than %s", listFor))
	defer cancel()
	list, err := git.Output(listing, opts, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
	if errors.Is(err, glovebox.ErrTooLarge) {
		return nil, &Fault{"the repository has too many files"}
	}
	if err != nil {
		return nil, err
	}
	entries, err := parseEntries(list)
	if err != nil {
		return nil, err
	}
	if n := len(entries); n > 0 && max > 0 && entries[n-1].offset+entries[n-1].size > max {
		return nil, &Fault{fmt.Sprintf("the files of the repository take more than %s", glovebox.Size(max))}
	}
	data, err := os.OpenFile(filepath.Join(dir, "data"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	err = copyBlobs(ctx, opts, entries, data)
	if err == nil {
		err = data.Sync()
	}
	return list, errors.Join(err, data.Close())
}

// copyBlobs writes the bytes of all entries to data, by one git process.
func copyBlobs(ctx context.Context, opts git.Options, entries []entry, data io.Writer) error {
	var names strings.Builder
	for _, e := range entries {
		if e.mode != modeSubmodule {
			names.WriteString(e.object)
			names.WriteByte('\n')
		}
	}
	r, w := io.Pipe()
	opts.Stdin, opts.Stdout = strings.NewReader(names.String()), w
	read := make(chan error, 1)
	go func() {
		err := splitBlobs(bufio.NewReaderSize(r, 1<<20), entries, data)
		r.CloseWithError(err)
		read <- err
	}()
	err := git.Run(ctx, opts, "cat-file", "--batch", "--buffer")
	w.CloseWithError(err)
	return errors.Join(err, <-read)
}

func splitBlobs(r *bufio.Reader, entries []entry, data io.Writer) error {
	out := bufio.NewWriterSize(data, 1<<20)
	for _, e := range entries {
		if e.mode == modeSubmodule {
			continue
		}
		head, err := r.ReadString('\n')
		if err != nil {
			return fmt.Errorf("read object %s: %w", e.object, err)
		}
		if want := fmt.Sprintf("%s blob %d\n", e.object, e.size); head != want {
			return fmt.Errorf("read object %s: unexpected %q", e.object, head)
		}
		if _, err := io.CopyN(out, r, e.size); err != nil {
			return fmt.Errorf("read object %s: %w", e.object, err)
		}
		if _, err := r.Discard(1); err != nil {
			return fmt.Errorf("read object %s: %w", e.object, err)
		}
	}
	return out.Flush()
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}
