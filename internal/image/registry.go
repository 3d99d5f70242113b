package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sync/errgroup"

	"github.com/glovebox-dev/glovebox"
)

// registrySource is an image of a registry, by tag or digest.
type registrySource struct {
	store *Store
	ref   name.Reference
}

// resolve asks the registry (its mirrors first) which digest a tag has now; a digest needs no question.
func (r registrySource) resolve(ctx context.Context) (content, error) {
	var digest v1.Hash
	from := r.ref
	if d, ok := r.ref.(name.Digest); ok {
		h, err := v1.NewHash(d.DigestStr())
		if err != nil || h.Algorithm != "sha256" {
			return content{}, refError(r.ref.String(), "want a digest sha256:…")
		}
		digest = h
	} else {
		h, found, err := r.lookUp(ctx)
		if err != nil {
			return content{}, err
		}
		digest, from = h, found
	}
	return content{key: key(digest), digest: digest.String(), unpack: func(ctx context.Context, dir string) (record, error) {
		return r.pull(ctx, from, digest, dir)
	}}, nil
}

// lookUp returns the digest of a tag, and the reference that answered.
func (r registrySource) lookUp(ctx context.Context) (v1.Hash, name.Reference, error) {
	var first error
	for _, ref := range r.candidates() {
		d, err := remote.Head(ref, r.options(ctx)...)
		if err == nil {
			return d.Digest, ref, nil
		}
		// The answer to HEAD has no body, so no reason; and some registries don't know it.
		full, err := remote.Get(ref, r.options(ctx)...)
		if err == nil {
			return full.Digest, ref, nil
		}
		r.store.opts.Logger.DebugContext(ctx, "image not found at a registry", "image", ref.String(), "error", err)
		first = err // the origin is last: its error is the one to tell
	}
	return v1.Hash{}, nil, r.explain(ctx, first)
}

// candidates are the references to try, mirrors first.
func (r registrySource) candidates() []name.Reference {
	var refs []name.Reference
	registry := r.ref.Context().RegistryStr()
	names := []string{registry}
	if registry == name.DefaultRegistry {
		names = append(names, "docker.io")
	}
	for _, n := range names {
		for _, mirror := range r.store.opts.Mirrors[n] {
			sep := ":"
			if _, ok := r.ref.(name.Digest); ok {
				sep = "@"
			}
			ref, err := name.ParseReference(mirror + "/" + r.ref.Context().RepositoryStr() + sep + r.ref.Identifier())
			if err != nil {
				r.store.opts.Logger.Warn("mirror of a registry is not a name", "mirror", mirror, "error", err)
				continue
			}
			refs = append(refs, ref)
		}
	}
	return append(refs, r.ref)
}

// pull fetches, verifies and unpacks the image of the digest, from the reference
// that resolved it, else from whichever has it.
func (r registrySource) pull(ctx context.Context, from name.Reference, digest v1.Hash, dir string) (record, error) {
	refs := []name.Reference{from}
	if from == r.ref {
		refs = r.candidates()
	}
	var last error
	for _, ref := range refs {
		pinned := ref.Context().Digest(digest.String())
		d, err := remote.Get(pinned, r.options(ctx)...)
		if err != nil {
			last = err
			continue
		}
		img, err := d.Image()
		if err != nil {
			return record{}, fmt.Errorf("find the image for %s: %w", r.store.opts.Platform, err)
		}
		return r.fetch(ctx, img, dir)
	}
	return record{}, r.explain(ctx, last)
}

// fetch downloads the layers, a few at a time, to files beside the tree, then unpacks them in order.
func (r registrySource) fetch(ctx context.Context, img v1.Image, dir string) (record, error) {
	if err := checkManifest(img, v1.Hash{}); err != nil {
		return record{}, r.explain(ctx, err)
	}
	layers, err := img.Layers()
	if err != nil {
		return record{}, err
	}
	if len(layers) > maxLayers {
		return record{}, fmt.Errorf("image has %d layers, at most %d are allowed", len(layers), maxLayers)
	}
	if err := r.checkSize(layers); err != nil {
		return record{}, err
	}
	blobs := filepath.Join(dir, "blobs")
	if err := os.Mkdir(blobs, 0o700); err != nil {
		return record{}, err
	}
	defer os.RemoveAll(blobs)
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(3)
	for i, l := range layers {
		group.Go(func() error {
			if err := download(gctx, l, filepath.Join(blobs, strconv.Itoa(i))); err != nil {
				return fmt.Errorf("fetch layer %d of %d: %w", i+1, len(layers), r.explain(ctx, err))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return record{}, err
	}
	return r.store.unpackImage(ctx, img, func(i int, _ v1.Layer) (io.ReadCloser, error) {
		return openBlob(filepath.Join(blobs, strconv.Itoa(i)))
	}, dir)
}

// checkSize refuses an image whose compressed layers alone are larger than the whole may be.
func (r registrySource) checkSize(layers []v1.Layer) error {
	var total int64
	for _, l := range layers {
		n, err := l.Size()
		if err != nil {
			return err
		}
		if n < 0 || n > r.store.opts.MaxImageBytes-total {
			return fmt.Errorf("image's layers are larger than %d bytes: %w", r.store.opts.MaxImageBytes, glovebox.ErrTooLarge)
		}
		total += n
	}
	return nil
}

// download writes a layer as it travels to path; the library checks size and digest on the way.
// A broken connection is tried again.
func download(ctx context.Context, l v1.Layer, path string) error {
	var err error
	for try := range 3 {
		if try > 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(time.Duration(try) * 500 * time.Millisecond):
			}
		}
		if err = copyLayer(ctx, l, path); err == nil {
			return nil
		}
		var status *transport.Error
		if ctx.Err() != nil || errors.As(err, &status) && !status.Temporary() {
			return err
		}
	}
	return err
}

func copyLayer(ctx context.Context, l v1.Layer, path string) error {
	in, err := l.Compressed()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, &contextReader{ctx: ctx, r: in})
	return errors.Join(err, out.Close())
}

func (r registrySource) options(ctx context.Context) []remote.Option {
	opts := []remote.Option{
		remote.WithContext(ctx),
		remote.WithAuthFromKeychain(r.store.opts.Keychain),
		remote.WithTransport(plainGuard{next: r.store.transport, allowed: r.store.opts.Insecure}),
		remote.WithUserAgent("glovebox"),
	}
	if p, err := v1.ParsePlatform(r.store.opts.Platform); err == nil {
		opts = append(opts, remote.WithPlatform(*p))
	}
	return opts
}

// explain says what to do about a registry's refusal.
func (r registrySource) explain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	registry := r.ref.Context().RegistryStr()
	var status *transport.Error
	switch {
	case !errors.As(err, &status):
		return fmt.Errorf("ask registry %s for %s: %w", registry, r.ref, err)
	case status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden:
		return fmt.Errorf("registry %s refuses access to %s: check the name, or run \"docker login %s\" as the user that runs glovebox: %w (%w)",
			registry, r.ref, registry, glovebox.ErrUnauthorized, err)
	case status.StatusCode == http.StatusNotFound:
		return fmt.Errorf("registry %s has no image %s: check name and tag: %w (%w)", registry, r.ref, glovebox.ErrNotFound, err)
	case status.StatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("registry %s says too many requests: run \"docker login %s\" for a higher limit, or set a mirror: %w", registry, registry, err)
	}
	return fmt.Errorf("ask registry %s for %s: %w", registry, r.ref, err)
}

// plainGuard refuses plain HTTP but to loopback addresses and the registries
// allowed to use it: the library would fall back to it for private networks.
type plainGuard struct {
	next    http.RoundTripper
	allowed []string
}

func (g plainGuard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !slices.Contains(g.allowed, req.URL.Host) && !isLoopback(req.URL.Hostname()) {
		return nil, fmt.Errorf("registry %s answers in plain HTTP only: allow it as an insecure registry, or give it a certificate", req.URL.Host)
	}
	return g.next.RoundTrip(req)
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// newTransport is the default transport with a bound on a silent registry.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          20,
		MaxIdleConnsPerHost:   8,
		IdleConnTimeout:       60 * time.Second,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: 60 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}
