package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/oauth"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

func (h *house) wire() {
	pages := templates.New()
	sealer, err := store.NewSealer(make([]byte, 32))
	h.ok(err)
	h.keys = keys.New(keys.Options{Store: h.store, Sealer: sealer, Sites: h.sites, Now: h.now})
	var rows []web.ErrorRow
	rows = append(rows, Errors...)
	rows = append(rows, oauth.Errors...)
	rows = append(rows, site.Errors...)
	rows = append(rows, web.Errors...)
	w := web.New(web.Options{Pages: pages, Rows: rows, Log: zerolog.Nop(), Now: h.now})
	log := audit.New(audit.Options{Store: h.store, Sites: h.sites, Keys: h.keys, Now: h.now})
	sessions := session.New(session.Options{Store: h.store, Keys: h.keys, Audit: log, Now: h.now})
	h.known = records.New(records.Options{Store: h.store, Keys: h.keys, Sealer: sealer, Audit: log, Now: h.now})
	h.o = oauth.New(oauth.Options{Store: h.store, Sites: h.sites, Keys: h.keys, Sessions: sessions, Audit: log, Visitors: h.known, Web: w, Now: h.now})
	h.access = New(Options{Store: h.store, Sites: h.sites, OAuth: h.o, Visitors: h.known, Web: w, Now: h.now})
	mux := http.NewServeMux()
	h.access.Routes(mux)
	h.handler = w.Handler(h.sites.Handler(mux, w.PageError))
}

// server is the house over real HTTP.
func (h *house) server() string {
	if h.url == "" {
		server := httptest.NewServer(h.handler)
		h.t.Cleanup(server.Close)
		h.t.Cleanup(h.access.Close)
		h.url = server.URL
	}
	return h.url
}

func random() string {
	b := make([]byte, 16)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// grant makes a session of alice's, from 203.0.113.7, and a family in it.
func (h *house) grant(client string) store.Grant {
	h.t.Helper()
	sum := sha256.Sum256([]byte(random()))
	rec := store.Session{Hash: hex.EncodeToString(sum[:]), SID: random(), AgentID: "alice", IP: "203.0.113.7", AuthTime: h.now(), Created: h.now(), Seen: h.now(), Expires: h.now().Add(8 * time.Hour), End: h.now().Add(24 * time.Hour)}
	g := store.Grant{ID: random(), Created: h.now(), Expires: h.now().Add(12 * time.Hour), End: h.now().Add(24 * time.Hour), Authorization: store.Authorization{ClientID: client, AgentID: "alice", SID: rec.SID, Scopes: []string{"chat"}}}
	h.update(func(tx store.Tx) error {
		if err := store.Sessions.Put(tx, &rec); err != nil {
			return err
		}
		return store.Grants.Put(tx, &g)
	})
	return g
}

func (h *house) sign(claims map[string]any) string {
	h.t.Helper()
	payload, err := json.Marshal(claims)
	h.ok(err)
	raw, err := h.keys.Sign(h.t.Context(), h.site(), "ES256", "at+jwt", payload)
	h.ok(err)
	return raw
}

func (h *house) token(g store.Grant, change ...func(map[string]any)) string {
	h.t.Helper()
	claims := map[string]any{
		"iss": testIssuer, "sub": g.AgentID, "aud": testResource, "client_id": g.ClientID, "scope": "chat", "sid": g.SID, "site": "", "subject_type": "agent",
		"jti": g.ID + "." + random(), "iat": h.now().Unix(), "exp": h.now().Add(5 * time.Minute).Unix(), "entitlements": []string{"chat.monitor", "visitor.ban"},
	}
	for _, f := range change {
		f(claims)
	}
	return h.sign(claims)
}

func (h *house) clientToken(client, audience string) string {
	h.t.Helper()
	return h.sign(map[string]any{
		"iss": testIssuer, "sub": client, "aud": audience, "client_id": client, "scope": "chat", "site": "", "subject_type": "client",
		"jti": random(), "iat": h.now().Unix(), "exp": h.now().Add(5 * time.Minute).Unix(),
	})
}
