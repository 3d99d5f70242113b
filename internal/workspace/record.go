package workspace

import (
	"bufio"
	"context"
	"crypto/sha1" // git's own object names
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

const diffRef = "refs/glovebox/left"

// record makes git objects of the changes, and a commit of them on top of the one laid out. It
// notes the names of new objects in the changes.
func (w *Workspace) record(ctx context.Context, changes []change, limit int64) error {
	r, stream := io.Pipe()
	wrote := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(stream, 1<<20)
		err := w.writeChanges(ctx, out, changes, limit)
		if err == nil {
			err = out.Flush()
		}
		stream.CloseWithError(err)
		wrote <- err
	}()
	// Objects stay in the pack that they come in, which spares a process, and are gone with the job: nothing is synced.
	config := []string{"core.bigFileThreshold=64m", "fastimport.unpackLimit=0", "core.fsync=none"}
	err := git.Run(ctx, git.Options{GitDir: w.GitDir, Stdin: r, Config: config}, "fast-import", "--quiet", "--force", "--done", "--date-format=raw")
	r.CloseWithError(errors.New("git fast-import ended"))
	if werr := <-wrote; werr != nil && (err == nil || asFault(werr)) {
		return werr
	}
	return err
}

// writeChanges writes the changes as a stream of git-fast-import(1).
func (w *Workspace) writeChanges(ctx context.Context, out *bufio.Writer, changes []change, limit int64) error {
	fmt.Fprintf(out, "commit %s\ncommitter glovebox <> 0 +0000\ndata 0\nfrom %s\n", diffRef, w.Commit)
	left := limit
	for i := range changes {
		c := &changes[i]
		if i%256 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if c.deleted {
			fmt.Fprintf(out, "D %s\n", git.QuotePath(c.path))
			continue
		}
		if left -= int64(c.size) + int64(len(c.path)); left < 0 {
			return tooLarge(fmt.Sprintf("the steps changed more than %s of files", glovebox.Size(limit)), changes)
		}
		if err := w.writeChange(out, c); err != nil {
			return err
		}
	}
	_, err := out.WriteString("\ndone\n")
	return err
}

// tooLarge is the fault of a diff that passes a bound. It names the file that weighs most.
func tooLarge(what string, changes []change) *Fault {
	big := largest(changes)
	return &Fault{fmt.Sprintf("%s (the largest changed file is %s, %s); keep large results out of the repository or name them in .gitignore and outputs", what, shown(big.path), glovebox.Size(big.size))}
}

func (w *Workspace) writeChange(out *bufio.Writer, c *change) error {
	if c.stored {
		_, err := fmt.Fprintf(out, "M %s %s %s\n", gitMode(c.mode), c.object, git.QuotePath(c.path))
		return err
	}
	from, err := w.content(c.found)
	if err != nil {
		return err
	}
	defer from.Close()
	fmt.Fprintf(out, "M %s inline %s\ndata %d\n", gitMode(c.mode), git.QuotePath(c.path), c.size)
	sum := w.newHash(c.size)
	if _, err := io.CopyN(io.MultiWriter(out, sum), from, int64(c.size)); err != nil {
		if errors.Is(err, io.EOF) {
			err = &Fault{fmt.Sprintf("%s changed while it was read", shown(c.path))}
		}
		return err
	}
	c.object, c.stored = hex.EncodeToString(sum.Sum(nil)), true
	return out.WriteByte('\n')
}

// content opens what git keeps of a file or link; a link's is where it points to.
func (w *Workspace) content(f found) (io.ReadCloser, error) {
	if !f.link() {
		return w.open(f.path)
	}
	target, err := w.root.Readlink(f.path)
	if err != nil {
		return nil, fmt.Errorf("read link %s: %w", shown(f.path), err)
	}
	if uint64(len(target)) != f.size {
		return nil, &Fault{fmt.Sprintf("%s changed while it was read", shown(f.path))}
	}
	return io.NopCloser(strings.NewReader(target)), nil
}

// hash returns the name of a file's content as git gives it.
func (w *Workspace) hash(f found) (string, error) {
	from, err := w.content(f)
	if err != nil {
		return "", err
	}
	defer from.Close()
	sum := w.newHash(f.size)
	if n, err := io.Copy(sum, io.LimitReader(from, int64(f.size))); err != nil {
		return "", fmt.Errorf("read %s: %w", shown(f.path), err)
	} else if uint64(n) != f.size {
		return "", &Fault{fmt.Sprintf("%s changed while it was read", shown(f.path))}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// newHash begins the name of a blob of a size.
func (w *Workspace) newHash(size uint64) hash.Hash {
	var sum hash.Hash = sha1.New()
	if len(w.Commit) == 64 {
		sum = sha256.New()
	}
	fmt.Fprintf(sum, "blob %d\x00", size)
	return sum
}
