package visitor

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/profile"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// evidence is who a visitor has shown to be, and by what.
type evidence struct {
	subject   records.Subject
	fields    *store.VisitorFields // nil: it says no more than who
	mapped    bool                 // the external id among them was found where the connection was told to
	assurance string
	amr       []string // how, where it is weaker than the assurance says
	upstream  string
	authTime  time.Time // zero: nobody's presence is shown
	jti       string    // of what works once
	until     time.Time
}

const maxSubject = 512 // bytes

// unproven refuses something that the visitor shows, with the reason that the
// customer's developers look for.
func unproven(reason, text string) error {
	return &Refusal{Reason: reason, Text: text, Unproven: true}
}

// identity judges a visitor JWT that the customer's own server made.
func (x *Visitors) identity(ctx context.Context, s *site.Site, raw, connection string, now time.Time) (*evidence, error) {
	conn, err := x.connectionOf(s, raw, connection)
	if err != nil {
		return nil, err
	}
	ev, checks, err := x.verified(ctx, s, conn, raw, now)
	var no *Refusal
	if errors.As(err, &no) {
		x.trace(ctx, s, conn, checks, no)
	}
	return ev, err
}

func (x *Visitors) verified(ctx context.Context, s *site.Site, conn *store.Connection, raw string, now time.Time) (*evidence, []jwt.Check, error) {
	set, err := x.Keysets.Keys(ctx, s.Path, conn, jwt.KeyID(raw))
	if err != nil {
		check := jwt.Check{Name: "keys", Expected: "at least one key", Got: err.Error()}
		return nil, []jwt.Check{check}, unproven("provider_unavailable", "the connection's keys cannot be had")
	}
	restored, err := x.restored(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	claims, checks, err := jwt.Verify(raw, jwt.Expect{
		Use: jwt.Visitor, Dialect: conn.JWT.Dialect, Audience: s.URL("/federation/" + url.PathEscape(conn.ID)), Issuer: conn.JWT.Issuer, Keys: set,
		Now: now, Skew: time.Duration(conn.SkewSeconds) * time.Second, NotBefore: restored,
	})
	var no *jwt.Refused
	if errors.As(err, &no) {
		return nil, checks, unproven(no.Code, "the visitor JWT does not hold: "+no.Check.Name)
	}
	if err != nil {
		return nil, checks, err
	}
	ev := &evidence{
		subject: records.SubjectOf(conn, "sub:"+claims.Subject), assurance: Signed,
		authTime: now, jti: claims.ID, until: claims.Until,
	}
	if at := claims.IssuedAt; !at.IsZero() && at.Before(now) {
		ev.authTime = at.UTC()
	}
	if err := ev.takeFields(conn, &claims); err != nil {
		return nil, checks, err
	}
	if len(ev.subject.Subject) > maxSubject {
		return nil, checks, unproven(jwt.CodeInvalid, "the subject is too long")
	}
	return ev, checks, nil
}

// restored is when the site last came back from a backup: what was used before may
// have been forgotten.
func (x *Visitors) restored(ctx context.Context, s *site.Site) (at time.Time, err error) {
	err = x.Store.View(ctx, s.Path, func(tx store.Tx) error {
		r, err := store.Restorations.Get(tx, store.RestorationKey)
		at = r.At
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	return at, err
}

// connectionOf is the connection that the token is for: the one that is named, or
// that its audience names, or the only one there is. Whether the token is its own is
// judged later.
func (x *Visitors) connectionOf(s *site.Site, raw, named string) (*store.Connection, error) {
	if !signsIn(s) {
		return nil, &Refusal{Reason: reasonSignInOff}
	}
	if named == "" {
		named = audienceConnection(s, raw)
	}
	if named != "" {
		if c := s.Connection(named); c != nil && takesTokens(c) {
			return c, nil
		}
		return nil, errNoConnection()
	}
	all := slices.DeleteFunc(s.Connections(), func(c *store.Connection) bool { return c.Disabled || !takesTokens(c) })
	if len(all) != 1 {
		return nil, errNoConnection()
	}
	return all[0], nil
}

func takesTokens(c *store.Connection) bool { return c.For == store.ForVisitors && c.JWT != nil }

func errNoConnection() error {
	return unproven("connection_unknown", "the site has no such connection for visitors")
}

// audienceConnection is the id of the connection in an unverified token's aud.
func audienceConnection(s *site.Site, raw string) string {
	parts := strings.Split(raw, ".")
	if len(parts) != 3 || len(raw) > jwt.MaxToken {
		return ""
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c struct {
		Audience string `json:"aud"`
	}
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return ""
	}
	escaped, ok := strings.CutPrefix(c.Audience, s.URL("/federation/"))
	id, err := url.PathUnescape(escaped)
	if !ok || err != nil {
		return ""
	}
	return id
}

// takeFields takes what the token says of the visitor, by the connection's mapping.
func (ev *evidence) takeFields(conn *store.Connection, claims *jwt.Claims) error {
	mapping := make([]profile.Field, len(conn.Attributes))
	for i, a := range conn.Attributes {
		mapping[i] = profile.Field(a)
	}
	p, _, err := profile.Map(profile.JWT, mapping, nil, nil, profile.ValuesOf(claims.Values))
	if err != nil {
		return unproven(jwt.CodeMissing, "an attribute of the visitor JWT cannot be read")
	}
	f := &store.VisitorFields{ExternalID: p.ExternalID, Name: p.Name, Phone: p.Phone, Picture: p.Picture, Locale: p.Locale}
	ev.mapped = f.ExternalID != "" && mapsExternalID(conn)
	if f.ExternalID == "" {
		f.ExternalID = claims.Subject
	}
	if f.Name == "" {
		f.Name = strings.TrimSpace(p.GivenName + " " + p.FamilyName)
	}
	if p.Email != "" {
		if f.Email, err = web.CanonicalEmail(p.Email); err != nil {
			return unproven(jwt.CodeMissing, "what the visitor JWT calls an address is none")
		}
		f.EmailVerified = p.EmailVerified != nil && *p.EmailVerified
	}
	for _, c := range p.Custom {
		f.Custom = append(f.Custom, store.CustomField(c))
	}
	ev.fields = f
	return nil
}

// known is what the connection says of the visitor.
func (ev *evidence) known() records.Known {
	f := ev.fields
	return records.Known{Subject: ev.subject, ExternalID: f.ExternalID, Mapped: ev.mapped, Email: f.Email, Verified: f.EmailVerified}
}

// spentKey is the one under which federation keeps what works once, too.
func spentKey(ev *evidence) string {
	sum := sha256.Sum256([]byte("jti " + ev.jti))
	return "fed:" + ev.subject.Connection + ":" + hex.EncodeToString(sum[:])
}
