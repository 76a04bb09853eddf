package visitor

import (
	"net/http"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
)

var varyOrigin = []string{"Origin"}

// allowOrigin lets scripts of the site's own pages read the answer. Cookies are
// never involved, so credentials are not allowed.
func allowOrigin(w http.ResponseWriter, r *http.Request, s *site.Site) (origin string, ok bool) {
	h := w.Header()
	h["Vary"] = varyOrigin
	sent := r.Header["Origin"]
	if len(sent) != 1 || !slices.Contains(s.Settings.Visitors.Origins, sent[0]) {
		return "", false
	}
	h["Access-Control-Allow-Origin"] = sent
	h.Set("Access-Control-Expose-Headers", "Retry-After, X-Request-Id")
	return sent[0], true
}

// preflight answers a browser that asks before it sends.
func (x *Visitors) preflight(w http.ResponseWriter, r *http.Request) {
	if _, ok := allowOrigin(w, r, site.From(r.Context())); ok {
		h := w.Header()
		h.Set("Access-Control-Allow-Methods", "POST")
		h.Set("Access-Control-Allow-Headers", "Content-Type")
		h.Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
}
