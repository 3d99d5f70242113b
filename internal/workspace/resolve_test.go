package workspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolvePath(t *testing.T) {
	s := newSource(t)
	s.write("sub/a", "x")
	commit := s.commit()
	s.git("tag", "-a", "-m", "tag", "v1")
	for _, rev := range []string{"", "HEAD", "v1", commit, commit[:12]} {
		for _, path := range []string{s.path, filepath.Join(s.path, "sub"), filepath.Join(s.path, ".git")} {
			r, err := Resolve(t.Context(), path, rev)
			if err != nil || r.Commit != commit || r.URL != filepath.Join(s.path, ".git") || len(r.Notes) != 0 {
				t.Errorf("%s at %q: %+v, %v", path, rev, r, err)
			}
		}
	}
	for _, rev := range []string{"nope", "--all", "HEAD..HEAD"} {
		if r, err := Resolve(t.Context(), s.path, rev); err == nil {
			t.Errorf("%q became %+v", rev, r)
		}
	}
	if _, err := Resolve(t.Context(), t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "not a git repository") {
		t.Error(err)
	}
	if _, err := Resolve(t.Context(), "no/such/folder", ""); err == nil {
		t.Error("a folder that is not there")
	}
}

func TestUncommittedChangesAreRemarkedAndRunNothing(t *testing.T) {
	s := newSource(t)
	s.write("a", "x")
	s.commit()
	mark := filepath.Join(t.TempDir(), "mark")
	s.git("config", "filter.evil.clean", "touch "+mark)
	s.git("config", "filter.evil.required", "true")
	s.git("config", "core.fsmonitor", "touch "+mark)
	do(t, os.Remove(filepath.Join(s.path, ".git/info/attributes")))
	s.write(".gitattributes", "* filter=evil\n")
	s.write("a", "y")
	r, err := Resolve(t.Context(), s.path, "")
	if err != nil || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "uncommitted") {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("looking at a repository ran its programs")
	}
}
