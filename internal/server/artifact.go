package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/blob"
)

const (
	// maxArtifactName bounds an artifact's name.
	maxArtifactName = 4096
	// maxArtifacts bounds how many an attempt may store.
	maxArtifacts = 10_000
	// sumSuffix ends the key of the blob that holds an artifact's SHA-256.
	sumSuffix = ".sha256"
)

// uploads counts what is being stored, so that many uploads at once can't pass the attempt's limit.
type uploads struct {
	mu      sync.Mutex
	pending map[string]int64
}

// checkArtifactName refuses what is neither the diff nor an output with a clean relative path.
func checkArtifactName(name string) error {
	if name == glovebox.DiffArtifact {
		return nil
	}
	output, ok := strings.CutPrefix(name, glovebox.OutputPrefix)
	if !ok || len(name) > maxArtifactName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) || !fs.ValidPath(output) || output == "." {
		return invalid(fmt.Sprintf("artifact %.100q: want %q or %q with a clean relative path", name, glovebox.DiffArtifact, glovebox.OutputPrefix+"PATH"))
	}
	return nil
}

func (s *Server) putArtifact(r *request) error {
	name := r.PathValue("name")
	if err := checkArtifactName(name); err != nil {
		return err
	}
	if _, err := s.held(r); err != nil {
		return err
	}
	if r.ContentLength < 0 {
		return &api.Error{Status: http.StatusLengthRequired, Code: api.CodeInvalid, Message: "want a Content-Length"}
	}
	if r.ContentLength > s.cfg.MaxArtifact {
		return fmt.Errorf("artifact %.100q: at most %d bytes: %w", name, s.cfg.MaxArtifact, glovebox.ErrTooLarge)
	}
	release, err := s.reserve(r.Context(), r.ref, r.ContentLength)
	if err != nil {
		return err
	}
	defer release()
	key := blob.ArtifactKey(r.ref.JobID, r.ref.Attempt, name)
	sum := sha256.New()
	in := &remembering{r: io.TeeReader(http.MaxBytesReader(r.w, r.Body, r.ContentLength), sum)}
	size, err := s.Blobs.Put(r.Context(), key, in)
	if in.err != nil {
		return bodyError(in.err)
	}
	if err != nil {
		return err
	}
	if _, err := s.Blobs.Put(r.Context(), key+sumSuffix, strings.NewReader(hex.EncodeToString(sum.Sum(nil)))); err != nil {
		return err
	}
	// The attempt may have ended while the bytes came.
	if _, err := s.held(r); err != nil {
		return err
	}
	kind, _, _ := strings.Cut(name, "/")
	s.Metrics.artifacts.WithLabelValues(kind).Add(float64(size))
	return r.w.nothing()
}

// remembering tells an error of the sender from one of the disk.
type remembering struct {
	r   io.Reader
	err error
}

func (r *remembering) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// reserve makes room for size bytes more within the attempt's limit.
func (s *Server) reserve(ctx context.Context, ref glovebox.LeaseRef, size int64) (release func(), err error) {
	prefix := blob.ArtifactPrefix(ref.JobID, ref.Attempt)
	u := s.uploads
	u.mu.Lock()
	u.pending[prefix] += size
	pending := u.pending[prefix]
	u.mu.Unlock()
	release = func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.pending[prefix] -= size; u.pending[prefix] == 0 {
			delete(u.pending, prefix)
		}
	}
	stored, err := s.Blobs.List(ctx, prefix)
	if err != nil {
		release()
		return nil, err
	}
	total := pending
	for _, b := range stored {
		total += b.Size
	}
	if total > s.cfg.MaxArtifacts || len(stored) > 2*maxArtifacts {
		release()
		return nil, fmt.Errorf("artifacts: at most %d bytes in %d files for an attempt: %w", s.cfg.MaxArtifacts, maxArtifacts, glovebox.ErrTooLarge)
	}
	return release, nil
}

// checkArtifacts refuses a result that describes artifacts that are missing or differ.
func (s *Server) checkArtifacts(ctx context.Context, ref glovebox.LeaseRef, result glovebox.Result) error {
	if result.Diff != nil {
		if err := s.checkArtifact(ctx, ref, glovebox.DiffArtifact, result.Diff.Size, result.Diff.SHA256); err != nil {
			return err
		}
	}
	if len(result.Outputs) > maxArtifacts {
		return fmt.Errorf("outputs: at most %d: %w", maxArtifacts, glovebox.ErrTooLarge)
	}
	for _, o := range result.Outputs {
		if err := s.checkArtifact(ctx, ref, glovebox.OutputPrefix+o.Name, o.Size, o.SHA256); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) checkArtifact(ctx context.Context, ref glovebox.LeaseRef, name string, size int64, sum string) error {
	if err := checkArtifactName(name); err != nil {
		return err
	}
	key := blob.ArtifactKey(ref.JobID, ref.Attempt, name)
	r, _, err := s.Blobs.Open(ctx, key+sumSuffix, 0)
	if errors.Is(err, glovebox.ErrNotFound) {
		return invalid(fmt.Sprintf("artifact %.100q of the result was not stored", name))
	}
	if err != nil {
		return err
	}
	defer r.Close()
	stored, err := io.ReadAll(io.LimitReader(r, 100))
	if err != nil {
		return err
	}
	have, err := s.Blobs.Size(ctx, key)
	if err != nil {
		return err
	}
	if have != size || string(stored) != sum {
		return invalid(fmt.Sprintf("artifact %.100q was stored with other bytes than the result says", name))
	}
	return nil
}

func (s *Server) getDiff(r *request) error {
	job, err := s.job(r)
	if err != nil {
		return err
	}
	if job.Result == nil || job.Result.Diff == nil {
		return fmt.Errorf("job %s has no diff: %w", job.ID, glovebox.ErrNotFound)
	}
	return s.sendArtifact(r, job, glovebox.DiffArtifact, job.ID+".diff", "text/x-diff; charset=utf-8")
}

func (s *Server) listOutputs(r *request) error {
	job, err := s.job(r)
	if err != nil {
		return err
	}
	out := api.Outputs{Attempt: job.Attempt, Outputs: []glovebox.Output{}}
	if job.Result != nil && job.Result.Outputs != nil {
		out.Outputs = job.Result.Outputs
	}
	return r.w.json(http.StatusOK, out)
}

func (s *Server) getOutput(r *request) error {
	job, err := s.job(r)
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if job.Result != nil {
		for _, o := range job.Result.Outputs {
			if o.Name == name {
				return s.sendArtifact(r, job, glovebox.OutputPrefix+name, path.Base(name), "application/octet-stream")
			}
		}
	}
	return fmt.Errorf("job %s has no output %.100q: %w", job.ID, name, glovebox.ErrNotFound)
}

// sendArtifact sends an accepted artifact as a download, never as something a browser shows.
func (s *Server) sendArtifact(r *request, job glovebox.Job, name, file, contentType string) error {
	return s.sendBlob(r, blob.ArtifactKey(job.ID, job.Attempt, name), file, contentType)
}

// sendBlob sends a blob as a download.
func (s *Server) sendBlob(r *request, key, file, contentType string) error {
	in, size, err := s.Blobs.Open(r.Context(), key, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	return r.w.download(in, size, file, contentType)
}

// download answers with size bytes of in, as something that a browser saves and never shows.
func (w *reply) download(in io.Reader, size int64, file, contentType string) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": file})
	if disposition == "" {
		disposition = "attachment"
	}
	h.Set("Content-Disposition", disposition)
	_, err := io.Copy(struct{ io.Writer }{w}, io.LimitReader(in, size))
	return err
}
