package changeset

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/glovebox-dev/glovebox"
	"github.com/glovebox-dev/glovebox/internal/batch"
)

// planned is what applying a run makes of one changeset.
type planned struct {
	entry glovebox.PreviewEntry
	// next is the changeset afterwards; changed is set when it is to be written.
	next    Changeset
	changed bool
}

// merging compares what a run wants with the changesets that there are. It has no effects:
// preview shows its outcome, apply writes it.
type merging struct {
	batchChange glovebox.BatchChange
	run         string
	now         time.Time
	newID       func() string
	// places are where new changesets go, by repository.
	places map[string]place
	// kept says why the changesets of a repository stay although the run does not want them; "" when they need not.
	kept func(repo string) string
}

// merge returns what becomes of every changeset, wanted ones first in the run's order.
func (m merging) merge(existing []Changeset, wanted []Spec) []planned {
	type key struct{ repo, key string }
	have := map[key]Changeset{}
	for _, c := range existing {
		have[key{c.Repo, c.Key}] = c
	}
	var out []planned
	seen := map[key]bool{}
	for _, s := range wanted {
		k := key{s.Spec.Repo, specKey(s.Spec)}
		if seen[k] {
			out = append(out, planned{entry: blocked(s.Spec, fmt.Sprintf("two changesets of the run have the branch %s", s.Spec.Branch))})
			continue
		}
		seen[k] = true
		c, ok := have[k]
		if !ok {
			c = m.fresh(s)
		}
		out = append(out, m.want(c, s, !ok))
	}
	for _, c := range existing {
		if !seen[key{c.Repo, c.Key}] {
			out = append(out, m.unwanted(c))
		}
	}
	m.blockFolders(out)
	return out
}

func blocked(spec glovebox.ChangesetSpec, why string) glovebox.PreviewEntry {
	return glovebox.PreviewEntry{Repo: spec.Repo, Branch: spec.Branch, Wanted: &spec, Actions: []glovebox.ChangesetAction{glovebox.ActionKeep}, Blocked: why}
}

// blockFolders blocks changesets that the branches of others leave no room for: "a" and "a/b" can't both be.
func (m merging) blockFolders(all []planned) {
	branches := map[string]bool{}
	for _, p := range all {
		if p.entry.Wanted != nil && p.entry.Branch != "" {
			branches[p.entry.Repo+"\x00"+p.entry.Branch] = true
		}
	}
	for i, p := range all {
		if p.entry.Wanted == nil {
			continue
		}
		for above := p.entry.Branch; strings.Contains(above, "/"); {
			above = above[:strings.LastIndexByte(above, '/')]
			if branches[p.entry.Repo+"\x00"+above] {
				all[i].entry.Blocked = fmt.Sprintf("there can't be both branches %s and %s", above, p.entry.Branch)
			}
		}
	}
}

// fresh is a changeset that was not there before.
func (m merging) fresh(s Spec) Changeset {
	at := m.places[s.Spec.Repo]
	c := Changeset{
		Changeset: glovebox.Changeset{
			ID: m.newID(), BatchChange: m.batchChange.ID, Tenant: m.batchChange.Tenant, Repo: s.Spec.Repo, Host: at.hostName(),
			Branch: s.Spec.Branch, Imported: s.Spec.ExternalID != "", ExternalID: s.Spec.ExternalID,
			State: glovebox.ChangesetUnpublished, CreatedAt: m.now, UpdatedAt: m.now,
		},
		Key: specKey(s.Spec), Lane: at.lane(),
	}
	return c
}

// want merges a wanted changeset with the one that there is.
func (m merging) want(c Changeset, s Spec, isNew bool) planned {
	spec := s.Spec
	entry := glovebox.PreviewEntry{Repo: c.Repo, Branch: c.Branch, Wanted: &spec}
	if !isNew {
		entry.Changeset, entry.State = c.ID, c.State
	}
	if at, ok := m.places[c.Repo]; ok {
		c.Host, c.Lane = at.hostName(), at.lane()
	} else {
		entry.Blocked = "the repository is not at the git gateway any more"
	}
	was := c
	c.Wanted, c.DiffKey, c.Closing = &spec, s.DiffKey, false
	if !c.Imported {
		c.Title = spec.Title
	}
	if spec.Published != glovebox.PublishedUndecided {
		c.Publish = spec.Published
	} else if was.Wanted != nil && was.Wanted.Published != glovebox.PublishedUndecided && !c.published() {
		c.Publish = glovebox.PublishedUndecided // the spec had decided, and does no more
	}
	entry.Actions, entry.Reasons = actions(c, isNew)
	changed := isNew || was.Closing || c.Publish != was.Publish || c.State == glovebox.ChangesetFailed || c.Error != "" || specSum(was.Wanted) != specSum(c.Wanted)
	if changed && c.State != glovebox.ChangesetMerged {
		c.Revision++
		c.Error, c.Tries, c.Unchanged = "", 0, 0
		c.UpdatedAt = m.now
		c.NextAt = &m.now
		again(&c)
		if !c.published() && !c.Imported {
			c.State = glovebox.ChangesetUnpublished
			if c.Publish == glovebox.PublishedYes || c.Publish == glovebox.PublishedDraft {
				c.State = glovebox.ChangesetScheduled
			} else {
				c.NextAt = nil
			}
		}
	}
	// DiffKey is the run's even where nothing else changed.
	return planned{entry: entry, next: c, changed: changed || c.DiffKey != was.DiffKey}
}

// actions says what the code host will be told about a wanted changeset.
func actions(c Changeset, isNew bool) (acts []glovebox.ChangesetAction, reasons []string) {
	if c.Imported {
		if isNew {
			return []glovebox.ChangesetAction{glovebox.ActionImport}, nil
		}
		return []glovebox.ChangesetAction{glovebox.ActionNothing}, nil
	}
	switch {
	case c.State == glovebox.ChangesetMerged:
		return []glovebox.ChangesetAction{glovebox.ActionKeep}, []string{"it is merged"}
	case !c.published():
		switch c.Publish {
		case glovebox.PublishedYes:
			return []glovebox.ChangesetAction{glovebox.ActionPublish}, nil
		case glovebox.PublishedDraft:
			return []glovebox.ChangesetAction{glovebox.ActionPublishDraft}, nil
		case glovebox.PublishedNo:
			return []glovebox.ChangesetAction{glovebox.ActionNothing}, []string{"published is false"}
		}
		return []glovebox.ChangesetAction{glovebox.ActionNothing}, []string{"whether to publish it is not decided"}
	case c.State == glovebox.ChangesetClosed && !c.ClosedByUs:
		return []glovebox.ChangesetAction{glovebox.ActionKeep}, []string{"it was closed at the code host"}
	case c.Publish == glovebox.PublishedNo:
		return []glovebox.ChangesetAction{glovebox.ActionKeep}, []string{"published is false: it stays as it was published"}
	}
	if c.Pushed != pushSum(*c.Wanted) {
		acts = append(acts, glovebox.ActionPush)
	}
	if c.State == glovebox.ChangesetClosed {
		acts = append(acts, glovebox.ActionReopen)
	}
	if c.Host != "" && c.Sent != sentSum(*c.Wanted, c.Publish) {
		acts = append(acts, glovebox.ActionUpdate)
	}
	if c.State == glovebox.ChangesetFailed && len(acts) == 0 {
		return []glovebox.ChangesetAction{glovebox.ActionUpdate}, []string{"the last try failed, and is made again"}
	}
	if len(acts) == 0 {
		acts = []glovebox.ChangesetAction{glovebox.ActionNothing}
	}
	return acts, nil
}

// unwanted is what becomes of a changeset that the run does not want.
func (m merging) unwanted(c Changeset) planned {
	entry := glovebox.PreviewEntry{Changeset: c.ID, Repo: c.Repo, Branch: c.Branch, State: c.State}
	keep := func(why string) planned {
		entry.Actions = []glovebox.ChangesetAction{glovebox.ActionKeep}
		entry.Reasons = []string{why}
		return planned{entry: entry, next: c}
	}
	switch why := m.kept(c.Repo); {
	case c.Closing && c.State != glovebox.ChangesetFailed:
		entry.Actions = []glovebox.ChangesetAction{glovebox.ActionNothing}
		return planned{entry: entry, next: c}
	case c.State == glovebox.ChangesetMerged:
		return keep("it is merged")
	case why != "":
		return keep(why)
	case c.Imported:
		c.Wanted, c.NextAt, c.UpdatedAt = nil, nil, m.now
		p := keep("it was imported: it is not looked at any more, and left as it is")
		p.next, p.changed = c, true
		return p
	case c.State == glovebox.ChangesetClosed && !c.ClosedByUs && c.published():
		return keep("it was closed at the code host")
	}
	entry.Actions = []glovebox.ChangesetAction{glovebox.ActionClose}
	entry.Reasons = []string{"the run does not want it"}
	if !c.published() {
		entry.Reasons = append(entry.Reasons, "it was not published")
	}
	closing(&c, m.now)
	c.Wanted, c.DiffKey = nil, ""
	return planned{entry: entry, next: c, changed: true}
}

// sum identifies values.
func sum(values ...any) string {
	raw, err := json.Marshal(values)
	if err != nil {
		panic(err) // texts, numbers and truths only
	}
	hash := sha256.Sum256(raw)
	return hex.EncodeToString(hash[:16])
}

// pushSum identifies what the commit of a changeset is made from.
func pushSum(s glovebox.ChangesetSpec) string {
	diff := ""
	if s.DiffStat != nil {
		diff = s.DiffStat.SHA256
	}
	return sum(s.BaseCommit, s.Branch, s.Message, s.AuthorName, s.AuthorEmail, s.Fork, diff)
}

// sentSum identifies what the request of a changeset says.
func sentSum(s glovebox.ChangesetSpec, publish glovebox.Published) string {
	return sum(s.Title, s.Body, s.BaseRef, publish == glovebox.PublishedDraft)
}

// specSum identifies all that is wanted.
func specSum(s *glovebox.ChangesetSpec) string {
	if s == nil {
		return ""
	}
	return sum(pushSum(*s), s.Title, s.Body, s.BaseRef, s.ExternalID, s.Published)
}

// duplicates returns why a list of wanted changesets can't be applied, nil when it can.
func duplicates(wanted []Spec) error {
	list := make([]glovebox.ChangesetSpec, len(wanted))
	for i, s := range wanted {
		list[i] = s.Spec
	}
	return batch.Duplicates(slices.Clip(list))
}
