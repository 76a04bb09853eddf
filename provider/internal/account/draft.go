package account

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// What was typed into a form is not lost to the sign-in that comes between: it
// waits in a sealed cookie, for that agent and that page. Passwords and codes
// never do.
const (
	draftCookie = "account-draft"
	draftLife   = 30 * time.Minute
	maxDraft    = 3000 // bytes of the cookie; a longer draft is lost

	secretDraft = "account-draft"
)

// leadKeeping is lead from a form of that page; typed is put aside on the way, if
// it is known who typed it.
func (x *Account) leadKeeping(w http.ResponseWriter, r *http.Request, page, back string, typed url.Values, err error) error {
	var must *mustSignIn
	if errors.As(err, &must) && must.AgentHint != "" {
		if err := x.keep(w, r, must.AgentHint, page, typed); err != nil {
			return err
		}
	}
	return x.lead(w, r, back, err)
}

func (x *Account) keep(w http.ResponseWriter, r *http.Request, agentID, page string, typed url.Values) error {
	aead, err := x.draftAEAD(r.Context())
	if err != nil {
		return err
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	value := base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(typed.Encode()), draftData(r, agentID, page)))
	if len(value) <= maxDraft {
		web.SetCookie(w, r, draftCookie, value, draftLife)
	}
	return nil
}

// kept is what keep has put aside for that agent and page; nil: nothing.
func (x *Account) kept(r *http.Request, agentID, page string) (url.Values, error) {
	value, ok := web.Cookie(r, draftCookie)
	if !ok || len(value) > maxDraft {
		return nil, nil
	}
	aead, err := x.draftAEAD(r.Context())
	if err != nil {
		return nil, err
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, nil //nolint:nilerr // not ours
	}
	plain, err := aead.Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], draftData(r, agentID, page))
	if err != nil {
		return nil, nil //nolint:nilerr // not ours, or not theirs
	}
	return web.ParseParameters(string(plain))
}

func (x *Account) draftAEAD(ctx context.Context) (cipher.AEAD, error) {
	key, err := x.Keys.Secret(ctx, site.From(ctx).Path, secretDraft)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(key)
}

// draftData binds a draft to its site, its page and its agent.
func draftData(r *http.Request, agentID, page string) []byte {
	path := site.From(r.Context()).Path
	return fmt.Appendf(nil, "account draft %d:%s %s %s", len(path), path, page, agentID)
}
