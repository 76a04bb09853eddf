package signin

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// A browser in which an agent has signed in before is known. Where strangers
// have locked the account it keeps some tries of its own, so that nobody can
// lock an agent out by guessing. It proves nothing else: it is no factor, and is
// told apart from a remembered device by a cookie of its own.

const (
	knownCookie = "known"
	knownFor    = 180 * 24 * time.Hour
)

// known is what the sealed cookie says.
type known struct {
	Agent  string    `json:"a"`
	Device string    `json:"d"`
	Since  time.Time `json:"t"`
}

// counter is the key of the device's own counter if it is known as agent's; "" if
// not. A password that was changed since makes it a stranger.
func (k known) counter(agent store.Agent, now time.Time) string {
	if agent.ID == "" || k.Agent != agent.ID || k.Device == "" || k.Since.Before(agent.PasswordChanged) ||
		k.Since.Before(agent.NotBefore) || !now.Before(k.Since.Add(knownFor)) {
		return ""
	}
	return "known:" + k.Device
}

// known reads the cookie; whatever is no such cookie is the zero known.
func (x *SignIn) known(r *http.Request, s *site.Site) (k known, err error) {
	value, ok := web.Cookie(r, knownCookie)
	if !ok || len(value) > 1024 {
		return k, nil
	}
	box, err := x.Keys.Box(r.Context(), s.Path, keys.SecretFlow)
	if err != nil {
		return k, err
	}
	plain, ok := box.Open(value, knownData(s))
	if !ok {
		return k, nil
	}
	if err := json.Unmarshal(plain, &k); err != nil {
		return known{}, fmt.Errorf("decode a known device: %w", err)
	}
	return k, nil
}

// makeKnown makes the browser known as the agent's, if it is not.
func (x *SignIn) makeKnown(w http.ResponseWriter, r *http.Request, s *site.Site, agent store.Agent) error {
	now := x.Now()
	if k, err := x.known(r, s); err != nil || k.counter(agent, now.Add(knownFor/2)) != "" {
		return err
	}
	box, err := x.Keys.Box(r.Context(), s.Path, keys.SecretFlow)
	if err != nil {
		return err
	}
	id := make([]byte, 16)
	rand.Read(id)
	plain, err := json.Marshal(known{Agent: agent.ID, Device: base64.RawURLEncoding.EncodeToString(id), Since: now.UTC()})
	if err != nil {
		return err
	}
	value := box.Seal(plain, knownData(s))
	web.SetCookie(w, r, knownCookie, value, knownFor)
	return nil
}

// knownData binds the cookie to its site and its purpose.
func knownData(s *site.Site) []byte {
	return fmt.Appendf(nil, "known device %d:%s", len(s.Path), s.Path)
}
