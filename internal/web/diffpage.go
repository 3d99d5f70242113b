package web

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/glovebox-dev/glovebox"
)

// diffPage is the data of templates/diff.html: some lines of one file of a job's diff.
type diffPage struct {
	frame
	Job  glovebox.Job
	File diffFile
	// Before is the address of the lines before.
	Before string
}

// showDiffFile shows lines of one file, which a script puts beneath those that are on a page.
func (s *site) showDiffFile(w http.ResponseWriter, r *http.Request, v *visitor) error {
	job, err := s.job(r, v)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(r.PathValue("n"))
	from, err2 := strconv.Atoi(r.URL.Query().Get("from"))
	if err != nil || n < 0 || job.Result == nil || job.Result.Diff == nil {
		return glovebox.ErrNotFound
	}
	if err2 != nil || from < 0 {
		from = 0
	}
	body, err := s.Artifacts.Open(r.Context(), job.ID, job.Attempt, glovebox.DiffArtifact)
	if err != nil {
		return fmt.Errorf("open diff: %w", err)
	}
	defer body.Close()
	d := newDiffReader(body)
	for range n {
		if !d.more() {
			break
		}
		d.skip()
	}
	if !d.more() {
		return glovebox.ErrNotFound
	}
	page := diffPage{Job: job, File: d.file(from, moreDiffLines)}
	if d.err != nil {
		return fmt.Errorf("read diff: %w", d.err)
	}
	page.frame = s.frame(page.File.Name, v)
	page.File.Index, page.File.Open = n, true
	page.File.addMore(diffAddress(job))
	if from > 0 {
		page.Before = fmt.Sprintf("%s/files/%d?from=%d", diffAddress(job), n, max(0, from-moreDiffLines))
	}
	return s.pages.render(w, http.StatusOK, "diff", page)
}

// diffAddress is where the diff of a job is downloaded.
func diffAddress(job glovebox.Job) string { return "/jobs/" + job.ID + "/diff" }
