package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// Applied is what an operation changed.
type Applied struct {
	Changes     []SiteChange `json:"changes"`
	Invitations []Invitation `json:"invitations,omitempty"`
	Warnings    []string     `json:"warnings,omitempty"`
	DryRun      bool         `json:"dry_run,omitempty"`
}

// SiteChange is a Change, the site it is of, and the line that people read.
type SiteChange struct {
	Site string `json:"site"`
	Change
	Text string `json:"text"`
}

func (a *Applied) add(p *plan) {
	for _, c := range p.changes() {
		a.Changes = append(a.Changes, SiteChange{p.path, c, c.String()})
	}
}

type applyInput struct {
	Prune  bool `json:"prune"`
	DryRun bool `json:"dry_run"`
}

// applyOp makes sites what the site file in the body says.
func (a *Admin) applyOp(ctx context.Context, in applyInput, c *call) (any, error) {
	raw, err := io.ReadAll(io.LimitReader(c.Body, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the site file: %w", err)
	}
	file, faults := decodeFile(raw)
	if file == nil {
		return nil, faults.err()
	}
	return a.apply(ctx, file, faults, how{prune: in.Prune, dryRun: in.DryRun}, c)
}

// how an apply goes about it.
type how struct {
	prune, dryRun bool
	must          existence // of the agents and clients that the file names
}

// existence is what an operation on one record expects of the store.
type existence int

const (
	mayExist existence = iota
	mustExist
	mustNotExist
)

// apply checks everything, of all sites, before it writes anything; then each
// site is one transaction, which plans anew from what it finds, so that the
// rules hold whatever else is going on.
func (a *Admin) apply(ctx context.Context, file *siteFile, faults faultList, h how, c *call) (*Applied, error) {
	out := &Applied{DryRun: h.dryRun}
	checker{&faults, &out.Warnings, a.loopback(), a.PrivateNetworks, a.checkHash}.file(file)
	if err := faults.err(); err != nil {
		return nil, err
	}
	plans, err := a.planAll(ctx, file, h, &out.Warnings)
	if err != nil {
		return nil, err
	}
	if err := a.checkPasswords(ctx, file, plans, h, &out.Warnings); err != nil {
		return nil, err
	}
	for _, p := range plans {
		if err := a.warnOfEnforced(ctx, p, &out.Warnings); err != nil {
			return nil, err
		}
		out.add(p)
		for _, agent := range p.toInvite() {
			out.Invitations = append(out.Invitations, Invitation{Site: p.path, Email: agent.Email})
		}
	}
	if h.dryRun || len(out.Changes) == 0 {
		return out, nil
	}
	out.Invitations = nil // those that are made
	hashes, err := a.hashAll(ctx, file, plans, c)
	if err != nil {
		return nil, err
	}
	for i, p := range plans {
		if p.empty() {
			continue
		}
		invited, err := a.applySite(ctx, &file.Sites[i], p, hashes[i], h)
		if err != nil {
			return nil, fmt.Errorf("site %q: %w", "/"+p.path, err)
		}
		out.Invitations = append(out.Invitations, invited...)
		if err := a.ensureKeys(ctx, p, out); err != nil {
			return nil, fmt.Errorf("site %q: %w", "/"+p.path, err)
		}
		c.Progress("applying sites", int64(i+1), int64(len(plans)))
	}
	return out, nil
}

// ensureKeys makes the keys that the site's clients and resources ask for. One
// that did not exist signs only when every verifier can know it.
func (a *Admin) ensureKeys(ctx context.Context, p *plan, out *Applied) error {
	algs := wantedAlgs(p)
	if len(algs) == 0 {
		return nil
	}
	err := a.Keys.Ensure(ctx, p.path, algs...)
	var later *keys.NotYetActive
	if errors.As(err, &later) {
		out.Warnings = append(out.Warnings, fmt.Sprintf("the EdDSA key is published now and signs from %s; until then the usual algorithms do", later.At.UTC().Format(time.RFC3339)))
		return nil
	}
	return err
}

// wantedAlgs are those that a site has only on request.
func wantedAlgs(p *plan) []string {
	wanted := slices.ContainsFunc(p.settings.after.Resources, func(r store.Resource) bool { return r.SigningAlg == keys.EdDSA }) ||
		slices.ContainsFunc(p.clients, func(e edit[store.Client]) bool { return e.after != nil && e.after.IDTokenAlg == keys.EdDSA })
	if wanted {
		return []string{keys.EdDSA}
	}
	return nil
}

// planAll plans every site from what the store has now.
func (a *Admin) planAll(ctx context.Context, file *siteFile, h how, warnings *[]string) ([]*plan, error) {
	existing, err := a.Sites.All(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]store.Site{}
	hosts := map[string]string{}
	for _, rec := range existing {
		known[rec.Path] = rec
		hosts[rec.Host] = rec.Path
	}
	var faults faultList
	var plans []*plan
	for i := range file.Sites {
		f := &file.Sites[i]
		path := deref(f.Path)
		rec, ok := known[path]
		switch holder, taken := hosts[deref(f.Host)]; {
		case ok && f.Host != nil && *f.Host != rec.Host:
			faults.add(f.At, "host: the host of a site is part of its issuer and cannot be changed from %q", rec.Host)
		case deref(f.Host) != "" && taken && holder != path:
			faults.add(f.At, "host: %s is the host of site %q", *f.Host, "/"+holder)
		}
		have := freshCurrent(f)
		if ok {
			if have, err = a.load(ctx, path, f, h.prune); err != nil {
				return nil, err
			}
		} else if h.must != mayExist {
			return nil, notFound("site", "/"+path)
		}
		if err := h.exists(f, have); err != nil {
			return nil, err
		}
		p := a.planner(f, have, h.prune, nil, &faults, warnings).plan()
		p.fresh = !ok
		plans = append(plans, p)
	}
	return plans, faults.err()
}

func (a *Admin) load(ctx context.Context, path string, f *fileSite, prune bool) (have *current, err error) {
	err = a.Store.View(ctx, path, func(tx store.Tx) error {
		have, err = loadCurrent(tx, f, prune)
		return err
	})
	return have, err
}

// exists holds an operation on one record to what it expects.
func (h how) exists(f *fileSite, have *current) error {
	for _, a := range f.Agents {
		if err := h.must.check("agent", a.Email, has(have.agents, a.Email)); err != nil {
			return err
		}
	}
	for _, c := range f.Clients {
		if err := h.must.check("client", c.ID, has(have.clients, c.ID)); err != nil {
			return err
		}
	}
	return nil
}

func has[T any](m map[string]T, key string) bool {
	_, ok := m[key]
	return ok
}

func (e existence) check(kind, key string, found bool) error {
	switch {
	case e == mustExist && !found:
		return notFound(kind, key)
	case e == mustNotExist && found:
		return usage("the %s %s is there already", kind, key)
	}
	return nil
}

// hashAll hashes the passwords of the agents to be made, outside of any
// transaction. The result is by site and e-mail.
func (a *Admin) hashAll(ctx context.Context, file *siteFile, plans []*plan, c *call) ([]map[string]string, error) {
	type job struct {
		site     int
		email    string
		password secret
	}
	var jobs []job
	for i, p := range plans {
		made := map[string]bool{}
		for _, e := range p.agents {
			made[keyOf(firstOf(e))] = e.before == nil
		}
		for _, f := range file.Sites[i].Agents {
			if f.Password.given() && made[f.Email] {
				jobs = append(jobs, job{i, f.Email, f.Password})
			}
		}
	}
	hashes := make([]map[string]string, len(plans))
	for i := range hashes {
		hashes[i] = map[string]string{}
	}
	var mu sync.Mutex
	var done int64
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, j := range jobs {
		group.Go(func() error {
			hash, err := a.hash(ctx, j.password.reveal())
			if err != nil {
				return fmt.Errorf("hash the password of %s: %w", j.email, err)
			}
			mu.Lock()
			defer mu.Unlock()
			hashes[j.site][j.email] = hash
			done++
			c.Progress("hashing passwords", done, int64(len(jobs)))
			return nil
		})
	}
	return hashes, group.Wait()
}

func firstOf[T any](e edit[T]) *T {
	if e.after != nil {
		return e.after
	}
	return e.before
}

// errMoved says that the store changed under an apply in a way that the first
// plan did not foresee.
var errMoved = errors.New("somebody else changed this at the same time; run it again")

func (a *Admin) applySite(ctx context.Context, f *fileSite, first *plan, hashes map[string]string, h how) (invited []Invitation, err error) {
	if first.fresh {
		if err := site.Create(ctx, a.Store, first.path, deref(f.Host), site.DefaultSettings(siteName(f)), a.Now()); err != nil {
			return nil, fmt.Errorf("make the site: %w", err)
		}
		if err := a.Keys.Ensure(ctx, first.path, wantedAlgs(first)...); err != nil {
			return nil, fmt.Errorf("make its keys: %w", err)
		}
	}
	s, err := a.Sites.Load(ctx, first.path)
	if err != nil {
		return nil, err
	}
	var done *plan
	err = a.Store.Update(ctx, first.path, func(tx store.Tx) error {
		have, err := loadCurrent(tx, f, h.prune)
		if err != nil {
			return err
		}
		if err := h.exists(f, have); err != nil {
			return err
		}
		var faults faultList
		done = a.planner(f, have, h.prune, hashes, &faults, &[]string{}).plan()
		if err := faults.err(); err != nil {
			return err
		}
		for _, e := range done.agents {
			if e.before == nil && needsHash(f, e.after.Email) && e.after.PasswordHash == "" {
				return errMoved
			}
		}
		done.fresh = first.fresh
		return a.write(ctx, tx, s, done)
	})
	if err != nil {
		return nil, err
	}
	a.clearUp(ctx, done)
	return done.invited, nil
}

// planner is a planner for one site, as things are now.
func (a *Admin) planner(f *fileSite, have *current, prune bool, hashes map[string]string, faults *faultList, warnings *[]string) planner {
	return planner{f, have, prune, a.InvitationLink != nil, a.Now(), hashes, vault{a.Sealer, deref(f.Path)}, faults, warnings}
}

func needsHash(f *fileSite, email string) bool {
	for _, a := range f.Agents {
		if a.Email == email {
			return a.Password.given()
		}
	}
	return false
}

// write makes a plan true in one transaction, with its audit records and what
// follows for those who hold tokens.
func (a *Admin) write(ctx context.Context, tx store.Tx, s *site.Site, p *plan) error {
	if p.empty() {
		return nil
	}
	if err := store.AllSettings.Put(tx, p.settings.after); err != nil {
		return err
	}
	if err := putAll(tx, &store.Roles, p.roles); err != nil {
		return err
	}
	if err := putAll(tx, &store.Departments, p.departments); err != nil {
		return err
	}
	if err := putAll(tx, &store.Clients, p.clients); err != nil {
		return err
	}
	if err := a.writeConnections(ctx, tx, s, p); err != nil {
		return err
	}
	if err := a.writeBans(ctx, tx, p); err != nil {
		return err
	}
	if err := a.writeAgents(ctx, tx, s, p); err != nil {
		return err
	}
	if err := a.follow(ctx, tx, s, p); err != nil {
		return err
	}
	for _, c := range p.changes() {
		if c.Kind == banKind { // audited where it is made
			continue
		}
		if err := a.record(ctx, tx, c.action(), audit.Ref{Type: c.Kind, ID: p.idOf(c)}, c); err != nil {
			return err
		}
	}
	if err := forgetActivity(tx, p); err != nil {
		return err
	}
	return site.Changed(tx)
}

// writeAgents writes the agents and what belongs to them.
func (a *Admin) writeAgents(ctx context.Context, tx store.Tx, s *site.Site, p *plan) error {
	for _, e := range p.agents {
		if e.after == nil {
			if err := a.forgetAgent(ctx, tx, s, e.before); err != nil {
				return err
			}
		}
	}
	if err := putAll(tx, &store.Agents, p.agents); err != nil {
		return err
	}
	for _, id := range sortedKeys(p.seeds) {
		if _, err := a.Factors.ImportTOTP(ctx, tx, id, p.seeds[id], operator(ctx)); err != nil {
			return err
		}
	}
	return a.inviteNew(ctx, tx, s, p)
}

func putAll[T any](tx store.Tx, table *store.Table[T], edits []edit[T]) error {
	for _, e := range edits {
		switch {
		case e.after == nil:
			if err := table.Delete(tx, table.Key(e.before)); err != nil {
				return err
			}
		case e.before == nil:
			if err := table.Create(tx, e.after); err != nil {
				return fmt.Errorf("%s: %w", strings.TrimSpace(keyOf(e.after)), err)
			}
		default:
			if err := table.Put(tx, e.after); err != nil {
				return err
			}
		}
	}
	return nil
}
