package batch

import (
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox/internal/patch"
)

// Split cuts a git diff by file: parts[i] is what lies beneath groups[i].Directory, rest is all else. Of several
// groups that match a file the last has it. All parts together are the diff, byte for byte.
//
// A renamed or copied file belongs where its new name does, whole: its group's diff takes the old one away. Files that
// can't be applied without each other (a file that became a folder) stay together, with the first that is made.
func Split(diff []byte, groups []Group) (rest []byte, parts [][]byte, err error) {
	files, err := patch.Sections(diff)
	if err != nil {
		return nil, nil, err
	}
	if len(groups) == 0 {
		return diff, nil, nil
	}
	of := make([]int, len(files))
	for i, f := range files {
		of[i] = groupOf(f.Name, groups)
	}
	for _, set := range together(files) {
		for _, i := range set {
			of[i] = of[set[0]]
		}
	}
	parts = make([][]byte, len(groups))
	for i, f := range files {
		text := diff[f.Offset : f.Offset+f.Size]
		if of[i] < 0 {
			rest = append(rest, text...)
		} else {
			parts[of[i]] = append(parts[of[i]], text...)
		}
	}
	return rest, parts, nil
}

// groupOf returns the last group whose directory a file lies beneath, or is; -1 for none.
func groupOf(name string, groups []Group) int {
	for i, g := range slices.Backward(groups) {
		dir := strings.Trim(strings.TrimPrefix(g.Directory, "./"), "/")
		if dir == "" || dir == "." || name == dir || strings.HasPrefix(name, dir+"/") {
			return i
		}
	}
	return -1
}

// together finds the sets of sections that need each other: one takes a path away, another makes
// the same, one beneath it, or one above it. Each set begins with a section that makes a path.
func together(files []patch.File) [][]int {
	gone, made := map[string][]int{}, map[string][]int{}
	for i, f := range files {
		switch {
		case f.Deleted:
			gone[f.Name] = append(gone[f.Name], i)
		case f.OldName != "" && !f.Copied:
			gone[f.OldName] = append(gone[f.OldName], i)
		}
		if f.New || f.OldName != "" {
			made[f.Name] = append(made[f.Name], i)
		}
	}
	if len(gone) == 0 || len(made) == 0 {
		return nil
	}
	sets := newSets(len(files))
	// link joins the sections of a path with those of the paths above it.
	link := func(path string, own []int, others map[string][]int) {
		for above := path; ; {
			for _, j := range others[above] {
				sets.join(own[0], j)
			}
			cut := strings.LastIndexByte(above, '/')
			if cut < 0 {
				return
			}
			above = above[:cut]
		}
	}
	for path, own := range made {
		sets.joinAll(own)
		link(path, own, gone)
	}
	for path, own := range gone {
		sets.joinAll(own)
		link(path, own, made)
	}
	return sets.list(func(i int) bool { return files[i].New || files[i].OldName != "" })
}

// sets are disjoint sets of numbers.
type sets []int

func newSets(n int) sets {
	s := make(sets, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func (s sets) find(i int) int {
	for s[i] != i {
		s[i] = s[s[i]]
		i = s[i]
	}
	return i
}

func (s sets) join(i, j int) { s[s.find(i)] = s.find(j) }

func (s sets) joinAll(all []int) {
	for _, i := range all[1:] {
		s.join(all[0], i)
	}
}

// list returns the sets of more than one number, each in order but for its first one that leads.
func (s sets) list(leads func(int) bool) [][]int {
	members := map[int][]int{}
	for i := range s {
		root := s.find(i)
		members[root] = append(members[root], i)
	}
	var out [][]int
	for _, set := range members {
		if len(set) < 2 {
			continue
		}
		if first := slices.IndexFunc(set, leads); first > 0 {
			set[0], set[first] = set[first], set[0]
		}
		out = append(out, set)
	}
	return out
}
