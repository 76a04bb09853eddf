package session

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

const (
	signedOutCookie = "signed-out"
	// signedOutLife is how long the browser may take to the page that goes on.
	signedOutLife = time.Minute
)

// SignedOut is what is left of a session that rested on a connection: enough to
// sign out there too, and where the browser was going.
type SignedOut struct {
	store.Login
	Target string    `json:"target,omitempty"` // validated; empty: nowhere
	At     time.Time `json:"at"`
}

// UpstreamLogout is a provider's word that logins there are over: those with that Name
// and one of the Indexes, the two parts of an Upstream, or all of the Subject's.
type UpstreamLogout struct {
	Connection *store.Connection
	Name       string   // base64url; empty: it is the Subject that counts
	Indexes    []string // none: whatever it is
	Subject    string
}

// Covers reports whether a login with that index is over.
func (l *UpstreamLogout) Covers(index string) bool {
	return len(l.Indexes) == 0 || slices.Contains(l.Indexes, index)
}

// LeaveSignedOut keeps what is left of rec for the page of its connection, and
// returns that page's path; "" if rec rests on none that is in use.
func (x *Sessions) LeaveSignedOut(w http.ResponseWriter, r *http.Request, s *site.Site, rec store.Session, target string) (string, error) {
	if rec.Connection == "" || s.Connection(rec.Connection) == nil {
		return "", nil
	}
	box, err := x.Keys.Box(r.Context(), s.Path, keys.SecretFlow)
	if err != nil {
		return "", err
	}
	left := SignedOut{rec.Login, target, x.Now().UTC()}
	plain, err := json.Marshal(left)
	if err != nil {
		return "", err
	}
	if base64.RawURLEncoding.EncodedLen(len(plain)+64) > maxFlowCookie { // no room for a hint
		left.Hint = ""
		if plain, err = json.Marshal(left); err != nil {
			return "", err
		}
	}
	value := box.Seal(plain, signedOutData(s))
	if len(value) > maxFlowCookie {
		return "", nil
	}
	web.SetCookie(w, r, signedOutCookie, value, signedOutLife)
	return s.Base() + "/federation/" + url.PathEscape(rec.Connection) + "/logout", nil
}

// TakeSignedOut returns what LeaveSignedOut kept, once, or ErrNoFlow.
func (x *Sessions) TakeSignedOut(w http.ResponseWriter, r *http.Request, s *site.Site) (left SignedOut, err error) {
	value, ok := web.Cookie(r, signedOutCookie)
	if !ok {
		return left, ErrNoFlow
	}
	web.ClearCookie(w, r, signedOutCookie)
	box, err := x.Keys.Box(r.Context(), s.Path, keys.SecretFlow)
	if err != nil {
		return left, err
	}
	plain, ok := box.Open(value, signedOutData(s))
	if !ok {
		return left, ErrNoFlow
	}
	if err := json.Unmarshal(plain, &left); err != nil {
		return left, fmt.Errorf("decode a sign-out: %w", err)
	}
	if age := x.Now().Sub(left.At); age > signedOutLife || age < -signedOutLife {
		return SignedOut{}, ErrNoFlow
	}
	return left, nil
}

func signedOutData(s *site.Site) []byte {
	return fmt.Appendf(nil, "signed out %d:%s", len(s.Path), s.Path)
}
