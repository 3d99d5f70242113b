package web

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/glovebox-dev/glovebox"
)

// previewPage is the data of templates/batchpreview.html.
type previewPage struct {
	frame
	Links  batchLinks
	Change glovebox.BatchChange
	Run    glovebox.BatchRun
	Rows   []previewRow
	// Counts say how many changesets each action is for.
	Counts  []count
	Blocked int
	// Quiet is how many changesets stay as they are; Hidden how many rows are left out.
	Quiet, Hidden int
	// Seen identifies what the page shows, for the form.
	Seen string
	// Stale is set when the form was about another preview than this; Gone is how many of its changesets are in this no more.
	Stale bool
	Gone  int
}

// CanApply says whether the button makes sense.
func (p previewPage) CanApply() bool {
	return p.Submit && p.Blocked == 0 && len(p.Rows) > 0 &&
		(p.Run.State == glovebox.BatchRunCompleted || p.Run.State == glovebox.BatchRunFailed)
}

// previewRow is an entry with what became of it since the form was made: "new", "changed" or nothing.
type previewRow struct {
	glovebox.PreviewEntry
	Since string
}

// Title is that of the changeset that is wanted.
func (r previewRow) Title() string {
	if r.Wanted == nil {
		return ""
	}
	return r.Wanted.Title
}

// quiet reports whether nothing happens to a changeset.
func (r previewRow) quiet() bool {
	return r.Blocked == "" && r.Since == "" && !slices.ContainsFunc(r.Actions, func(a glovebox.ChangesetAction) bool { return a != glovebox.ActionNothing })
}

func (s *site) showPreview(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, run, err := s.batchRun(r, v)
	if err != nil {
		return err
	}
	entries, err := s.Batches.Preview(r.Context(), run.ID)
	if err != nil {
		return err
	}
	return s.pages.render(w, http.StatusOK, "batchpreview", s.previewPage(v, change, run, entries, ""))
}

// applyRun applies a run if the preview still is what the form showed, and else shows what is different.
func (s *site) applyRun(w http.ResponseWriter, r *http.Request, v *visitor) error {
	change, run, err := s.batchRun(r, v)
	if err != nil {
		return err
	}
	entries, err := s.Batches.Preview(r.Context(), run.ID)
	if err != nil {
		return err
	}
	seen := r.PostForm.Get("seen")
	if seen == "" {
		return invalid("the form does not say which preview is applied")
	}
	page := s.previewPage(v, change, run, entries, seen)
	if page.Stale || page.Blocked > 0 {
		return s.pages.render(w, http.StatusConflict, "batchpreview", page)
	}
	if _, err := s.Batches.Apply(r.Context(), run.ID, v.actor()); err != nil {
		return err
	}
	http.Redirect(w, r, page.Links.At(), http.StatusSeeOther)
	return nil
}

// previewPage is the page of a preview; seen is what a form says it showed, "" when there is no form.
func (s *site) previewPage(v *visitor, change glovebox.BatchChange, run glovebox.BatchRun, entries []glovebox.PreviewEntry, seen string) previewPage {
	page := previewPage{frame: s.frame("Preview of "+change.Name, v), Links: s.linksOf(change, v), Change: change, Run: run, Seen: seenText(entries)}
	page.Stale = seen != "" && seen != page.Seen
	before := readSeen(seen)
	counts := map[glovebox.ChangesetAction]int{}
	for _, e := range entries {
		row := previewRow{PreviewEntry: e}
		key, what := entryDigests(e)
		switch old, found := before[key]; {
		case !page.Stale:
		case !found:
			row.Since = "new"
		case old != what:
			row.Since = "changed"
		}
		delete(before, key)
		for _, action := range e.Actions {
			counts[action]++
		}
		if e.Blocked != "" {
			page.Blocked++
		}
		if row.quiet() {
			page.Quiet++
		}
		page.Rows = append(page.Rows, row)
	}
	if page.Stale {
		page.Gone = len(before)
	}
	slices.SortStableFunc(page.Rows, func(a, b previewRow) int { return a.rank() - b.rank() })
	if len(page.Rows) > 2*rowsPage {
		page.Hidden = len(page.Rows) - 2*rowsPage
		page.Rows = page.Rows[:2*rowsPage]
	}
	for _, action := range actions() {
		if counts[action] > 0 {
			page.Counts = append(page.Counts, count{string(action), counts[action]})
		}
	}
	return page
}

// rank orders rows: blocked ones, those that changed under the reader's eyes, those that happen, the rest.
func (r previewRow) rank() int {
	switch {
	case r.Blocked != "":
		return 0
	case r.Since != "":
		return 1
	case r.quiet():
		return 3
	}
	return 2
}

func actions() []glovebox.ChangesetAction {
	return []glovebox.ChangesetAction{glovebox.ActionPublish, glovebox.ActionPublishDraft, glovebox.ActionPush, glovebox.ActionUpdate,
		glovebox.ActionReopen, glovebox.ActionClose, glovebox.ActionImport, glovebox.ActionKeep, glovebox.ActionNothing}
}

// digestSize is how many characters of a digest tell entries apart: 48 bits. It guards
// against what changes meanwhile, not against forgery: whoever posts the form may apply.
const digestSize = 8

// entryDigests identify an entry's changeset, and what the entry says of it.
func entryDigests(e glovebox.PreviewEntry) (key, what string) {
	id := ""
	if e.Wanted != nil {
		id = e.Wanted.ExternalID
	}
	return digest([]string{e.Changeset, e.Repo, e.Branch, id}), digest(e)
}

func digest(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return strings.Repeat("-", digestSize) // of nouns that were JSON before: it can't
	}
	sum := sha256.Sum256(text)
	return base64.RawURLEncoding.EncodeToString(sum[:digestSize*3/4])
}

// seenText holds the digests of all entries, in their order.
func seenText(entries []glovebox.PreviewEntry) string {
	var out strings.Builder
	out.WriteString(".")
	for _, e := range entries {
		key, what := entryDigests(e)
		out.WriteString(key + what)
	}
	return out.String()
}

func readSeen(text string) map[string]string {
	seen := map[string]string{}
	text = strings.TrimPrefix(text, ".")
	for ; len(text) >= 2*digestSize; text = text[2*digestSize:] {
		seen[text[:digestSize]] = text[digestSize : 2*digestSize]
	}
	return seen
}
