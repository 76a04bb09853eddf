package verify

import (
	"encoding/json"
	"fmt"

	"github.com/chatelaine-id/chatelaine/policy"
)

// Visitor is what a visitor's token says of them, besides how they are known (see
// [Token.Assurance]). All but Typed is the customer's word.
type Visitor struct {
	ExternalID    string
	Name          string
	Email         string
	EmailVerified bool
	Phone         string
	Picture       string
	Locale        string
	Custom        map[string]json.RawMessage // the site's own fields
	// Was is the sub that the visitor had until they became known or were merged: what
	// the backend keeps under it is theirs. Empty: they were nobody else.
	Was string
	// Typed is what the visitor has said of themselves. Nobody vouches for it: show
	// it, and never find anybody by it.
	Typed Typed
}

// Typed is a name and an address as somebody has typed them.
type Typed struct {
	Name  string `json:"name"`
	Email string `json:"email"`
}

// Visitor is what the token says of the visitor whose it is; ok is false for tokens of
// others.
func (t *Token) Visitor() (v Visitor, ok bool) {
	if t == nil || t.visitor == nil {
		return v, false
	}
	return *t.visitor, true
}

// visitor reads the claims of a visitor's token; nil for others. One that does not say
// how they are known is refused.
func (r *claims) visitor(t *Token) *Visitor {
	if t.SubjectType != policy.Visitor {
		return nil
	}
	if t.Assurance == "" {
		r.fault(fmt.Errorf("%q is missing", "assurance"))
	}
	v := &Visitor{
		ExternalID: r.text("external_id"), Name: r.text("name"), Email: r.text("email"),
		Phone: r.text("phone_number"), Picture: r.text("picture"), Locale: r.text("locale"),
	}
	for name, into := range map[string]any{"email_verified": &v.EmailVerified, "custom": &v.Custom, "given_by_visitor": &v.Typed} {
		if err := field(r.from, name, into); err != nil {
			r.fault(err)
		}
	}
	v.Was = r.was(t)
	return v
}

// was is the other name in sub_id, whose format is aliases (RFC 9493, section 3.2.8).
func (r *claims) was(t *Token) string {
	var names struct {
		Format      string `json:"format"`
		Identifiers []struct {
			Format  string `json:"format"`
			Issuer  string `json:"iss"`
			Subject string `json:"sub"`
		} `json:"identifiers"`
	}
	if err := field(r.from, "sub_id", &names); err != nil {
		r.fault(err)
	}
	if names.Format != "aliases" {
		return ""
	}
	for _, one := range names.Identifiers {
		if one.Format == "iss_sub" && one.Issuer == t.client.options.Issuer && one.Subject != t.Subject {
			return one.Subject
		}
	}
	return ""
}
