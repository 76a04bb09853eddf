package admin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

func (p planner) planVisitors(after *store.Settings) {
	f := p.file.Visitors
	if f == nil {
		return
	}
	v := &after.Visitors
	set(&v.Anonymous, f.Anonymous)
	set(&v.SignIn, f.SignIn)
	set(&v.TokenMinutes, f.TokenMinutes)
	replace(&v.Origins, f.Origins)
	switch {
	case v.Anonymous && v.SignIn == store.SignInRequired:
		*p.warnings = append(*p.warnings, "visitors: sign_in is required, so that anonymous lets nobody in")
	case (v.Anonymous || v.SignIn != "" && v.SignIn != store.SignInOff) && len(v.Origins) == 0:
		*p.warnings = append(*p.warnings, "visitors: without origins no page may hold the widget")
	case !v.Anonymous && (v.SignIn == "" || v.SignIn == store.SignInOff) && len(v.Origins) > 0:
		*p.warnings = append(*p.warnings, "visitors: anonymous is false and sign_in is off, so that nobody gets a token")
	}
}

// checkVisitors says when visitors are to sign in and there is nowhere to.
func (p planner) checkVisitors(out *plan) {
	if p.file.Visitors == nil || out.settings.after.Visitors.SignIn != store.SignInRequired {
		return
	}
	for id, c := range p.have.connections {
		removed := slices.ContainsFunc(out.connections, func(e edit[store.Connection]) bool {
			return e.before != nil && e.before.ID == id && (e.after == nil || e.after.Disabled)
		})
		if c.For == store.ForVisitors && !c.Disabled && !removed {
			return
		}
	}
	for _, e := range out.connections {
		if e.after != nil && e.after.For == store.ForVisitors && !e.after.Disabled {
			return
		}
	}
	*p.warnings = append(*p.warnings, "visitors: sign_in is required, and there is no connection for visitors to do so")
}

// planBans makes the file's bans stand. One that has ended is none, and is lifted if
// it still stands in the store; bans that were made elsewhere are never pruned.
func (p planner) planBans(out *plan) {
	named := map[string]bool{}
	for i := range p.file.VisitorBans {
		f := &p.file.VisitorBans[i]
		after := f.record()
		named[after.ID] = true
		before, ok := p.have.bans[after.ID]
		if banEnded(&after, p.now) {
			if ok && !banEnded(&before, p.now) {
				out.bans = append(out.bans, edit[store.Ban]{at: f.At, before: &before})
			}
			*p.warnings = append(*p.warnings, fmt.Sprintf("visitor_bans: the ban of %s has ended: it can be removed", banWords(&after)))
			continue
		}
		after.Created, after.By = p.now, ""
		if ok {
			after.Created, after.By, after.Subjects = before.Created, before.By, before.Subjects
		}
		out.bans = appendEdit(out.bans, f.At, before, ok, after)
	}
	if p.prune && p.file.VisitorBans != nil {
		for _, e := range dropped(p.have.bans, named) {
			if e.before.InFile && strings.HasPrefix(e.before.ID, "file-") {
				out.bans = append(out.bans, e)
			}
		}
	}
}

func banEnded(b *store.Ban, now time.Time) bool { return !b.Until.IsZero() && !b.Until.After(now) }

// loadConnections loads what only some files are about: the connections, and what
// is known of their providers' names.
func (c *current) loadConnections(tx store.Tx, f *fileSite, prune bool) (err error) {
	mapped := prune && (f.Roles != nil || f.Departments != nil)
	if f.Connections == nil && f.Visitors == nil && f.Agents == nil && !mapped {
		return nil
	}
	if c.connections, err = all(tx, &store.Connections); err != nil {
		return err
	}
	c.fetched = map[string]string{}
	for id, rec := range c.connections {
		if f.Connections == nil || rec.SAML == nil || rec.SAML.MetadataURL == "" || rec.SAML.EntityID != "" {
			continue
		}
		doc, err := store.AllFetched.Get(tx, id)
		if err == nil && doc.URL == rec.SAML.MetadataURL {
			c.fetched[id] = entityIDOf(string(doc.Body))
		} else if err != nil && !isNotFound(err) {
			return err
		}
	}
	return nil
}

// loadBans loads the bans that the file names, or all when pruning.
func (c *current) loadBans(tx store.Tx, f *fileSite, prune bool) (err error) {
	if f.VisitorBans == nil {
		return nil
	}
	if prune {
		c.bans, err = all(tx, &store.Bans)
		return err
	}
	c.bans = map[string]store.Ban{}
	for i := range f.VisitorBans {
		id := f.VisitorBans[i].record().ID
		rec, err := store.Bans.Get(tx, id)
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return err
		}
		c.bans[id] = rec
	}
	return nil
}
