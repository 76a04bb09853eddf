package visitor

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
)

// How a visitor is known. Kinds, not a ladder.
const (
	Anonymous = "anonymous"
	Signed    = "signed"    // by a JWT of the site's own server
	Federated = "federated" // by the customer's own login
)

// TokenType is the typ of their header (RFC 9068, section 2.1).
const TokenType = "at+jwt"

// claims are those of a visitor's access token.
type claims struct {
	Issuer      string   `json:"iss"`
	Subject     string   `json:"sub"`
	Audience    string   `json:"aud"`
	Expires     int64    `json:"exp"`
	IssuedAt    int64    `json:"iat"`
	IssuedMS    int64    `json:"iat_ms"`
	ID          string   `json:"jti"`
	ClientID    string   `json:"client_id"`
	SID         string   `json:"sid"`
	AuthTime    int64    `json:"auth_time,omitempty"` // left out where nobody's presence is shown
	ACR         string   `json:"acr"`
	AMR         []string `json:"amr,omitempty"`
	Assurance   string   `json:"assurance"`
	Site        string   `json:"site"`
	SubjectType string   `json:"subject_type"`
	Given       *given   `json:"given_by_visitor,omitempty"`
	Names       *names   `json:"sub_id,omitempty"`
	*person
}

// names are the sub and what it was before: a Subject Identifier of the format aliases
// (RFC 9493, sections 3.2.8 and 4.1), so that a backend can hand over what belongs to
// the one before.
type names struct {
	Format      string `json:"format"`
	Identifiers []name `json:"identifiers"`
}

type name struct {
	Format  string `json:"format"` // iss_sub (section 3.2.4)
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// namesOf are those of a visitor who was another before; nil for others.
func namesOf(s *site.Site, v *renewal) *names {
	if v.Was == "" {
		return nil
	}
	return &names{"aliases", []name{{"iss_sub", s.Issuer, v.Visitor}, {"iss_sub", s.Issuer, v.Was}}}
}

// given is what a visitor has typed of themselves. Nobody vouches for it, so it has
// no place among the claims that somebody does vouch for.
type given struct {
	Name  string `json:"name,omitempty"`
	Email string `json:"email,omitempty"`
}

// person is what the customer says of a visitor.
type person struct {
	ExternalID    string                     `json:"external_id,omitempty"`
	Name          string                     `json:"name,omitempty"`
	Email         string                     `json:"email,omitempty"`
	EmailVerified *bool                      `json:"email_verified,omitempty"`
	Phone         string                     `json:"phone_number,omitempty"`
	Picture       string                     `json:"picture,omitempty"`
	Locale        string                     `json:"locale,omitempty"`
	Custom        map[string]json.RawMessage `json:"custom,omitempty"`
}

// answer is the token response (RFC 6749, section 5.1).
type answer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"` // seconds
	VisitorID   string `json:"visitor_id"`
	Assurance   string `json:"assurance"`
	Renew       string `json:"renew,omitempty"`
}

// sign makes the token of a visitor.
func (x *Visitors) sign(ctx context.Context, q *starting, v *renewal, p *person) (*answer, error) {
	s, now, life := q.site, q.now, records.Life(q.site.Settings)
	id, err := x.Records.TokenID(ctx, s.Path, q.ip, now)
	if err != nil {
		return nil, err
	}
	c := claims{
		Issuer: s.Issuer, Subject: v.Visitor, Audience: audience(s, v.Resource), IssuedAt: now.Unix(), IssuedMS: now.UnixMilli(), Expires: now.Add(life).Unix(),
		ID: id, ClientID: records.ClientID, SID: v.SID, AuthTime: v.AuthTime, ACR: v.Assurance, AMR: v.AMR, Assurance: v.Assurance, Site: s.Path, SubjectType: policy.Visitor,
		Given: v.Given, Names: namesOf(s, v), person: p,
	}
	payload, err := json.Marshal(&c)
	if err != nil {
		return nil, err
	}
	alg := s.Resources[c.Audience].SigningAlg
	if alg == "" {
		alg = keys.ES256
	}
	token, err := x.Keys.Sign(ctx, s, alg, TokenType, payload)
	if errors.Is(err, keys.ErrNotYetActive) && alg != keys.ES256 {
		token, err = x.Keys.Sign(ctx, s, keys.ES256, TokenType, payload)
	}
	return &answer{AccessToken: token, TokenType: "Bearer", ExpiresIn: int(life / time.Second), VisitorID: v.Visitor, Assurance: v.Assurance}, err
}

// personOf is what a record says of a visitor.
func personOf(p *records.Person) *person {
	out := &person{ExternalID: p.ExternalID, Name: p.Name, Email: p.Email, Phone: p.Phone, Picture: p.Picture, Locale: p.Locale}
	if p.Email != "" {
		out.EmailVerified = &p.EmailVerified
	}
	for _, c := range p.Custom {
		if out.Custom == nil {
			out.Custom = map[string]json.RawMessage{}
		}
		out.Custom[c.Name] = json.RawMessage(c.Value)
	}
	return out
}

// audience is the resource asked for, else the site's first, else the issuer.
func audience(s *site.Site, resource string) string {
	if known(s, resource) {
		return resource
	}
	if len(s.Settings.Resources) > 0 {
		return s.Settings.Resources[0].Identifier
	}
	return s.Issuer
}

// random is n random bytes in base64url.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
