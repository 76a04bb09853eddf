package admin

import (
	"encoding/json"

	"github.com/chatelaine-id/chatelaine/store"
)

// The site file as written. A nil pointer or slice was not named in the file,
// so what the store has is kept; an empty one was named and empties it.

type siteFile struct {
	At    line       `yaml:"-"`
	Sites []fileSite `yaml:"sites"`
}

type fileSite struct {
	At             line                `yaml:"-"`
	Path           *string             `yaml:"path"`
	Host           *string             `yaml:"host,omitempty"`
	Name           *string             `yaml:"name,omitempty"`
	Logo           *string             `yaml:"logo,omitempty"`
	Color          *string             `yaml:"color,omitempty"`
	Domains        []string            `yaml:"domains,omitempty,flow"`
	DNSDomains     []string            `yaml:"dns_domains,omitempty,flow"`
	Roles          []fileRole          `yaml:"roles,omitempty"`
	Departments    []fileDepartment    `yaml:"departments,omitempty"`
	PasswordPolicy *filePasswordPolicy `yaml:"password_policy,omitempty"`
	TwoFactor      *fileTwoFactor      `yaml:"two_factor,omitempty"`
	Sessions       *fileSessions       `yaml:"sessions,omitempty"`
	IPAllowlist    *fileAllowlist      `yaml:"ip_allowlist,omitempty"`
	Resources      []fileResource      `yaml:"resources,omitempty"`
	Lifetimes      *fileLifetimes      `yaml:"lifetimes,omitempty"`
	Clients        []fileClient        `yaml:"clients,omitempty"`
	Agents         []fileAgent         `yaml:"agents,omitempty"`

	Connections []fileConnection `yaml:"connections,omitempty"`
	Visitors    *fileVisitors    `yaml:"visitors,omitempty"`
	VisitorBans []fileBan        `yaml:"visitor_bans,omitempty"`
}

type fileRole struct {
	At          line     `yaml:"-"`
	Key         string   `yaml:"key"`
	Name        *string  `yaml:"name,omitempty"`
	Permissions []string `yaml:"permissions,omitempty,flow"`
}

type fileDepartment struct {
	At                line     `yaml:"-"`
	Key               string   `yaml:"key"`
	Name              *string  `yaml:"name,omitempty"`
	TranscriptsTo     []string `yaml:"transcripts_to,omitempty,flow"`
	OfflineMessagesTo []string `yaml:"offline_messages_to,omitempty,flow"`
}

type fileAgent struct {
	At            line           `yaml:"-"`
	Email         string         `yaml:"email"`
	EmailVerified *bool          `yaml:"email_verified,omitempty"`
	Name          *string        `yaml:"name,omitempty"`
	GivenName     *string        `yaml:"given_name,omitempty"`
	FamilyName    *string        `yaml:"family_name,omitempty"`
	Nickname      *string        `yaml:"nickname,omitempty"`
	Picture       *string        `yaml:"picture,omitempty"`
	Locale        *string        `yaml:"locale,omitempty"`
	Zoneinfo      *string        `yaml:"zoneinfo,omitempty"`
	PhoneNumber   *string        `yaml:"phone_number,omitempty"`
	Address       *store.Address `yaml:"address,omitempty"`
	Active        *bool          `yaml:"active,omitempty"`
	Roles         []string       `yaml:"roles,omitempty,flow"`
	Departments   []string       `yaml:"departments,omitempty,flow"`

	// These apply when the agent is made, never later.
	Password     secret `yaml:"password,omitempty"`
	PasswordHash secret `yaml:"password_hash,omitempty"`
	TOTPSecret   secret `yaml:"totp_secret,omitempty"`
}

// fileClient has the names of RFC 7591 and our own.
type fileClient struct {
	At                      line       `yaml:"-"`
	ID                      string     `yaml:"client_id"`
	Name                    *string    `yaml:"client_name,omitempty"`
	Company                 *string    `yaml:"company,omitempty"`
	Description             *string    `yaml:"description,omitempty"`
	LogoURI                 *string    `yaml:"logo_uri,omitempty"`
	ClientURI               *string    `yaml:"client_uri,omitempty"`
	PolicyURI               *string    `yaml:"policy_uri,omitempty"`
	TOSURI                  *string    `yaml:"tos_uri,omitempty"`
	Secret                  secret     `yaml:"client_secret,omitempty"` // when the client is made, never later
	RedirectURIs            []string   `yaml:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs  []string   `yaml:"post_logout_redirect_uris,omitempty"`
	GrantTypes              []string   `yaml:"grant_types,omitempty,flow"`
	ResponseTypes           []string   `yaml:"response_types,omitempty,flow"`
	Scope                   *string    `yaml:"scope,omitempty"`
	TokenEndpointAuthMethod *string    `yaml:"token_endpoint_auth_method,omitempty"`
	StrictAuthMethod        *bool      `yaml:"strict_auth_method,omitempty"`
	JWKS                    *jsonValue `yaml:"jwks,omitempty"`
	JWKSURI                 *string    `yaml:"jwks_uri,omitempty"`
	ApplicationType         *string    `yaml:"application_type,omitempty"`
	IDTokenAlg              *string    `yaml:"id_token_signed_response_alg,omitempty"`
	FirstParty              *bool      `yaml:"first_party,omitempty"`
	RequirePKCE             *bool      `yaml:"require_pkce,omitempty"`
	MayAssertIP             *bool      `yaml:"may_assert_ip,omitempty"`
	DefaultResource         *string    `yaml:"default_resource,omitempty"`
	Resources               []string   `yaml:"resources,omitempty"`
	RotateRefreshTokens     *bool      `yaml:"rotate_refresh_tokens,omitempty"`
	IDTokenOnRefresh        *bool      `yaml:"id_token_on_refresh,omitempty"`
	DefaultMaxAge           *int       `yaml:"default_max_age,omitempty"`
	RequireAuthTime         *bool      `yaml:"require_auth_time,omitempty"`
	Disabled                *bool      `yaml:"disabled,omitempty"`
}

type fileResource struct {
	At                line     `yaml:"-"`
	Identifier        string   `yaml:"identifier"`
	Scopes            []string `yaml:"scopes,omitempty,flow"`
	AccessTokenFormat *string  `yaml:"access_token_format,omitempty"`
	SigningAlg        *string  `yaml:"signing_alg,omitempty"`
	ChecksNetwork     *bool    `yaml:"checks_network,omitempty"`
}

type filePasswordPolicy struct {
	At                  line    `yaml:"-"`
	Preset              *string `yaml:"preset,omitempty"` // what the other fields begin with; never exported
	MinLength           *int    `yaml:"min_length,omitempty"`
	MinLengthWithFactor *int    `yaml:"min_length_with_factor,omitempty"`
	CharacterKinds      *int    `yaml:"character_kinds,omitempty"`
	RefuseNames         *bool   `yaml:"refuse_names,omitempty"`
	RefuseCommon        *bool   `yaml:"refuse_common,omitempty"`
	CommonWhole         *bool   `yaml:"common_whole,omitempty"`
	RefuseBreached      *bool   `yaml:"refuse_breached,omitempty"`
	History             *int    `yaml:"history,omitempty"`
	MaxAgeDays          *int    `yaml:"max_age_days,omitempty"`
	WarnDays            *int    `yaml:"warn_days,omitempty"`
	MaxChangesPerDay    *int    `yaml:"max_changes_per_day,omitempty"`
	LockAfter           *int    `yaml:"lock_after,omitempty"`
	LockMinutes         *int    `yaml:"lock_minutes,omitempty"`
}

type fileTwoFactor struct {
	At            line     `yaml:"-"`
	RequiredRoles []string `yaml:"required_roles,omitempty,flow"`
	GraceDays     *int     `yaml:"grace_days,omitempty"`
	RememberDays  *int     `yaml:"remember_days,omitempty"`
}

type fileSessions struct {
	At        line `yaml:"-"`
	MaxAtOnce *int `yaml:"max_at_once,omitempty"`
}

type fileAllowlist struct {
	At      line             `yaml:"-"`
	Enabled *bool            `yaml:"enabled,omitempty"`
	Console *bool            `yaml:"console,omitempty"`
	Mobile  *bool            `yaml:"mobile,omitempty"`
	Entries []allowlistEntry `yaml:"entries,omitempty"`
}

type allowlistEntry struct {
	At    line     `yaml:"-"`
	IP    string   `yaml:"ip,omitempty"`
	Range string   `yaml:"range,omitempty"`
	CIDR  string   `yaml:"cidr,omitempty"`
	Note  string   `yaml:"note,omitempty"`
	Roles []string `yaml:"roles,omitempty,flow"`
}

// fileLifetimes are in seconds.
type fileLifetimes struct {
	At              line `yaml:"-"`
	Code            *int `yaml:"code,omitempty"`
	AccessToken     *int `yaml:"access_token,omitempty"`
	IDToken         *int `yaml:"id_token,omitempty"`
	RefreshIdle     *int `yaml:"refresh_idle,omitempty"`
	RefreshAbsolute *int `yaml:"refresh_absolute,omitempty"`
	SessionIdle     *int `yaml:"session_idle,omitempty"`
	SessionAbsolute *int `yaml:"session_absolute,omitempty"`
	VisitorToken    *int `yaml:"visitor_token,omitempty"`
}

// line is where something stands in the file, from 1.
type line struct{ n int }

// secret is a value of the file that is never printed nor written out again.
type secret struct{ text *string }

func (secret) String() string               { return "[redacted]" }
func (secret) GoString() string             { return "[redacted]" }
func (secret) MarshalText() ([]byte, error) { return []byte("[redacted]"), nil }
func (secret) MarshalYAML() (any, error)    { return nil, nil }
func (s secret) IsZero() bool               { return true } // so that omitempty leaves it out
func (s secret) given() bool                { return s.text != nil }
func (s *secret) set(text string)           { s.text = &text }
func (s secret) reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// jsonValue is a JSON document written as YAML, such as a JWKS.
type jsonValue struct{ raw json.RawMessage }

// MarshalYAML writes it as YAML again.
func (v jsonValue) MarshalYAML() (any, error) {
	var out any
	err := json.Unmarshal(v.raw, &out)
	return out, err
}

func deref[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
