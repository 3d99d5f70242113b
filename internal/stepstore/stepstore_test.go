package stepstore_test

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/blob"
	"github.com/glovebox-dev/glovebox/internal/stepstore"
	"github.com/glovebox-dev/glovebox/internal/store"
)

func key(c string) string { return strings.Repeat(c, 64) }

func TestStore(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(t.Context(), filepath.Join(dir, "db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	blobs, err := blob.OpenFolder(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	s := stepstore.New(store.NewStepCache(db), blobs, 25, func() time.Time { now = now.Add(time.Minute); return now })
	put := func(tenant, key, text string) {
		t.Helper()
		if err := s.Put(t.Context(), tenant, key, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	wants := func(tenant, key, want string) {
		t.Helper()
		r, size, err := s.Open(t.Context(), tenant, key)
		if want == "" {
			if has, herr := s.Has(t.Context(), tenant, key); !errors.Is(err, glovebox.ErrNotFound) || has || herr != nil {
				t.Errorf("%s %.3s: %v, %v, %v, want none", tenant, key, err, has, herr)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if got, err := io.ReadAll(r); string(got) != want || size != int64(len(want)) || err != nil {
			t.Errorf("%s %.3s: %q of %d bytes, %v", tenant, key, got, size, err)
		}
	}
	put("a", key("1"), "ten  bytes")
	put("a", key("2"), "ten more b")
	put("b", key("1"), "another tenant's")
	wants("a", key("1"), "ten  bytes") // used: now 2 is the oldest
	put("a", key("3"), "ten again.")
	wants("a", key("2"), "")
	wants("a", key("1"), "ten  bytes")
	wants("b", key("1"), "another tenant's")
	wants("c", key("1"), "")
	put("a", key("3"), "replaced")
	wants("a", key("3"), "replaced")
	// What is larger than all there may be leaves nothing, and costs no other tenant anything.
	put("a", key("4"), strings.Repeat("x", 100))
	wants("a", key("4"), "")
	wants("b", key("1"), "another tenant's")
	for _, bad := range []string{"", key("A"), key("g"), "../" + key("1"), key("1")[:63]} {
		if err := s.Put(t.Context(), "a", bad, strings.NewReader("x")); err == nil {
			t.Errorf("key %q was accepted", bad)
		}
		if _, _, err := s.Open(t.Context(), "a", bad); err == nil || errors.Is(err, glovebox.ErrNotFound) {
			t.Errorf("key %q: %v", bad, err)
		}
	}
	if list, err := filepath.Glob(filepath.Join(dir, "blobs", "stepcache", "*", "*", "*")); err != nil || len(list) != 1 {
		t.Errorf("bytes that stay: %v, %v", list, err)
	}
}
