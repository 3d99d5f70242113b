package cli

import (
	"fmt"
	"os"
	"path/filepath"
)

// dataDir returns the folder for what can be made again (images, clones, running
// jobs): the one named, or $XDG_CACHE_HOME/glovebox. It exists afterwards.
func dataDir(named string) (string, error) {
	if named == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			base = "/var/cache"
		}
		named = filepath.Join(base, "glovebox")
	}
	return privateDir(named)
}

// stateDir returns the folder for what must not be lost (the database, logs and
// results): the one named, or $XDG_STATE_HOME/glovebox. It exists afterwards.
func stateDir(named, xdgState string) (string, error) {
	if named == "" {
		if xdgState == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				home = "/var/lib"
			} else {
				home = filepath.Join(home, ".local", "state")
			}
			xdgState = home
		}
		named = filepath.Join(xdgState, "glovebox")
	}
	return privateDir(named)
}

// privateDir makes a folder that others can't read. Its path is absolute, without links.
func privateDir(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", fmt.Errorf("find data folder: %w", err)
	}
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return "", fmt.Errorf("make data folder: %w", err)
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return "", fmt.Errorf("find data folder: %w", err)
	}
	return abs, nil
}
