package image

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/glovebox-dev/glovebox"
)

// Prefixes of references that name a file or folder of this host.
const (
	prefixArchive = "docker-archive:"
	prefixLayout  = "oci:"
)

// source reads a reference.
func (s *Store) source(ref string) (source, error) {
	if err := checkRef(ref); err != nil {
		return nil, refError(ref, err.Error())
	}
	if ref == Host {
		return hostSource{store: s}, nil
	}
	for _, prefix := range []string{prefixArchive, prefixLayout} {
		path, ok := strings.CutPrefix(ref, prefix)
		if !ok {
			continue
		}
		if s.opts.RefusePaths {
			return nil, refError(ref, "images from this host's files are not allowed here; push it to a registry")
		}
		if path == "" {
			return nil, refError(ref, "no path after "+prefix)
		}
		if prefix == prefixArchive {
			return archiveSource{store: s, path: path}, nil
		}
		return layoutSource{store: s, path: path}, nil
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, refError(ref, `want "host", REGISTRY/NAME:TAG, NAME@sha256:…, docker-archive:PATH or oci:PATH[:TAG]: `+err.Error())
	}
	return registrySource{store: s, ref: parsed}, nil
}

// checkRef refuses what could be taken for an option or garble a log.
func checkRef(ref string) error {
	switch {
	case ref == "":
		return fmt.Errorf("empty")
	case len(ref) > 4096:
		return fmt.Errorf("longer than 4096 bytes")
	case ref[0] == '-':
		return fmt.Errorf(`begins with "-"`)
	case strings.ContainsFunc(ref, unicode.IsControl):
		return fmt.Errorf("has a control character")
	}
	return nil
}

func refError(ref, message string) error {
	if len(ref) > 200 {
		ref = ref[:200] + "…"
	}
	return &glovebox.ValidationError{Problems: []glovebox.Problem{{Path: "image", Message: fmt.Sprintf("image %q: %s", ref, message)}}}
}
