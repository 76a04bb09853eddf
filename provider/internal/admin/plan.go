package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// edit is one record before and after: without before it is made, without after
// it is removed.
type edit[T any] struct {
	at            line
	before, after *T
}

// plan is what applying a file would do to one site.
type plan struct {
	path     string
	fresh    bool // the site itself is made
	settings edit[store.Settings]

	roles       []edit[store.Role]
	departments []edit[store.Department]
	clients     []edit[store.Client]
	connections []edit[store.Connection]
	bans        []edit[store.Ban]
	agents      []edit[store.Agent]
	seeds       map[string][]byte // of authenticator apps, by the id of an agent that is made
	invites     bool              // agents that it makes without a password
	passwords   map[string]bool   // e-mails of agents to whom the file gives one
	invited     []Invitation      // set as the plan is written
}

// current is what a site has, as far as a file can change it.
type current struct {
	settings    store.Settings
	roles       map[string]store.Role
	departments map[string]store.Department
	clients     map[string]store.Client
	agents      map[string]store.Agent // by e-mail: those the file names, or all when pruning
	admins      map[string]bool        // ids of the active administrators
	connections map[string]store.Connection
	rehearsed   map[string][]string // connections that each active administrator has rehearsed, by e-mail; nil: the file enforces none
	linked      [][2]string         // e-mails and connections of those who become administrators, linked by an address
	provided    map[string]provided // what a provider gives and takes, by the e-mail of an agent who is linked to it
	fetched     map[string]string   // entity IDs by connection, of metadata at a URL
	bans        map[string]store.Ban
}

// planner makes a plan for one site. It reads what it is given and writes nothing.
type planner struct {
	file     *fileSite
	have     *current
	prune    bool
	invites  bool // agents that are made without a password
	now      time.Time
	hashes   map[string]string // by e-mail: hashes of the passwords of agents to be made
	vault    vault
	faults   *faultList
	warnings *[]string
}

func loadCurrent(tx store.Tx, f *fileSite, prune bool) (*current, error) {
	c := &current{agents: map[string]store.Agent{}, admins: map[string]bool{}}
	var err error
	if c.settings, err = store.GetSettings(tx); err != nil {
		return nil, fmt.Errorf("load settings: %w", err)
	}
	if c.roles, err = all(tx, &store.Roles); err != nil {
		return nil, err
	}
	if c.departments, err = all(tx, &store.Departments); err != nil {
		return nil, err
	}
	if c.clients, err = all(tx, &store.Clients); err != nil {
		return nil, err
	}
	if err := c.loadConnections(tx, f, prune); err != nil {
		return nil, err
	}
	if err := c.loadBans(tx, f, prune); err != nil {
		return nil, err
	}
	for a, err := range store.Agents.List(tx, "role", policy.Administrators) {
		if err != nil {
			return nil, err
		}
		if a.Inactive {
			continue
		}
		c.admins[a.ID] = true
		if err := c.loadRehearsed(tx, f, &a); err != nil {
			return nil, err
		}
	}
	if err := c.loadAgents(tx, f, prune); err != nil {
		return nil, err
	}
	if err := c.loadProvided(tx, f); err != nil {
		return nil, err
	}
	return c, c.loadLinks(tx, f)
}

// loadRehearsed finds by which connections an administrator gets in, where that may
// come to matter.
func (c *current) loadRehearsed(tx store.Tx, f *fileSite, a *store.Agent) error {
	if !slices.ContainsFunc(f.Connections, func(f fileConnection) bool { return f.Enforce != nil && *f.Enforce }) {
		return nil
	}
	if c.rehearsed == nil {
		c.rehearsed = map[string][]string{}
	}
	c.rehearsed[a.Email] = nil
	for link, err := range store.Links.List(tx, "agent", a.ID) {
		if err != nil {
			return err
		}
		if link.Rehearsed {
			c.rehearsed[a.Email] = append(c.rehearsed[a.Email], link.Connection)
		}
	}
	return nil
}

// loadLinks finds whom the file makes administrators, and who are linked to a
// connection by no more than an address.
func (c *current) loadLinks(tx store.Tx, f *fileSite) error {
	for _, named := range f.Agents {
		a, ok := c.agents[named.Email]
		if !ok || !slices.Contains(named.Roles, policy.Administrators) || slices.Contains(a.Roles, policy.Administrators) {
			continue
		}
		for link, err := range store.Links.List(tx, "agent", a.ID) {
			if err != nil {
				return err
			}
			if !link.Rehearsed {
				c.linked = append(c.linked, [2]string{a.Email, link.Connection})
			}
		}
	}
	return nil
}

func (c *current) loadAgents(tx store.Tx, f *fileSite, prune bool) error {
	if prune { // also to see who still holds a role that goes
		for a, err := range store.Agents.All(tx, "") {
			if err != nil {
				return err
			}
			c.agents[a.Email] = a
		}
		return nil
	}
	for _, named := range f.Agents {
		a, err := store.Agents.Find(tx, "email", named.Email)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		c.agents[a.Email] = a
	}
	return nil
}

// all is a small table as a map.
func all[T any](tx store.Tx, table *store.Table[T]) (map[string]T, error) {
	m := map[string]T{}
	for rec, err := range table.All(tx, "") {
		if err != nil {
			return nil, err
		}
		m[table.Key(&rec)] = rec
	}
	return m, nil
}

// freshCurrent is about what a site has once site.Create has made it.
func freshCurrent(f *fileSite) *current {
	c := &current{
		settings: site.DefaultSettings(siteName(f)), departments: map[string]store.Department{},
		clients: map[string]store.Client{}, connections: map[string]store.Connection{}, agents: map[string]store.Agent{}, admins: map[string]bool{},
		// What these two hold is site.Create's business; the plan is made again once it has run.
		roles: map[string]store.Role{
			policy.Administrators: {Key: policy.Administrators, Name: "Administrators"},
			policy.Agents:         {Key: policy.Agents, Name: "Agents"},
		},
	}
	return c
}

func siteName(f *fileSite) string {
	switch {
	case f.Name != nil && *f.Name != "":
		return *f.Name
	case deref(f.Path) != "":
		return *f.Path
	}
	return "Support"
}

func (p planner) plan() *plan {
	out := &plan{path: deref(p.file.Path), invites: p.invites, passwords: map[string]bool{}}
	p.planSettings(out)
	p.planRoles(out)
	p.planDepartments(out)
	p.planClients(out)
	p.planConnections(out)
	p.checkVisitors(out)
	p.planBans(out)
	p.planAgents(out)
	p.checkAgents(out)
	return out
}

func (p planner) planSettings(out *plan) {
	before, after := p.have.settings, p.have.settings
	f := p.file
	set(&after.Name, f.Name)
	set(&after.Logo, f.Logo)
	set(&after.Color, f.Color)
	if f.Domains != nil {
		after.Domains = f.Domains
	}
	if f.DNSDomains != nil {
		after.DNSDomains = p.dnsDomains()
	}
	if f.PasswordPolicy != nil {
		f.PasswordPolicy.onto(&after.Password)
	}
	if f.TwoFactor != nil {
		f.TwoFactor.onto(&after.TwoFactor)
	}
	if f.Sessions != nil {
		set(&after.Sessions.MaxAtOnce, f.Sessions.MaxAtOnce)
	}
	if a := f.IPAllowlist; a != nil {
		set(&after.Allowlist.Enabled, a.Enabled)
		set(&after.Allowlist.Console, a.Console)
		set(&after.Allowlist.Mobile, a.Mobile)
		if a.Entries != nil {
			after.Allowlist.Entries = nil
			for _, e := range a.Entries {
				after.Allowlist.Entries = append(after.Allowlist.Entries, e.record())
			}
		}
		if list, err := site.CompileAllowlist(after.Allowlist); err == nil {
			*p.warnings = append(*p.warnings, list.Warnings()...)
		}
	}
	p.planLifetimes(&after)
	p.planVisitors(&after)
	p.planResources(&after)
	after.Outlive(&before, p.now)
	out.settings = edit[store.Settings]{f.At, &before, &after}
}

// dnsDomains are those that the file names, proven as they are.
func (p planner) dnsDomains() []store.DNSDomain {
	list := make([]store.DNSDomain, len(p.file.DNSDomains))
	for i, name := range p.file.DNSDomains {
		list[i].Name = name
		if at := slices.IndexFunc(p.have.settings.DNSDomains, func(d store.DNSDomain) bool { return d.Name == name }); at >= 0 {
			list[i] = p.have.settings.DNSDomains[at]
		} else {
			*p.warnings = append(*p.warnings, fmt.Sprintf("%s is the site's once its DNS says so: chatelaine domain list shows the record", name))
		}
	}
	return list
}

// set changes to to what the file gives, if it gives something.
func set[T any](to *T, given *T) {
	if given != nil {
		*to = *given
	}
}

func (p planner) planLifetimes(after *store.Settings) {
	l := p.file.Lifetimes
	if l == nil {
		return
	}
	to := after.Lifetimes.OrDefault()
	set(&to.Code, l.Code)
	set(&to.AccessToken, l.AccessToken)
	set(&to.IDToken, l.IDToken)
	set(&to.RefreshIdle, l.RefreshIdle)
	set(&to.RefreshAbsolute, l.RefreshAbsolute)
	set(&to.SessionIdle, l.SessionIdle)
	set(&to.SessionAbsolute, l.SessionAbsolute)
	set(&to.VisitorToken, l.VisitorToken)
	if to.RefreshIdle > to.RefreshAbsolute {
		p.faults.add(l.At, "lifetimes: refresh_idle is longer than refresh_absolute")
	}
	if to.SessionIdle > to.SessionAbsolute {
		p.faults.add(l.At, "lifetimes: session_idle is longer than session_absolute")
	}
	after.Lifetimes = to
}

func (p planner) planResources(after *store.Settings) {
	if p.file.Resources == nil {
		return
	}
	var kept []store.Resource
	byID := map[string]store.Resource{}
	named := map[string]bool{}
	for _, r := range after.Resources {
		byID[r.Identifier] = r
	}
	for _, f := range p.file.Resources {
		r, ok := byID[f.Identifier]
		if !ok {
			r = store.Resource{Identifier: f.Identifier, AccessTokenFormat: "jwt", SigningAlg: "ES256"}
		}
		if f.Scopes != nil {
			r.Scopes = f.Scopes
		}
		set(&r.AccessTokenFormat, f.AccessTokenFormat)
		set(&r.SigningAlg, f.SigningAlg)
		set(&r.ChecksNetwork, f.ChecksNetwork)
		byID[f.Identifier], named[f.Identifier] = r, true
	}
	// Existing ones keep their place, so that a second run finds nothing to change.
	for _, r := range after.Resources {
		if named[r.Identifier] || !p.prune {
			kept = append(kept, byID[r.Identifier])
			delete(byID, r.Identifier)
		}
	}
	for _, f := range p.file.Resources {
		if r, ok := byID[f.Identifier]; ok {
			kept = append(kept, r)
			delete(byID, f.Identifier)
		}
	}
	after.Resources = kept
}

func (p planner) planRoles(out *plan) {
	named := map[string]bool{}
	for _, f := range p.file.Roles {
		before, ok := p.have.roles[f.Key]
		after := before
		if !ok {
			after = store.Role{Key: f.Key, Name: f.Key}
		}
		set(&after.Name, f.Name)
		if f.Permissions != nil {
			after.Permissions = f.Permissions
		}
		named[f.Key] = true
		out.roles = appendEdit(out.roles, f.At, before, ok, after)
	}
	if p.prune && p.file.Roles != nil {
		named[policy.Administrators], named[policy.Agents] = true, true
		out.roles = append(out.roles, dropped(p.have.roles, named)...)
	}
}

// appendEdit adds the edit if it changes anything.
func appendEdit[T any](edits []edit[T], at line, before T, had bool, after T) []edit[T] {
	switch {
	case !had:
		return append(edits, edit[T]{at, nil, &after})
	case sameJSON(before, after):
		return edits
	}
	return append(edits, edit[T]{at, &before, &after})
}

func dropped[T any](have map[string]T, named map[string]bool) []edit[T] {
	var edits []edit[T]
	for _, key := range slices.Sorted(maps.Keys(have)) {
		if !named[key] {
			rec := have[key]
			edits = append(edits, edit[T]{before: &rec})
		}
	}
	return edits
}

func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && string(x) == string(y)
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

func (p planner) planDepartments(out *plan) {
	named := map[string]bool{}
	for _, f := range p.file.Departments {
		before, ok := p.have.departments[f.Key]
		after := before
		if !ok {
			after = store.Department{Key: f.Key, Name: f.Key}
		}
		set(&after.Name, f.Name)
		if f.TranscriptsTo != nil {
			after.TranscriptsTo = f.TranscriptsTo
		}
		if f.OfflineMessagesTo != nil {
			after.OfflineMessagesTo = f.OfflineMessagesTo
		}
		named[f.Key] = true
		out.departments = appendEdit(out.departments, f.At, before, ok, after)
	}
	if p.prune && p.file.Departments != nil {
		out.departments = append(out.departments, dropped(p.have.departments, named)...)
	}
}

func (p planner) planAgents(out *plan) {
	named := map[string]bool{}
	for _, f := range p.file.Agents {
		before, ok := p.have.agents[f.Email]
		after := before
		if !ok {
			after = p.newAgent(f, out.settings.after.Domains)
			out.seed(after.ID, f.TOTPSecret)
			out.passwords[f.Email] = f.Password.given()
		}
		f.onto(&after)
		if theirs, linked := p.have.provided[f.Email]; linked {
			if after.Roles = keeping(after.Roles, before.Roles, theirs.roles); len(after.Roles) == 0 {
				after.Roles = []string{policy.Agents}
			}
			after.Departments = keeping(after.Departments, before.Departments, theirs.departments)
		}
		if ok && !sameJSON(before, after) {
			after.Updated = p.now
		}
		named[f.Email] = true
		out.agents = appendEdit(out.agents, f.At, before, ok, after)
	}
	if p.prune && p.file.Agents != nil {
		out.agents = append(out.agents, dropped(p.have.agents, named)...)
	}
}

func (p planner) newAgent(f fileAgent, domains []string) store.Agent {
	a := store.Agent{ID: newID(), Email: f.Email, Created: p.now, Updated: p.now}
	_, domain, _ := strings.Cut(f.Email, "@")
	a.EmailVerified = slices.Contains(domains, domain) // the operator's word for the domain
	a.PasswordHash = f.PasswordHash.reveal()
	if f.Password.given() {
		a.PasswordHash = p.hashes[f.Email]
	}
	if f.Password.given() || f.PasswordHash.given() {
		a.PasswordChanged = p.now
	} else if !p.invites {
		*p.warnings = append(*p.warnings, fmt.Sprintf("agent %s has no password yet: chatelaine agent set-password %s", f.Email, f.Email))
	}
	return a
}

func (p *plan) seed(agentID string, text secret) {
	if seed, err := mfa.ParseSeed(text.reveal()); err == nil {
		if p.seeds == nil {
			p.seeds = map[string][]byte{}
		}
		p.seeds[agentID] = seed
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// onto changes what the file names.
func (f fileAgent) onto(a *store.Agent) {
	set(&a.EmailVerified, f.EmailVerified)
	set(&a.Name, f.Name)
	set(&a.GivenName, f.GivenName)
	set(&a.FamilyName, f.FamilyName)
	set(&a.Nickname, f.Nickname)
	set(&a.Picture, f.Picture)
	set(&a.Locale, f.Locale)
	set(&a.Zoneinfo, f.Zoneinfo)
	set(&a.PhoneNumber, f.PhoneNumber)
	if f.Address != nil {
		a.Address = f.Address
	}
	if f.Active != nil {
		a.Inactive = !*f.Active
	}
	if f.Roles != nil {
		a.Roles = f.Roles
	}
	if f.Departments != nil {
		a.Departments = f.Departments
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
