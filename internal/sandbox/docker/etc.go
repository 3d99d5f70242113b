package docker

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/moby/moby/api/types/mount"
)

// The engine makes a container's hostname, hosts and resolv.conf in a folder of its own, and a
// container whose root is writable may write them: without bound, on the host's disk. So
// we bring our own, on the job's disk.

// etcNames are those files' names.
func etcNames() []string { return []string{"hostname", "hosts", "resolv.conf"} }

// hostname is what every step sees.
const hostname = "glovebox"

// writeEtc makes a step's files in dir, a new folder that no step can reach.
func writeEtc(dir string, resolvConf []byte) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("make the step's /etc: %w", err)
	}
	for name, text := range map[string]string{
		"hostname":    hostname + "\n",
		"hosts":       "127.0.0.1\tlocalhost " + hostname + "\n::1\tlocalhost\n",
		"resolv.conf": string(resolvConf),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("make the step's /etc: %w", err)
		}
	}
	return nil
}

// etcMounts puts the files that writeEtc made in dir over the engine's.
func etcMounts(dir string) []mount.Mount {
	var mounts []mount.Mount
	for _, name := range etcNames() {
		mounts = append(mounts, bind(filepath.Join(dir, name), "/etc/"+name, false))
	}
	return mounts
}

// resolvConf is the text of the step's resolv.conf: without a network there is nobody to ask.
func (b *box) resolvConf() ([]byte, error) {
	if b.network == "" || b.runtime.options.ResolvConf == nil {
		return nil, nil
	}
	text, err := b.runtime.options.ResolvConf()
	if err != nil {
		return nil, fmt.Errorf("find the step's name servers: %w", err)
	}
	return text, nil
}
