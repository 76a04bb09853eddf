package provider_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestAVisitorChoosesAmongTheLoginsForVisitors(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	club := func(id string) store.Connection {
		return h.portal(func(c *store.Connection) {
			c.ID, c.For, c.Name, c.Domains = id, store.ForVisitors, "Club "+id, nil
		})
	}
	const asks = "?visitor=popup&origin=https%3A%2F%2Fshop.example&state=s&code_challenge=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA&code_challenge_method=S256"
	b := newBrowser(t, h.issuer+"/federation/")
	if p := b.get(h.issuer + "/federation/start" + asks); p.status != http.StatusNotFound {
		t.Errorf("without any: %d", p.status)
	}
	h.connect(club("a"), h.portal()) // one for agents is none of theirs
	if p := b.get(h.issuer + "/federation/start" + asks); p.away == nil || p.away.Path != "/federation/a/start" || p.away.Query().Get("state") != "s" {
		t.Errorf("the only one: %v %d", p.away, p.status)
	}
	h.connect(club("b"))
	p := b.get(h.issuer + "/federation/start" + asks)
	for _, id := range []string{"a", "b"} {
		if !strings.Contains(p.body, `id="connection-`+id+`"`) || !strings.Contains(p.body, "/federation/"+id+"/start?visitor=popup") {
			t.Errorf("no link to %s: %s", id, p.body)
		}
	}
	// A page that nobody let in is framed nowhere.
	if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || p.header.Get("Cross-Origin-Opener-Policy") != "same-origin" {
		t.Errorf("for an origin that is not the site's: %v", p.header)
	}
}
