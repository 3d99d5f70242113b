package web

import (
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"

	"github.com/glovebox-dev/glovebox"
)

// downloadDiff sends the whole diff as a file.
func (s *site) downloadDiff(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.job(r, v)
	if err != nil {
		return err
	}
	if job.Result == nil || job.Result.Diff == nil {
		return glovebox.ErrNotFound
	}
	return s.download(w, r, job, glovebox.DiffArtifact, job.ID+".diff")
}

// downloadOutput sends one output, which must be one that the result lists.
func (s *site) downloadOutput(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.job(r, v)
	if err != nil {
		return err
	}
	name := r.URL.Query().Get("name")
	if job.Result == nil || !slices.ContainsFunc(job.Result.Outputs, func(o glovebox.Output) bool { return o.Name == name }) {
		return glovebox.ErrNotFound
	}
	return s.download(w, r, job, glovebox.OutputPrefix+name, path.Base(name))
}

func (s *site) download(w http.ResponseWriter, r *http.Request, job glovebox.Job, artifact, fileName string) error {
	body, err := s.Artifacts.Open(r.Context(), job.ID, job.Attempt, artifact)
	if err != nil {
		return fmt.Errorf("open artifact: %w", err)
	}
	defer body.Close()
	attachment(w, string(Visible([]byte(fileName))), "application/octet-stream")
	if _, err := io.Copy(w, body); err != nil {
		return cutOff(s, r, err)
	}
	return nil
}
