package server

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/api"
	"github.com/glovebox-dev/glovebox/internal/stepstore"
)

// maxStepMeta bounds the meta part of an entry.
const maxStepMeta = 8 << 20

func (s *Server) getStepCache(r *request) error { return s.sendStep(r, tenantOf(r.user)) }

func (s *Server) putStepCache(r *request) error { return s.keepStep(r, tenantOf(r.user)) }

func (s *Server) getAttemptStepCache(r *request) error {
	job, err := s.held(r)
	if err != nil {
		return err
	}
	return s.sendStep(r, job.Tenant)
}

func (s *Server) putAttemptStepCache(r *request) error {
	job, err := s.held(r)
	if err != nil {
		return err
	}
	return s.keepStep(r, job.Tenant)
}

// stepKey is the key of the path.
func (r *request) stepKey() (string, error) {
	key := r.PathValue("key")
	if err := stepstore.CheckKey(key); err != nil {
		return "", invalid(err.Error())
	}
	return key, nil
}

func (s *Server) sendStep(r *request, tenant string) error {
	key, err := r.stepKey()
	if err != nil {
		return err
	}
	part := r.URL.Query().Get("part")
	if part != "" && part != "meta" {
		return invalid(`parameter part: want "meta" or nothing`)
	}
	in, size, err := s.StepCache.Open(r.Context(), tenant, key)
	if err != nil {
		return err
	}
	defer in.Close()
	if part == "" {
		return r.w.download(in, size, key, "application/octet-stream")
	}
	head, err := bufio.NewReaderSize(in, maxStepMeta).ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("step cache entry %s has no meta part: %w", key, glovebox.ErrNotFound)
	}
	return r.w.download(bytes.NewReader(head), int64(len(head)), key, "application/octet-stream")
}

func (s *Server) keepStep(r *request, tenant string) error {
	key, err := r.stepKey()
	if err != nil {
		return err
	}
	switch {
	case r.ContentLength < 0:
		return &api.Error{Status: http.StatusLengthRequired, Code: api.CodeInvalid, Message: "want a Content-Length"}
	case r.ContentLength > api.MaxStepCacheEntry:
		return fmt.Errorf("step cache entry: at most %d bytes: %w", api.MaxStepCacheEntry, glovebox.ErrTooLarge)
	}
	if !r.flag("refresh") {
		has, err := s.StepCache.Has(r.Context(), tenant, key)
		if err != nil {
			return err
		}
		if has {
			return r.w.nothing()
		}
	}
	in := &remembering{r: http.MaxBytesReader(r.w, r.Body, r.ContentLength)}
	err = s.StepCache.Put(r.Context(), tenant, key, in)
	if in.err != nil {
		return bodyError(in.err)
	}
	if err != nil {
		return err
	}
	return r.w.nothing()
}
