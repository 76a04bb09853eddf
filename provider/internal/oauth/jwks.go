package oauth

import (
	"net/http"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
)

// cacheKeys tells verifiers how long to keep the key set. A new key is
// published for longer than this before it signs.
var cacheKeys = []string{"public, max-age=600"}

// keySet serves the site's public keys (RFC 7517).
func (o *OAuth) keySet(w http.ResponseWriter, r *http.Request) error {
	body, err := o.Keys.JWKS(r.Context(), site.From(r.Context()))
	if err != nil {
		return err
	}
	writePublic(w, cacheKeys, body)
	return nil
}
