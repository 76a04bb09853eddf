package store

import "time"

// Site is one customer account, kept under House so that the list can be read.
type Site struct {
	Path    string    `json:"path"`           // "" is the root site
	ID      string    `json:"id"`             // never reused, in seals and audit
	Host    string    `json:"host,omitempty"` // a host of its own, canonical; empty: public_url's
	Created time.Time `json:"created"`
}

// Sites lists the sites. It is read in a transaction of House only.
var Sites = Table[Site]{
	Kind: "site",
	// The root's path is empty and a key is not: "/" comes before every path.
	Key:     func(s *Site) string { return SiteKey(s.Path) },
	Lookups: []Lookup[Site]{{Name: "host", Values: func(s *Site) []string { return []string{s.Host} }, Unique: true}},
}

// SiteKey is the key of a site's record.
func SiteKey(path string) string { return "/" + path }

// Settings is what a site has decided: one record, so that a change of several
// is one write and a reader never sees half of it.
type Settings struct {
	Name    string   `json:"name"`
	Domains []string `json:"domains,omitempty"` // proven by the operator's word, canonical
	// DNSDomains are the site's from when their DNS has said so.
	DNSDomains []DNSDomain    `json:"dns_domains,omitempty"`
	Logo       string         `json:"logo,omitempty"`
	Color      string         `json:"color,omitempty"`
	Password   PasswordPolicy `json:"password_policy"`
	Allowlist  Allowlist      `json:"ip_allowlist"`
	Resources  []Resource     `json:"resources,omitempty"`
	TwoFactor  TwoFactor      `json:"two_factor"`
	Sessions   SessionRules   `json:"sessions,omitzero"`
	Lifetimes  Lifetimes      `json:"lifetimes"`
	Visitors   VisitorRules   `json:"visitors,omitzero"`
	// Outlived is of tokens that were given by longer lifetimes than those of now.
	Outlived Outlived `json:"outlived,omitzero"`
	// NotBefore voids every grant and token begun before it, as a restore must.
	NotBefore time.Time `json:"not_before,omitzero"`
}

// DNSDomain is a domain that a TXT record proves.
type DNSDomain struct {
	Name   string    `json:"name"`            // canonical
	Proven time.Time `json:"proven,omitzero"` // when the record was found; zero: not yet
}

// Proven are the site's domains, by the operator's word or by DNS.
func (s *Settings) Proven() []string {
	all := s.Domains
	for _, d := range s.DNSDomains {
		if !d.Proven.IsZero() {
			all = append(all[:len(all):len(all)], d.Name)
		}
	}
	return all
}

// settingsKey is the one key of the Settings and Counter tables' site-wide rows.
const settingsKey = "site"

// AllSettings holds the site's one Settings record, under SettingsKey.
var AllSettings = Table[Settings]{Kind: "settings", Key: func(*Settings) string { return settingsKey }}

// GetSettings returns the site's settings.
func GetSettings(tx Tx) (Settings, error) { return AllSettings.Get(tx, settingsKey) }

// PasswordPolicy has the eight rules' settings; zero switches a rule off.
type PasswordPolicy struct {
	MinLength           int  `json:"min_length" yaml:"min_length"`                                             // characters after NFC
	MinLengthWithFactor int  `json:"min_length_with_factor,omitempty" yaml:"min_length_with_factor,omitempty"` // of who holds a second factor; zero: MinLength
	CharacterKinds      int  `json:"character_kinds" yaml:"character_kinds"`                                   // of upper, lower, digit, special
	RefuseNames         bool `json:"refuse_names" yaml:"refuse_names"`
	RefuseCommon        bool `json:"refuse_common" yaml:"refuse_common"`
	CommonWhole         bool `json:"common_whole,omitempty" yaml:"common_whole,omitempty"` // only whole common passwords are refused
	RefuseBreached      bool `json:"refuse_breached,omitempty" yaml:"refuse_breached,omitempty"`
	History             int  `json:"history" yaml:"history"`
	MaxAgeDays          int  `json:"max_age_days" yaml:"max_age_days"`
	WarnDays            int  `json:"warn_days" yaml:"warn_days"`
	MaxChangesPerDay    int  `json:"max_changes_per_day" yaml:"max_changes_per_day"`
	LockAfter           int  `json:"lock_after" yaml:"lock_after"`
	LockMinutes         int  `json:"lock_minutes" yaml:"lock_minutes"`
}

// Allowlist is the site's IP allowlist as written; policy compiles it.
type Allowlist struct {
	Enabled bool             `json:"enabled" yaml:"enabled"`
	Console bool             `json:"console" yaml:"console"` // control panel and console
	Mobile  bool             `json:"mobile" yaml:"mobile"`   // clients with application_type native
	Entries []AllowlistEntry `json:"entries,omitempty" yaml:"entries"`
}

// AllowlistEntry allows one IP, range or CIDR; exactly one of the three is set.
type AllowlistEntry struct {
	IP    string   `json:"ip,omitempty" yaml:"ip,omitempty"`
	Range string   `json:"range,omitempty" yaml:"range,omitempty"` // "192.0.2.10-192.0.2.20"
	CIDR  string   `json:"cidr,omitempty" yaml:"cidr,omitempty"`
	Note  string   `json:"note,omitempty" yaml:"note,omitempty"`
	Roles []string `json:"roles,omitempty" yaml:"roles,omitempty"` // role keys; empty: for all
}

// Resource is a resource server that tokens are for (RFC 8707).
type Resource struct {
	Identifier        string   `json:"identifier" yaml:"identifier"` // absolute URI, the aud
	Scopes            []string `json:"scopes,omitempty" yaml:"scopes"`
	AccessTokenFormat string   `json:"access_token_format" yaml:"access_token_format"` // jwt or opaque
	SigningAlg        string   `json:"signing_alg" yaml:"signing_alg"`                 // ES256, RS256, EdDSA
	ChecksNetwork     bool     `json:"checks_network" yaml:"checks_network"`
}

// TwoFactor says who must have a second factor.
type TwoFactor struct {
	RequiredRoles []string `json:"required_roles,omitempty" yaml:"required_roles"`
	GraceDays     int      `json:"grace_days" yaml:"grace_days"`
	RememberDays  int      `json:"remember_days" yaml:"remember_days"`
}

// SessionRules says how many sessions an agent may have.
type SessionRules struct {
	MaxAtOnce int `json:"max_at_once,omitempty" yaml:"max_at_once"` // 0: any number
}

// Lifetimes are in seconds; zero means the default that DefaultLifetimes gives.
type Lifetimes struct {
	Code            int `json:"code" yaml:"code"`
	AccessToken     int `json:"access_token" yaml:"access_token"`
	IDToken         int `json:"id_token" yaml:"id_token"`
	RefreshIdle     int `json:"refresh_idle" yaml:"refresh_idle"`
	RefreshAbsolute int `json:"refresh_absolute" yaml:"refresh_absolute"`
	SessionIdle     int `json:"session_idle" yaml:"session_idle"`
	SessionAbsolute int `json:"session_absolute" yaml:"session_absolute"`
	VisitorToken    int `json:"visitor_token" yaml:"visitor_token"`
}

// DefaultLifetimes are the house's: code 60 s, access and visitor token 5 min,
// ID token 10 min, refresh 12 h idle and 30 d in all, session 8 h and 24 h.
func DefaultLifetimes() Lifetimes {
	return Lifetimes{
		Code: 60, AccessToken: 300, IDToken: 600, RefreshIdle: 12 * 3600, RefreshAbsolute: 30 * 24 * 3600,
		SessionIdle: 8 * 3600, SessionAbsolute: 24 * 3600, VisitorToken: 300,
	}
}

// Outlived says that tokens which live for so many seconds may be out until then.
type Outlived struct {
	Seconds int       `json:"seconds"`
	Until   time.Time `json:"until"`
}

// LongestLife is how long a token that was given until now can live, in seconds.
func (s *Settings) LongestLife(now time.Time) int {
	longest := s.longestLife()
	if now.Before(s.Outlived.Until) {
		longest = max(longest, s.Outlived.Seconds)
	}
	return longest
}

func (s *Settings) longestLife() int {
	l := s.Lifetimes.OrDefault()
	return max(l.AccessToken, l.IDToken, l.VisitorToken, 60*s.Visitors.TokenMinutes)
}

// Outlive notes what lives on of before, where the settings have become shorter: tokens
// of just now, and those that an earlier change has outlived already.
func (s *Settings) Outlive(before *Settings, now time.Time) {
	if s.longestLife() >= before.longestLife() {
		return
	}
	until := now.UTC().Add(time.Duration(before.longestLife()) * time.Second)
	if before.Outlived.Until.After(until) {
		until = before.Outlived.Until
	}
	s.Outlived = Outlived{before.LongestLife(now), until}
}

// Counter is a number that only grows: the site's version, an event's place.
type Counter struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

// Counters holds them by name.
var Counters = Table[Counter]{Kind: "counter", Key: func(c *Counter) string { return c.Name }}

// SiteVersion is the counter that every change of settings, roles, departments,
// resources, clients or keys moves on, so that compiled copies are dropped.
const SiteVersion = "site-version"

// Next moves the named counter on by one and returns its new value; the first
// is 1. Every caller writes the one row, so use it where changes are rare.
func Next(tx Tx, name string) (uint64, error) {
	c, err := Counters.Get(tx, name)
	if err != nil && !isNotFound(err) {
		return 0, err
	}
	c.Name, c.Value = name, c.Value+1
	return c.Value, Counters.Put(tx, &c)
}

// OrDefault fills in what is zero from DefaultLifetimes.
func (l Lifetimes) OrDefault() Lifetimes {
	d := DefaultLifetimes()
	for _, p := range []struct{ have, def *int }{
		{&l.Code, &d.Code}, {&l.AccessToken, &d.AccessToken}, {&l.IDToken, &d.IDToken}, {&l.RefreshIdle, &d.RefreshIdle},
		{&l.RefreshAbsolute, &d.RefreshAbsolute}, {&l.SessionIdle, &d.SessionIdle}, {&l.SessionAbsolute, &d.SessionAbsolute}, {&l.VisitorToken, &d.VisitorToken},
	} {
		if *p.have == 0 {
			*p.have = *p.def
		}
	}
	return l
}
