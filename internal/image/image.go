// Package image turns the images that jobs name into root file systems on the
// host: it pulls (with the user's Docker credentials), verifies by digest, unpacks
// once under a lock, bounds the cache and builds the pseudo image "host". It must
// not know jobs, runtimes or sandboxes.
package image

// Image is an unpacked image, valid until it is released.
type Image struct {
	// Ref is what the job named; Digest is "sha256:…", or "host".
	Ref    string
	Digest string
	// Rootfs is a host folder with the image's tree. It is shared by all jobs: it is
	// only ever mounted read-only, as a lower layer.
	Rootfs string
	// Binds are host folders to mount read-only over the root; only "host" has any.
	Binds []Bind
	// Env is the image's environment, as "K=V", with a PATH.
	Env []string
}

// Bind is a read-only mount of a host folder or file.
type Bind struct{ Source, Target string }

// Host is the reference of the pseudo image that shows the host's tools.
const Host = "host"
