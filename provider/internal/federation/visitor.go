package federation

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// A visitor's way is begun by a widget on a page of the customer's, in a pop-up, a
// frame or the whole tab. It ends in a code for that page alone: only who holds the
// verifier of the challenge can use it (RFC 7636), once, within a minute.

// How the visitor's way is displayed.
const (
	displayPopup    = templates.ModePopup
	displayFrame    = templates.ModeFrame
	displayRedirect = templates.ModeRedirect
)

const (
	maxWidgetState = 200
	maxReturnTo    = 1000
)

// visitorFlow is what the widget asked.
type visitorFlow struct {
	Mode      string `json:"mode"`
	Origin    string `json:"origin"`
	Challenge string `json:"challenge"`
	State     string `json:"state"`
	ReturnTo  string `json:"return_to,omitempty"` // of displayRedirect
}

// startVisitor is GET /start for a widget.
func (x *Federation) startVisitor(w http.ResponseWriter, r *http.Request, at *attempt, query url.Values) error {
	asks := visitorFlow{
		Mode: query.Get("visitor"), Origin: query.Get("origin"), Challenge: query.Get("code_challenge"), State: query.Get("state"), ReturnTo: query.Get("return_to"),
	}
	err := at.mayAsk(asks, query.Get("code_challenge_method"))
	if err == nil {
		err = at.comesFrom(asks, r.Referer(), at.site.URL(choosePath))
	}
	if err != nil {
		return x.end(w, r, at, err)
	}
	at.flow = x.newFlow(at, modeVisitor)
	at.flow.Visitor = &asks
	return x.end(w, r, at, x.send(w, r, at, asked{}))
}

// mayAsk refuses whoever is not a widget of this site's. Until it has passed,
// nobody is told anything but in words.
func (at *attempt) mayAsk(asks visitorFlow, method string) error {
	rules := at.site.Settings.Visitors
	switch {
	case at.conn.For != store.ForVisitors:
		return refuse(codeNotForVisitors, "the connection is for agents")
	case rules.SignIn == "" || rules.SignIn == store.SignInOff:
		return refuse(codeNotForVisitors, "the site's visitors do not sign in: `visitors.sign_in` is off")
	case !slices.Contains(rules.Origins, asks.Origin):
		at.check("origin", false, strings.Join(rules.Origins, " "), asks.Origin)
		return refuse(codeOrigin, "the origin is not one of the site's `visitors.origins`")
	case asks.Mode != displayPopup && asks.Mode != displayFrame && asks.Mode != displayRedirect:
		return web.Public(web.ErrBadRequest, "visitor must be popup, frame or redirect")
	case method != "S256" || !isChallenge(asks.Challenge):
		return web.Public(web.ErrBadRequest, "code_challenge_method must be S256, and code_challenge the base64url SHA-256 of the verifier (RFC 7636)")
	case asks.State == "" || len(asks.State) > maxWidgetState:
		return web.Public(web.ErrBadRequest, "state must have 1 to 200 characters")
	case asks.Mode == displayRedirect && !at.mayReturn(asks):
		return web.Public(web.ErrBadRequest, "return_to must be an address of the origin, without a fragment")
	case asks.Mode != displayRedirect && asks.ReturnTo != "":
		return web.Public(web.ErrBadRequest, "return_to is for visitor=redirect")
	}
	return nil
}

// comesFrom holds a redirect to the page that it says it is from. What comes back goes
// to an address of the origin, which may pass it on to anybody who could name that
// address: a page elsewhere must not be able to begin it. The pop-up and the frame hand
// over to their own page alone. choose is our page with all logins, which has held it
// to the same; empty: it is that page that asks.
func (at *attempt) comesFrom(asks visitorFlow, referer, choose string) error {
	page, _, _ := strings.Cut(referer, "?")
	if asks.Mode != displayRedirect || web.Origin(referer) == asks.Origin || choose != "" && page == choose {
		return nil
	}
	at.check("referer", false, asks.Origin, web.Origin(referer))
	return refuse(codeOrigin, "visitor=redirect begins at a page of the origin, whose browser says so in Referer")
}

func isChallenge(s string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(raw) == 32 && len(s) == base64.RawURLEncoding.EncodedLen(32) // a line break within is passed over
}

// mayReturn holds the address to the origin that was checked, as the browser will
// read it.
func (at *attempt) mayReturn(asks visitorFlow) bool {
	u, err := url.Parse(asks.ReturnTo)
	return err == nil && len(asks.ReturnTo) <= maxReturnTo && u.User == nil && u.Opaque == "" && !strings.Contains(asks.ReturnTo, "#") &&
		!strings.ContainsAny(asks.ReturnTo, "\\\r\n\t ") && strings.HasPrefix(asks.ReturnTo, asks.Origin+"/") && u.Scheme+"://"+u.Host == asks.Origin
}

// finishVisitor hands the visitor over to the widget, and so to visitor.
func (x *Federation) finishVisitor(w http.ResponseWriter, r *http.Request, at *attempt, id *identity, handle string) error {
	f := at.flow
	if !slices.Contains(at.site.Settings.Visitors.Origins, f.Visitor.Origin) { // taken off the list meanwhile
		return refuse(codeOrigin, "the origin is no longer one of the site's `visitors.origins`")
	}
	fields, err := at.visitorFields(id)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(store.VisitorProven{Since: at.conn.Since(), Subject: id.Subject, Upstream: id.Upstream, Fields: fields})
	if err != nil {
		return err
	}
	raw := make([]byte, 32)
	rand.Read(raw)
	code := base64.RawURLEncoding.EncodeToString(raw)
	now := x.Now().UTC()
	proof := store.VisitorProof{
		Hash: handleHash(code), Connection: at.conn.ID, Challenge: f.Visitor.Challenge, Origin: f.Visitor.Origin,
		AuthTime: now, Expires: now.Add(store.VisitorProofLife),
	}
	switch {
	case at.askedUnknown(id):
		proof.AuthTime = time.Time{}
	case !id.Asked.IsZero() && id.Asked.Before(now):
		proof.AuthTime = id.Asked.UTC()
	}
	if proof.Sealed, err = x.Sealer.Seal(at.site.Path, store.VisitorProofs.Kind, proof.Hash, plain); err != nil {
		return err
	}
	err = x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) error {
		if err := x.take(tx, at, handle); err != nil {
			return err
		}
		if err := store.VisitorProofs.Put(tx, &proof); err != nil {
			return err
		}
		mark, err := x.VisitorMark(tx, at.conn, id.Subject) // of most nothing else is ever kept
		if err != nil {
			return err
		}
		return x.Audit.Record(r.Context(), tx, audit.Event{
			Action: audit.FederationVisitor, Object: connectionRef(at.conn), Result: audit.Success, Changes: []audit.Change{{Field: "subject", New: mark}},
		})
	})
	if err != nil {
		return err
	}
	x.trace(r, at, nil)
	x.clearFlow(w, r, f)
	if f.Visitor.Mode == displayRedirect {
		return web.SeeOther(w, r, f.Visitor.ReturnTo+"#"+url.Values{"chatelaine_code": {code}, "chatelaine_state": {f.Visitor.State}}.Encode())
	}
	page := templates.VisitorDonePage{Frame: x.Web.Frame(r), Mode: f.Visitor.Mode, Origin: f.Visitor.Origin, Code: code, State: f.Visitor.State}
	return x.Web.Render(w, r, http.StatusOK, page)
}

func (x *Federation) clearFlow(w http.ResponseWriter, r *http.Request, f *flow) {
	if f.Visitor != nil && f.Visitor.Mode == displayFrame {
		web.ClearFrameCookie(w, r, flowPrefix+f.State)
		return
	}
	web.ClearCookie(w, r, flowPrefix+f.State)
}

// visitorFields are what the connection vouches for. An address is one only if the
// provider does not say that it is unverified.
func (at *attempt) visitorFields(id *identity) (store.VisitorFields, error) {
	p := id.Profile
	fields := store.VisitorFields{ExternalID: p.ExternalID, Name: p.Name, Phone: p.Phone, Picture: p.Picture, Locale: p.Locale}
	if sub, ok := strings.CutPrefix(id.Subject, "sub:"); ok && fields.ExternalID == "" && at.conn.JWT != nil { // as for a JWT that the widget brings
		fields.ExternalID = sub
	}
	if fields.Name == "" {
		fields.Name = strings.TrimSpace(p.GivenName + " " + p.FamilyName)
	}
	if p.Email != "" {
		email, err := web.CanonicalEmail(p.Email)
		if err != nil {
			at.check("email", false, "an address", p.Email)
			return fields, refuse(codeEmailMissing, "what the provider calls an address is none")
		}
		fields.Email = email
		fields.EmailVerified = p.EmailVerified != nil && *p.EmailVerified
	}
	for _, c := range p.Custom {
		fields.Custom = append(fields.Custom, store.CustomField(c))
	}
	return fields, nil
}

// visitorFailed tells the widget that it failed, and the visitor in words.
func (x *Federation) visitorFailed(w http.ResponseWriter, r *http.Request, at *attempt, code, requestID string) error {
	v := at.flow.Visitor
	x.clearFlow(w, r, at.flow)
	if v.Mode == displayRedirect {
		return web.SeeOther(w, r, v.ReturnTo+"#"+url.Values{"chatelaine_error": {code}, "chatelaine_state": {v.State}}.Encode())
	}
	page := templates.VisitorFailedPage{Frame: x.Web.Frame(r), Mode: v.Mode, Origin: v.Origin, State: v.State, Code: code, RequestID: requestID}
	return x.Web.Render(w, r, http.StatusForbidden, page)
}
