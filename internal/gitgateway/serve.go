package gitgateway

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/git"
)

const (
	uploadPack        = "git-upload-pack"
	contentAdvertised = "application/x-git-upload-pack-advertisement"
	contentResult     = "application/x-git-upload-pack-result"
	contentRequest    = "application/x-git-upload-pack-request"
)

// Operation is one of the two requests of a fetch.
type Operation int

// Operations.
const (
	// Advertise is GET NAME/info/refs?service=git-upload-pack.
	Advertise Operation = iota + 1
	// Pack is POST NAME/git-upload-pack.
	Pack
)

// Parse takes a request for a path below the gateway's root ("NAME/info/refs") apart. What is
// no fetch by the smart protocol is refused: pushes with glovebox.ErrForbidden, all else
// (the dumb protocol, files of the repository) with glovebox.ErrNotFound.
func Parse(r *http.Request, path string) (repo string, op Operation, err error) {
	if strings.HasSuffix(path, "/git-receive-pack") || r.URL.Query().Get("service") == "git-receive-pack" {
		return "", 0, fmt.Errorf("push: the git gateway is read-only: %w", glovebox.ErrForbidden)
	}
	if name, ok := strings.CutSuffix(path, "/info/refs"); ok && r.Method == http.MethodGet && r.URL.RawQuery == "service="+uploadPack {
		return strings.TrimSuffix(name, ".git"), Advertise, nil
	}
	if name, ok := strings.CutSuffix(path, "/"+uploadPack); ok && r.Method == http.MethodPost && r.Header.Get("Content-Type") == contentRequest {
		return strings.TrimSuffix(name, ".git"), Pack, nil
	}
	return "", 0, fmt.Errorf("only fetches by git's smart protocol are served: %w", glovebox.ErrNotFound)
}

// Serve answers one request for the repository, which the caller may read. It returns an
// error only when nothing has been written yet.
func (g *Gateway) Serve(w http.ResponseWriter, r *http.Request, repo glovebox.Repository, op Operation) error {
	m, err := g.mirror(repo)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), g.cfg.ServeTimeout)
	defer cancel()
	if err := g.serves.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer g.serves.Release(1)
	out := &response{w: w, contentType: contentAdvertised}
	opts := m.local()
	opts.Config = serving()
	// The header goes to a process's environment: nothing but the one known value may.
	v2 := r.Header.Get("Git-Protocol") == "version=2"
	if v2 {
		opts.Env = []string{"GIT_PROTOCOL=version=2"}
	}
	args := []string{"upload-pack", "--stateless-rpc"}
	var body *boundedReader
	switch op {
	case Advertise:
		args = append(args, "--http-backend-info-refs")
		if !v2 {
			out.prefix = "001e# service=git-upload-pack\n0000"
		}
	case Pack:
		out.contentType = contentResult
		if body, err = g.body(w, r); err != nil {
			return err
		}
		opts.Stdin = body
	}
	begin := time.Now()
	opts.Stdout = out
	err = git.Run(ctx, opts, append(args, "--", m.dir)...)
	g.cfg.Observe(Observation{Kind: "serve", Bytes: out.written, Took: time.Since(begin), Err: err})
	if err == nil {
		return nil
	}
	g.cfg.Logger.Info("git request ended early", "repo", repo.Name, "error", err)
	if out.begun {
		return nil // git has told the client in its own protocol, or the connection is cut
	}
	if body != nil && body.failure() != nil {
		return body.failure()
	}
	return fmt.Errorf("serve %s: %w", repo.Name, err)
}

// serving are the settings of git as a server: any commit of the repository may be asked for;
// filters that are cheap are allowed; the pinned commits are not advertised.
func serving() []string {
	return []string{
		"uploadpack.allowAnySHA1InWant=true",
		"uploadpack.allowFilter=true",
		"uploadpackfilter.allow=false",
		"uploadpackfilter.blob:none.allow=true",
		"uploadpackfilter.tree.allow=true",
		"uploadpackfilter.tree.maxDepth=0",
		"uploadpack.hideRefs=" + strings.TrimSuffix(pinned, "/"),
		"uploadpack.advertiseBundleURIs=false",
		"pack.threads=1",
		"pack.writeReverseIndex=false",
	}
}

// body is the request's body, bounded before and after it is uncompressed.
func (g *Gateway) body(w http.ResponseWriter, r *http.Request) (*boundedReader, error) {
	raw := http.MaxBytesReader(w, r.Body, g.cfg.MaxBody)
	switch r.Header.Get("Content-Encoding") {
	case "", "identity":
		return &boundedReader{r: raw, left: g.cfg.MaxBody}, nil
	case "gzip", "x-gzip":
		plain, err := gzip.NewReader(raw)
		if err != nil {
			return nil, badBody(err)
		}
		plain.Multistream(false)
		return &boundedReader{r: plain, left: g.cfg.MaxBody}, nil
	}
	return nil, badBody(errors.New("unknown encoding"))
}

func badBody(err error) error {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return fmt.Errorf("request's body: %w", glovebox.ErrTooLarge)
	}
	return &glovebox.ValidationError{Problems: []glovebox.Problem{{Path: "body", Message: "can't be read: " + err.Error()}}}
}

// boundedReader fails, and remembers why, when more than left bytes come.
type boundedReader struct {
	r    io.Reader
	left int64

	mu  sync.Mutex
	err error
}

func (b *boundedReader) failure() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

func (b *boundedReader) fail(err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
	return err
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if err := b.failure(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if int64(n) > b.left {
		return 0, b.fail(fmt.Errorf("request's body: %w", glovebox.ErrTooLarge))
	}
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		return n, b.fail(badBody(err))
	}
	return n, err
}

// response begins the answer with the first byte that git writes.
type response struct {
	w           http.ResponseWriter
	contentType string
	prefix      string
	begun       bool
	written     int64
}

func (o *response) Write(p []byte) (int, error) {
	if !o.begun {
		o.begun = true
		o.w.Header().Set("Content-Type", o.contentType)
		o.w.Header().Set("Cache-Control", "no-cache")
		if _, err := io.WriteString(o.w, o.prefix); err != nil {
			return 0, err
		}
	}
	n, err := o.w.Write(p)
	o.written += int64(n)
	if err == nil && n < 32<<10 {
		// Progress of a long request is seen at once; a full buffer is on its way anyhow.
		_ = http.NewResponseController(o.w).Flush()
	}
	return n, err
}
