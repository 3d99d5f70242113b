package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/glovebox-dev/glovebox"
)

//go:embed static
var staticFiles embed.FS

// static holds the style sheets and scripts. Their address has a digest of all
// of them, so that browsers may keep them and never mix two versions.
type static struct {
	version string
	files   map[string][]byte
}

func newStatic() *static {
	s := &static{files: map[string][]byte{"palette.css": paletteCSS()}}
	digest := sha256.New()
	entries, err := fs.ReadDir(staticFiles, "static")
	if err != nil {
		panic(err) // embedded: it can't
	}
	for _, e := range entries {
		body, err := fs.ReadFile(staticFiles, path.Join("static", e.Name()))
		if err != nil {
			panic(err)
		}
		s.files[e.Name()] = body
		digest.Write(body)
	}
	digest.Write(s.files["palette.css"])
	s.version = hex.EncodeToString(digest.Sum(nil))[:16]
	return s
}

// path returns the address of a file.
func (s *static) path(name string) string { return "/static/" + s.version + "/" + name }

func (s *site) serveStatic(w http.ResponseWriter, r *http.Request, v *visitor) error {
	body, found := s.static.files[r.PathValue("name")]
	if !found || r.PathValue("version") != s.static.version {
		return glovebox.ErrNotFound
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	http.ServeContent(w, r, r.PathValue("name"), time.Time{}, bytes.NewReader(body))
	return nil
}
