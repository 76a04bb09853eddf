package federation

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// choosePath is choose's.
const choosePath = "/federation/start"

// choose is GET /federation/start: a widget that names no connection leads its
// visitor to the only one, or to a page with those there are. What it asks is judged
// by /start of the connection.
func (x *Federation) choose(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	if _, err := web.ReadQuery(r); err != nil {
		return err
	}
	all := visitorLogins(s)
	switch len(all) {
	case 0:
		return ErrNoConnection
	case 1:
		return web.SeeOther(w, r, startFor(s, all[0], r.URL.RawQuery))
	}
	page := templates.VisitorChoosePage{Frame: x.Web.Frame(r)}
	query := r.URL.Query()
	asks := visitorFlow{Mode: query.Get("visitor"), Origin: query.Get("origin")}
	if err := (&attempt{site: s}).comesFrom(asks, r.Referer(), ""); err != nil {
		return web.ErrCrossOrigin
	}
	w.Header().Set("Referrer-Policy", "same-origin") // so that /start knows where its visitor has chosen
	if origin := query.Get("origin"); slices.Contains(s.Settings.Visitors.Origins, origin) {
		page.Frame.Window = templates.Window{Mode: query.Get("visitor"), Origin: origin}
	}
	for _, c := range all {
		page.Connections = append(page.Connections, templates.ConnectionLink{ID: c.ID, Name: c.Name, URL: startFor(s, c, r.URL.RawQuery)})
	}
	return x.Web.Render(w, r, http.StatusOK, page)
}

func startFor(s *site.Site, c *store.Connection, query string) string {
	return s.Base() + "/federation/" + url.PathEscape(c.ID) + "/start?" + query
}

// visitorLogins are the connections where a visitor can sign in, by name.
func visitorLogins(s *site.Site) (all []*store.Connection) {
	for _, c := range s.Connections() {
		if c.For == store.ForVisitors && !c.Disabled && (c.JWT == nil || c.JWT.LoginURL != "") {
			all = append(all, c)
		}
	}
	arrange.By(all, func(a, b *store.Connection) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return all
}
