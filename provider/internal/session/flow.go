package session

import (
	"bytes"
	"cmp"
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

const (
	// FlowLifetime is how long a sign-in may take.
	FlowLifetime = 30 * time.Minute
	// maxFlows is how many sign-ins one browser may have under way; the oldest gives
	// way to a new one.
	maxFlows = 5
	// maxFlowCookie keeps name, value and attributes below the 4096 bytes that
	// browsers keep.
	maxFlowCookie = 3900

	flowPrefix = "flow-"
)

// BeginSignIn seals a sign-in into a cookie of its own and returns its id. ID,
// times and address that are left out are filled in.
func (x *Sessions) BeginSignIn(w http.ResponseWriter, r *http.Request, s *site.Site, rec store.SignIn) (id string, err error) {
	now := x.Now().UTC()
	rec.ID = randomText(16)
	if rec.Started.IsZero() {
		rec.Started = now
	}
	rec.Expires = now.Add(FlowLifetime)
	rec.IP = cmp.Or(rec.IP, address(web.ClientIP(r.Context())))
	if err := x.makeRoom(w, r, s); err != nil {
		return "", err
	}
	return rec.ID, x.UpdateSignIn(w, r, s, rec)
}

// makeRoom clears the browser's oldest flows, and what is no flow, until one more
// fits.
func (x *Sessions) makeRoom(w http.ResponseWriter, r *http.Request, s *site.Site) error {
	names := web.CookieNames(r, flowPrefix)
	if len(names) < maxFlows {
		return nil
	}
	type flow struct {
		name    string
		started time.Time
	}
	flows := make([]flow, 0, len(names))
	for _, name := range names[:min(len(names), 4*maxFlows)] {
		rec, err := x.SignIn(r, s, strings.TrimPrefix(name, flowPrefix))
		if err != nil && err != ErrNoFlow { //nolint:errorlint // ours, unwrapped
			return err
		}
		flows = append(flows, flow{name, rec.Started})
	}
	arrange.By(flows, func(a, b flow) int { return a.started.Compare(b.started) })
	for _, f := range flows[:len(flows)-maxFlows+1] {
		web.ClearCookie(w, r, f.name)
	}
	return nil
}

// SignIn returns the sign-in with that id that this browser has under way, or
// ErrNoFlow.
func (x *Sessions) SignIn(r *http.Request, s *site.Site, id string) (store.SignIn, error) {
	var rec store.SignIn
	if len(id) != base64.RawURLEncoding.EncodedLen(16) {
		return rec, ErrNoFlow
	}
	value, ok := web.Cookie(r, flowPrefix+id)
	if !ok {
		return rec, ErrNoFlow
	}
	box, err := x.Keys.Box(r.Context(), s.Path, keys.SecretFlow)
	if err != nil {
		return rec, err
	}
	plain, ok := box.Open(value, flowData(s, id))
	if !ok {
		return rec, ErrNoFlow
	}
	if err := json.Unmarshal(plain, &rec); err != nil {
		return store.SignIn{}, fmt.Errorf("decode a sign-in: %w", err)
	}
	if rec.ID != id || !x.Now().Before(rec.Expires) {
		return store.SignIn{}, ErrNoFlow
	}
	return rec, nil
}

// UpdateSignIn seals the sign-in again, after a step. ErrFlowTooLarge says that
// its query does not fit into a cookie.
func (x *Sessions) UpdateSignIn(w http.ResponseWriter, r *http.Request, s *site.Site, rec store.SignIn) error {
	box, err := x.Keys.Box(r.Context(), s.Path, keys.SecretFlow)
	if err != nil {
		return err
	}
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false) // a query's & would take six bytes
	if err := enc.Encode(rec); err != nil {
		return fmt.Errorf("encode a sign-in: %w", err)
	}
	value := box.Seal(plain.Bytes(), flowData(s, rec.ID))
	if len(value) > maxFlowCookie {
		return fmt.Errorf("%w: %d bytes", ErrFlowTooLarge, len(rec.Query))
	}
	web.SetCookie(w, r, flowPrefix+rec.ID, value, max(time.Second, rec.Expires.Sub(x.Now())))
	return nil
}

// EndSignIn removes the sign-in's cookie.
func (x *Sessions) EndSignIn(w http.ResponseWriter, r *http.Request, id string) {
	if len(id) == base64.RawURLEncoding.EncodedLen(16) {
		web.ClearCookie(w, r, flowPrefix+id)
	}
}

// flowData binds a sealed sign-in to its site and its cookie.
func flowData(s *site.Site, id string) []byte {
	return fmt.Appendf(nil, "sign-in %d:%s %s", len(s.Path), s.Path, id)
}
