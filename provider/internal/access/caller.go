package access

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/oauth"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// caller is the client that asks: by Basic, or by an access token that it got
// for itself (client credentials) and for this issuer.
func (a *Access) caller(w http.ResponseWriter, r *http.Request, s *site.Site) (*store.Client, error) {
	client, err := a.authenticate(w, r, s)
	if errors.Is(err, ErrCaller) {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+s.Issuer+`", charset="UTF-8"`)
		w.Header().Add("WWW-Authenticate", `Bearer realm="`+s.Issuer+`"`)
	}
	if err != nil {
		return nil, err
	}
	if !mayAsk(client) {
		return nil, web.Public(ErrNotEntitled, "only confidential clients that are first-party, or registered for a resource, may ask for verdicts")
	}
	return client, nil
}

func (a *Access) authenticate(w http.ResponseWriter, r *http.Request, s *site.Site) (*store.Client, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return nil, web.Public(ErrCaller, "send one Authorization header")
	}
	scheme, raw, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return a.OAuth.AuthenticateConfidential(w, r, url.Values{})
	}
	token, err := a.OAuth.Inspect(r.Context(), s, strings.TrimSpace(raw))
	if errors.Is(err, oauth.ErrInactive) {
		return nil, web.Public(ErrCaller, "the access token is not valid here")
	}
	if err != nil {
		return nil, err
	}
	if token.Claims.SubjectType != policy.Client || !slices.Contains(token.Claims.Audience, s.Issuer) {
		return nil, web.Public(ErrCaller, "the access token must be the client's own and for this issuer")
	}
	return token.Client, nil
}

// mayAsk says which clients may ask for verdicts: those that could keep a
// secret, and that the site runs itself or has registered for a resource.
func mayAsk(c *store.Client) bool {
	return !c.Public() && (c.FirstParty || c.DefaultResource != "" || len(c.Resources) > 0)
}

func isNoClient(err error) bool { return errors.Is(err, site.ErrNoClient) }
