package federation

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// What a flow ends in.
const (
	modeAgent    = "agent"    // a half-done sign-in
	modeRehearse = "rehearse" // an administrator's own link
	modeVisitor  = "visitor"  // a proof for the widget
)

const (
	// flowLife is how long a provider may take with somebody.
	flowLife = 30 * time.Minute
	// maxFlows is how many one browser has under way; the oldest gives way.
	maxFlows      = 5
	maxFlowCookie = 3900
	flowPrefix    = "federation-"
	stateBytes    = 16
)

// flow is a way to a provider and back, sealed in a cookie of the browser that
// went: what the answer must fit, and what it is for.
type flow struct {
	State      string    `json:"state"` // names the cookie, and comes back with the answer
	Connection string    `json:"connection"`
	Since      int64     `json:"since"` // the connection's
	Mode       string    `json:"mode"`
	Started    time.Time `json:"started"`
	Expires    time.Time `json:"expires"`

	SignIn string `json:"sign_in,omitempty"` // of modeAgent
	Fresh  bool   `json:"fresh,omitempty"`   // the provider was to ask anew

	Agent   string `json:"agent,omitempty"`   // of modeRehearse: whose, and
	Session string `json:"session,omitempty"` // in which session

	Visitor *visitorFlow `json:"visitor,omitempty"`
	Target  string       `json:"target,omitempty"` // of modeLogout

	Request  string `json:"request,omitempty"`  // SAML: the ID of our request
	Nonce    string `json:"nonce,omitempty"`    // OpenID Connect
	Verifier string `json:"verifier,omitempty"` // OpenID Connect: of PKCE
}

// begunAt reports whether the flow leads to that connection, and not to another that
// had its name.
func (f *flow) begunAt(c *store.Connection) bool { return f.Connection == c.ID && f.Since == c.Since() }

func newState() string {
	b := make([]byte, stateBytes)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// keep seals the flow into its cookie.
func (x *Federation) keep(w http.ResponseWriter, r *http.Request, s *site.Site, f *flow) error {
	box, err := x.Keys.Box(r.Context(), s.Path, keys.SecretFlow)
	if err != nil {
		return err
	}
	if err := x.makeRoom(w, r, s); err != nil {
		return err
	}
	plain, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode a flow: %w", err)
	}
	value := box.Seal(plain, flowData(s, f.State))
	if len(value) > maxFlowCookie {
		return web.ErrTooLarge
	}
	x.setFlowCookie(w, r, f, value)
	return nil
}

func (x *Federation) setFlowCookie(w http.ResponseWriter, r *http.Request, f *flow, value string) {
	life := f.Expires.Sub(x.Now())
	if f.Visitor != nil && f.Visitor.Mode == displayFrame {
		web.SetFrameCookie(w, r, flowPrefix+f.State, value, life)
		return
	}
	web.SetCookie(w, r, flowPrefix+f.State, value, life)
}

// flow returns the flow with that state that this browser has under way; nil if it
// has none.
func (x *Federation) flow(r *http.Request, s *site.Site, state string) (*flow, error) {
	if len(state) != base64.RawURLEncoding.EncodedLen(stateBytes) {
		return nil, nil
	}
	value, ok := web.Cookie(r, flowPrefix+state)
	if !ok {
		return nil, nil
	}
	box, err := x.Keys.Box(r.Context(), s.Path, keys.SecretFlow)
	if err != nil {
		return nil, err
	}
	plain, ok := box.Open(value, flowData(s, state))
	if !ok {
		return nil, nil
	}
	var f flow
	if err := json.Unmarshal(plain, &f); err != nil {
		return nil, fmt.Errorf("decode a flow: %w", err)
	}
	if f.State != state || !x.Now().Before(f.Expires) {
		return nil, nil
	}
	return &f, nil
}

// flows are all that this browser has under way, the oldest first.
func (x *Federation) flows(r *http.Request, s *site.Site) (all []*flow, err error) {
	names := web.CookieNames(r, flowPrefix)
	for _, name := range names[:min(len(names), 4*maxFlows)] {
		f, err := x.flow(r, s, strings.TrimPrefix(name, flowPrefix))
		if err != nil {
			return nil, err
		}
		if f != nil {
			all = append(all, f)
		}
	}
	arrange.By(all, func(a, b *flow) int { return a.Started.Compare(b.Started) })
	return all, nil
}

// makeRoom clears the browser's oldest flows, and what is none, until one more
// fits.
func (x *Federation) makeRoom(w http.ResponseWriter, r *http.Request, s *site.Site) error {
	names := web.CookieNames(r, flowPrefix)
	if len(names) < maxFlows {
		return nil
	}
	live, err := x.flows(r, s)
	if err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, f := range live[max(0, len(live)-maxFlows+1):] {
		keep[flowPrefix+f.State] = true
	}
	for _, name := range names[:min(len(names), 4*maxFlows)] {
		if !keep[name] { // which of the two it is, its name does not say
			web.ClearCookie(w, r, name)
			web.ClearFrameCookie(w, r, name)
		}
	}
	return nil
}

// flowData binds a sealed flow to its site and its cookie.
func flowData(s *site.Site, state string) []byte {
	return fmt.Appendf(nil, "federation %d:%s %s", len(s.Path), s.Path, state)
}
