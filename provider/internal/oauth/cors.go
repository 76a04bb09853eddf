package oauth

import (
	"context"
	"net/http"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

var varyOrigin = []string{"Origin"}

// cors lets scripts of the clients' own pages read the answer: pages of an
// origin that one of the site's clients has registered a redirect URI on, or that
// holds the site's chat widget, and no others. Cookies are never involved, so credentials are not allowed.
func (o *OAuth) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.allowOrigin(w, r)
		next.ServeHTTP(w, r)
	})
}

// preflight answers a browser that asks before it sends.
func (o *OAuth) preflight(methods string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.allowOrigin(w, r) {
			h := w.Header()
			h.Set("Access-Control-Allow-Methods", methods)
			h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			h.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

func (o *OAuth) allowOrigin(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h["Vary"] = varyOrigin
	sent := r.Header["Origin"]
	if len(sent) != 1 {
		return false
	}
	origins, err := o.origins(r.Context(), site.From(r.Context()))
	if err != nil || !origins[sent[0]] {
		return false
	}
	h.Set("Access-Control-Allow-Origin", sent[0])
	h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After")
	return true
}

type originsKey struct{}

// origins are those of the redirect URIs of the site's clients, and of the widget.
func (o *OAuth) origins(ctx context.Context, s *site.Site) (map[string]bool, error) {
	v, err := s.Cached(originsKey{}, func() (any, error) {
		set := map[string]bool{}
		err := o.Store.View(ctx, s.Path, func(tx store.Tx) error {
			for c, err := range store.Clients.All(tx, "") {
				if err != nil {
					return err
				}
				addOrigins(set, &c)
			}
			for _, origin := range s.Settings.Visitors.Origins { // a widget may come with a visitor JWT
				set[origin] = true
			}
			return nil
		})
		return set, err
	})
	if err != nil {
		return nil, err
	}
	return v.(map[string]bool), nil
}

func addOrigins(set map[string]bool, c *store.Client) {
	if c.Disabled {
		return
	}
	for _, uri := range c.RedirectURIs {
		if origin := web.Origin(uri); strings.HasPrefix(origin, "https://") || strings.HasPrefix(origin, "http://") {
			set[origin] = true
		}
	}
}
