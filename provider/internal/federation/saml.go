package federation

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/profile"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

type samlSource struct{ *Federation }

// Start makes an AuthnRequest.
func (x samlSource) Start(ctx context.Context, at *attempt, hint asked) (to away, err error) {
	idp, err := x.idp(ctx, at)
	if err != nil {
		return to, err
	}
	sp, pair, err := x.sp(ctx, at)
	if err != nil {
		return to, err
	}
	binding := saml.Redirect
	if idp.SSO[binding] == "" || at.conn.SAML.SSOBinding == "post" && idp.SSO[saml.Post] != "" {
		binding = saml.Post
	}
	request, err := saml.NewAuthnRequest(sp, idp.SSO[binding], saml.RequestOptions{
		ForceAuthn: at.conn.SAML.ForceAuthn || hint.fresh || hint.another, NameIDFormat: at.conn.SAML.NameIDFormat, AuthnContexts: at.conn.SAML.AuthnContexts,
	}, x.Now())
	if err != nil {
		return to, err
	}
	at.flow.Request = request.ID
	var signer *saml.Signer
	if sp.SignsRequests || idp.WantsSigned {
		signer = pair.signer()
	}
	return carry(request, binding, at.flow.State, signer)
}

// carry puts a message of ours on its way.
func carry(m saml.Message, binding saml.Binding, relayState string, signer *saml.Signer) (to away, err error) {
	if binding == saml.Redirect {
		to.url, err = m.Redirect(relayState, signer)
		return to, err
	}
	form, err := m.Post(relayState, signer)
	return away{action: form.Action, fields: form.Fields}, err
}

// acs is POST /acs: a Response. It proves itself here, and counts when the browser
// that asked comes back for it.
func (x *Federation) acs(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "answer", store.ConnectionSAML)
	if err != nil {
		return err
	}
	form, err := web.ReadFormOf(r, maxAnswer)
	if err != nil {
		return err
	}
	field := form.Get("SAMLResponse")
	return x.fail(w, r, at, x.response(w, r, at, field), form.Get("RelayState"), answered(field))
}

// answered is the ID of the request that a Response says it answers, unverified.
func answered(field string) string {
	message, err := saml.Decode(field)
	if err != nil {
		return ""
	}
	claimed, err := saml.Look(message)
	if err != nil {
		return ""
	}
	return claimed.InResponseTo
}

// maxAnswer is the most bytes of the form that a Response comes in: its base64,
// and what stands beside it.
const maxAnswer = saml.MaxMessage*4/3 + 64<<10

func (x *Federation) response(w http.ResponseWriter, r *http.Request, at *attempt, field string) error {
	message, err := saml.Decode(field)
	if err != nil {
		return at.refused(nil, err)
	}
	assertion, err := x.verify(r.Context(), at, message)
	if err != nil {
		return err
	}
	id, err := at.assertionIdentity(&assertion)
	if err != nil {
		return err
	}
	if err := x.sinceRestore(r.Context(), at, assertion.IssueInstant); err != nil {
		return err
	}
	return x.receive(w, r, at, id, "assertion "+assertion.ID, assertion.Until)
}

// verify judges a Response. Which of our requests it answers is what it says
// itself, under its signature; that the browser has that flow is judged later.
func (x *Federation) verify(ctx context.Context, at *attempt, message []byte) (saml.Assertion, error) {
	idp, err := x.idp(ctx, at)
	if err != nil {
		return saml.Assertion{}, err
	}
	sp, _, err := x.sp(ctx, at)
	if err != nil {
		return saml.Assertion{}, err
	}
	expect := saml.Expect{IdP: idp, Audience: sp.EntityID, ACS: sp.ACS, Unsolicited: true, Encrypted: at.conn.SAML.RequireEncryption, Now: x.Now(), Skew: at.skew()}
	if claimed, err := saml.Look(message); err == nil {
		expect.InResponseTo = claimed.InResponseTo
	}
	if expect.DecryptionKeys, err = x.decryptionKeys(ctx, at); err != nil {
		return saml.Assertion{}, err
	}
	assertion, checks, err := saml.Verify(message, expect)
	if !anothersKey(err) {
		return assertion, at.refused(checks, err)
	}
	fresh, rereadErr := x.rolledOver(ctx, at)
	if rereadErr != nil {
		return saml.Assertion{}, rereadErr
	}
	if fresh {
		if expect.IdP, err = x.idp(ctx, at); err != nil {
			return saml.Assertion{}, err
		}
		at.check("metadata", true, "metadata with the key that signed", "read anew")
		assertion, checks, err = saml.Verify(message, expect)
	}
	return assertion, at.refused(checks, err)
}

// anothersKey reports whether a key signed that is none of the provider's as we know it.
func anothersKey(err error) bool {
	var no *saml.Refused
	return errors.As(err, &no) && (no.Name == saml.CheckSignature || no.Name == saml.CheckCertificate)
}

// rolledOver reads a provider's metadata anew, as it may have changed its key since, and
// reports whether it is another. Strangers bring it about: once a minute at most.
func (x *Federation) rolledOver(ctx context.Context, at *attempt) (bool, error) {
	if at.conn.SAML.MetadataURL == "" {
		return false, nil
	}
	before, err := x.fetched(ctx, at)
	if err != nil {
		return false, err
	}
	now, err := x.fetchIf(ctx, at, func(rec store.Fetched) bool { return !x.Now().Before(rec.Tried.Add(fetchAgain)) })
	return err == nil && !now.At.Equal(before.At), err
}

// refused takes the checks of a SAML message over, and turns its refusal into a
// fault.
func (at *attempt) refused(checks []saml.Check, err error) error {
	for _, c := range checks {
		at.check(c.Name, c.OK, c.Expected, c.Got)
	}
	var no *saml.Refused
	if !errors.As(err, &no) {
		return err
	}
	if len(checks) == 0 {
		at.check(no.Name, no.OK, no.Expected, no.Got)
	}
	switch {
	case len(no.Status) > 0:
		return refuse(codeProviderNo, "status %s", strings.Join(no.Status, ", "))
	case no.Name == saml.CheckClock:
		return refuse(codeTokenExpired, "%v", err)
	case no.Name == saml.CheckAttribute, no.Name == saml.CheckNameID:
		return refuse(codeMissing, "%v", err)
	}
	return refuse(codeTokenInvalid, "%v", err)
}

// transient is the format of NameIDs that are others every time.
const transient = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"

// assertionIdentity is who the assertion is about.
func (at *attempt) assertionIdentity(a *saml.Assertion) (*identity, error) {
	at.said = map[string][]string{"NameID": {a.NameID.Value}, "NameID Format": {a.NameID.Format}, "AuthnContextClassRef": {a.AuthnContext}}
	said := profile.Values{}
	for name, values := range a.Attributes {
		at.said[name] = values
		said[name] = anyOf(values)
	}
	for friendly, name := range a.Friendly {
		if _, taken := said[friendly]; !taken {
			said[friendly] = anyOf(a.Attributes[name])
		}
	}
	at.said["NameID"], said["NameID"] = []string{a.NameID.Value}, []any{a.NameID.Value} // whatever an attribute calls itself
	id := &identity{Made: a.IssueInstant, Asked: a.AuthnInstant, Request: a.InResponseTo, SecondFactor: strongContext(a.AuthnContext), Upstream: upstreamOf(a)}
	var err error
	if id.Profile, err = at.profile(profile.SAML, said); err != nil {
		return nil, err
	}
	if id.Profile.Email == "" && strings.HasSuffix(a.NameID.Format, ":nameid-format:emailAddress") {
		id.Profile.Email = a.NameID.Value
	}
	if id.Subject, err = at.samlSubject(a); err != nil {
		return nil, err
	}
	at.subject = id.Subject
	return id, nil
}

func anyOf(values []string) (all []any) {
	for _, v := range values {
		all = append(all, v)
	}
	return all
}

// samlSubject is what names the person for good: the whole NameID, or the
// attribute that the connection says.
func (at *attempt) samlSubject(a *saml.Assertion) (string, error) {
	if name := at.conn.SAML.Subject; name != "" {
		values := a.Values(name)
		ok := len(values) == 1 && values[0] != "" && len(values[0]) <= maxSubject-16
		at.check("subject", ok, "one value of "+name, fmt.Sprint(len(values), " values"))
		if !ok {
			return "", refuse(codeMissing, "the attribute %s, which names the subject, has not one value", name)
		}
		return "attribute:" + values[0], nil
	}
	if a.NameID.Format == transient {
		at.check("subject", false, "a NameID that stays the same", "transient")
		return "", refuse(codeMissing, "the NameID is transient, another one every time: ask for a persistent one, or set `subject` to an attribute that stays")
	}
	text := nameIDText(a.NameID)
	if len(text) > maxSubject {
		return "", refuse(codeTokenInvalid, "the NameID is longer than %d bytes", maxSubject)
	}
	return text, nil
}

// nameIDText is all of a NameID as one text, and nameIDOf reads it.
func nameIDText(n saml.NameID) string {
	parts := []string{n.Value, n.Format, n.NameQualifier, n.SPNameQualifier}
	for len(parts) > 1 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	text, _ := json.Marshal(parts) // strings: it cannot fail
	return string(text)
}

func nameIDOf(text string) (n saml.NameID, ok bool) {
	var parts []string
	if json.Unmarshal([]byte(text), &parts) != nil || len(parts) == 0 || len(parts) > 4 {
		return n, false
	}
	parts = append(parts, "", "", "")
	return saml.NameID{Value: parts[0], Format: parts[1], NameQualifier: parts[2], SPNameQualifier: parts[3]}, true
}

// upstreamOf is the session there: the NameID, by which a logout names it, and its
// index.
func upstreamOf(a *saml.Assertion) string {
	return base64.RawURLEncoding.EncodeToString([]byte(nameIDText(a.NameID))) + "." + a.SessionIndex
}

// strongContext reports whether an authentication context means a second factor:
// those of SAML itself, of REFEDS and of Entra ID.
func strongContext(class string) bool {
	switch class {
	case "https://refeds.org/profile/mfa", "http://schemas.microsoft.com/claims/multipleauthn",
		"urn:oasis:names:tc:SAML:2.0:ac:classes:TimeSyncToken", "urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorContract",
		"urn:oasis:names:tc:SAML:2.0:ac:classes:MobileTwoFactorUnregistered", "urn:oasis:names:tc:SAML:2.0:ac:classes:SmartcardPKI":
		return true
	}
	return false
}

// profile maps what the provider said.
func (at *attempt) profile(kind profile.Kind, said profile.Values) (profile.Profile, error) {
	fields := make([]profile.Field, len(at.conn.Attributes))
	for i, a := range at.conn.Attributes {
		fields[i] = profile.Field(a)
	}
	p, checks, err := profile.Map(kind, fields, mapped(at.conn.RoleMap), mapped(at.conn.DepartmentMap), said)
	for _, c := range checks {
		at.checks = append(at.checks, store.Check(c))
	}
	if err != nil {
		return p, refuse(codeMissing, "%v", err)
	}
	return p, nil
}

func mapped(list []store.Mapped) []profile.Mapped {
	out := make([]profile.Mapped, len(list))
	for i, m := range list {
		out[i] = profile.Mapped(m)
	}
	return out
}

// sinceRestore refuses what was made before a backup came back: what it was used
// for may have been lost.
func (x *Federation) sinceRestore(ctx context.Context, at *attempt, made time.Time) error {
	var restored store.Restoration
	err := x.Store.View(ctx, at.site.Path, func(tx store.Tx) (err error) {
		restored, err = store.Restorations.Get(tx, store.RestorationKey)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err == nil && !restored.At.IsZero() && made.Before(restored.At.Add(at.skew())) { // by a clock that may run ahead
		return refuse(codeTokenExpired, "it was made before a backup was restored")
	}
	return err
}
