package workspace

import (
	"context"
	"errors"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/glovebox-dev/glovebox/internal/git"
)

// change is one path that is not as it was laid out.
type change struct {
	found
	deleted bool
	// object is the content's name as far as it is known; stored says that git has it already.
	object string
	stored bool
}

// known is what an earlier look at a path came to.
type known struct {
	stamp
	// racy: the file may have changed since without its stamp telling.
	racy bool
	// object is the content's name, empty for a file that was left out because it is ignored.
	object string
	stored bool
}

// view is the tree at one moment, against what was laid out.
type view struct {
	when time.Time
	// candidates are files and links that are not sure to be as they were laid out.
	candidates []change
	// tracked says of each candidate whether .gitignore can't leave it out.
	tracked []bool
	rules   []found
	deleted []change
}

// look walks the tree.
func (w *Workspace) look(ctx context.Context, r *remarks) (*view, error) {
	w.indexEntries()
	v := &view{when: time.Now()}
	seen := make([]bool, len(w.entries))
	err := w.walk(ctx, r, func(path string) bool { return w.submodule(path) }, func(f found) error {
		if w.leftOut(f, r) {
			return nil
		}
		if f.regular() && path.Base(f.path) == ".gitignore" {
			v.rules = append(v.rules, f)
		}
		i, laid := w.base[f.path]
		if laid {
			seen[i] = true
		}
		_, brought := w.files[f.path]
		if laid && !brought && w.untouched(w.stamps[i], f.stamp) {
			return nil
		}
		v.candidates = append(v.candidates, change{found: f})
		v.tracked = append(v.tracked, laid || w.hidden.file(f.path))
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, e := range w.entries {
		if !seen[i] && e.mode != modeSubmodule {
			v.deleted = append(v.deleted, change{found: found{path: e.path}, deleted: true})
		}
	}
	return v, nil
}

func (w *Workspace) indexEntries() {
	if w.base != nil {
		return
	}
	w.base = make(map[string]int, len(w.entries))
	for i, e := range w.entries {
		w.base[e.path] = i
	}
}

func (w *Workspace) submodule(path string) bool {
	i, ok := w.base[path]
	return ok && w.entries[i].mode == modeSubmodule
}

// leftOut reports whether a diff can't hold something in the tree.
func (w *Workspace) leftOut(f found, r *remarks) bool {
	switch {
	case w.submodule(f.path):
		r.add("left out %s: it is a submodule's place", f.path)
	case !f.regular() && !f.link():
		r.add("left out %s: neither a file nor a link", f.path)
	case f.link() && git.IsDotGitmodules(path.Base(f.path)):
		r.add("left out %s: git takes no link of that name", f.path)
	case w.hidden.covers(f.path):
		r.add("left out %s: the repository has something else there that was not laid out", f.path)
	default:
		return false
	}
	return true
}

// untouched reports whether a file is as it was laid out. One whose change time is close
// to the end of laying out may have changed within one tick of the file system's clock.
func (w *Workspace) untouched(before, now stamp) bool {
	return before == now && !racy(now, w.laid)
}

// racy reports whether a file that was looked at at some time may change afterwards and keep its stamp.
func racy(s stamp, at time.Time) bool {
	return !time.Unix(s.ctime.Unix()).Before(at.Add(-clockTick))
}

const clockTick = 20 * time.Millisecond

// settle finds the contents of the candidates as far as no new content has to be recorded: by
// stamps, and by reading files that are as long as they were. It returns what is known now, and
// whether all is as an earlier Diff saw it.
func (w *Workspace) settle(ctx context.Context, v *view) (now map[string]known, same bool, err error) {
	now = make(map[string]known, len(v.candidates))
	same = len(v.candidates) == len(w.known) && samePaths(v.deleted, w.deleted)
	for i := range v.candidates {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		c := &v.candidates[i]
		before, seen := w.known[c.path]
		settled, err := w.settleOne(c, before, seen)
		if err != nil {
			return nil, false, err
		}
		same = same && settled && gitMode(c.mode) == gitMode(before.mode)
		now[c.path] = known{stamp: c.stamp, racy: racy(c.stamp, v.when), object: c.object, stored: c.stored}
	}
	return now, same, nil
}

// settleOne reports whether a candidate's content is what it was in the earlier look.
func (w *Workspace) settleOne(c *change, before known, seen bool) (bool, error) {
	if seen && before.stamp == c.stamp && (!before.racy || (before.object == "" && path.Base(c.path) != ".gitignore")) {
		c.object, c.stored = before.object, before.stored
		return true, nil
	}
	if seen && before.object == "" {
		return false, nil
	}
	i, laid := w.base[c.path]
	brought, ok := w.files[c.path]
	likely := (seen && before.size == c.size) || (laid && uint64(w.entries[i].size) == c.size) || (ok && brought.size == c.size)
	if !likely {
		return false, nil // a file with holes may be far larger than the disk: it is not read to learn that it has grown
	}
	object, err := w.hash(c.found)
	if err != nil {
		return false, err
	}
	switch {
	case seen && object == before.object:
		c.object, c.stored = object, before.stored
		return true, nil
	case laid && object == w.entries[i].object:
		c.object, c.stored = object, true
	case ok && object == brought.object:
		c.object = object
	}
	return false, nil
}

// changed keeps of the candidates what differs from what was laid out, and is not ignored.
func (w *Workspace) changed(ctx context.Context, v *view, now map[string]known, r *remarks) ([]change, error) {
	var fresh []string
	for i, c := range v.candidates {
		if _, brought := w.files[c.path]; !v.tracked[i] && !brought {
			fresh = append(fresh, c.path)
		}
	}
	ignored, err := w.ignored(ctx, v.rules, fresh, r)
	if err != nil {
		return nil, err
	}
	// Deletions first: a file may have become a folder, or a folder a file.
	all := append([]change(nil), v.deleted...)
	for _, c := range v.candidates {
		if ignored[c.path] {
			k := now[c.path]
			k.object, k.stored = "", false
			now[c.path] = k
			continue
		}
		if !w.asLaid(c) {
			all = append(all, c)
		}
	}
	return all, nil
}

// asLaid reports whether a candidate turned out to be what was laid out.
func (w *Workspace) asLaid(c change) bool {
	if c.object == "" {
		return false
	}
	if b, ok := w.files[c.path]; ok {
		return c.object == b.object && c.regular() && c.executable() == b.executable
	}
	i, laid := w.base[c.path]
	return laid && c.object == w.entries[i].object && gitMode(c.mode) == w.entries[i].mode
}

// gitMode is the mode that git records for a file or link.
func gitMode(mode uint32) string {
	switch {
	case mode&unix.S_IFMT == unix.S_IFLNK:
		return modeLink
	case mode&0o100 != 0:
		return modeExecutable
	}
	return modeFile
}

// sameChanges reports whether changes are known to be those of an earlier call.
func sameChanges(before, now []change) bool {
	if len(before) != len(now) {
		return false
	}
	for i, b := range before {
		n := now[i]
		if b.path != n.path || b.deleted != n.deleted || b.object != n.object || gitMode(b.mode) != gitMode(n.mode) || (n.object == "" && !n.deleted) {
			return false
		}
	}
	return true
}

func samePaths(a, b []change) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].path != b[i].path {
			return false
		}
	}
	return true
}

// largest names the largest of the changed files, for whoever has to make a diff smaller.
func largest(changes []change) (big found) {
	for _, c := range changes {
		if !c.deleted && c.size >= big.size {
			big = c.found
		}
	}
	return big
}

func asFault(err error) bool {
	var f *Fault
	return errors.As(err, &f)
}
