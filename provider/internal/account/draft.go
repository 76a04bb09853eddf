package account

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// What was typed into a form is not lost to the sign-in that comes between: it
// waits in a sealed cookie, which this session alone opens.
const (
	draftCookie = "account-draft"
	draftLife   = 30 * time.Minute
	maxDraft    = 3000 // bytes of the cookie; a longer draft is lost

	secretDraft = "account-draft"
)

// keep puts what was typed aside.
func (x *Account) keep(w http.ResponseWriter, r *http.Request, agentID string, typed profile) error {
	aead, err := x.draftAEAD(r.Context())
	if err != nil {
		return err
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	value := base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, []byte(typed.values().Encode()), draftData(r, agentID)))
	if len(value) <= maxDraft {
		web.SetCookie(w, r, draftCookie, value, draftLife)
	}
	return nil
}

// kept is what keep has put aside for that agent; nil: nothing.
func (x *Account) kept(r *http.Request, agentID string) (url.Values, error) {
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
	plain, err := aead.Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], draftData(r, agentID))
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

// draftData binds a draft to its site and its agent.
func draftData(r *http.Request, agentID string) []byte {
	path := site.From(r.Context()).Path
	return fmt.Appendf(nil, "account draft %d:%s %s", len(path), path, agentID)
}
