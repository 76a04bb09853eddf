package oauth

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	visitors "github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
	"github.com/rs/zerolog"
)

func (h *house) wire() {
	pages := templates.New()
	sealer, err := store.NewSealer(make([]byte, 32))
	h.ok(err)
	h.keys = keys.New(keys.Options{Store: h.store, Sealer: sealer, Sites: h.sites, Now: h.now})
	var rows []web.ErrorRow
	rows = append(rows, Errors...)
	rows = append(rows, site.Errors...)
	rows = append(rows, web.Errors...)
	w := web.New(web.Options{Pages: pages, Rows: rows, Log: zerolog.Nop(), Now: h.now})
	log := audit.New(audit.Options{Store: h.store, Sites: h.sites, Keys: h.keys, Now: h.now})
	sessions := session.New(session.Options{Store: h.store, Keys: h.keys, Audit: log, Now: h.now})
	h.known = visitors.New(visitors.Options{Store: h.store, Keys: h.keys, Sealer: sealer, Audit: log, Now: h.now})
	h.o = New(Options{Store: h.store, Sites: h.sites, Keys: h.keys, Sessions: sessions, Audit: log, Visitors: h.known, Web: w, Now: h.now})
	mux := http.NewServeMux()
	h.o.Routes(mux)
	h.handler = w.Handler(h.sites.Handler(mux, w.PageError))
}

func (h *house) session() store.Session {
	h.cookie = randomToken(32)
	sum := sha256.Sum256([]byte(h.cookie))
	rec := store.Session{Hash: hex.EncodeToString(sum[:]), SID: randomToken(16), AgentID: "alice", IP: "203.0.113.7", AuthTime: h.now(), Created: h.now(), Seen: h.now(), Expires: h.now().Add(8 * time.Hour), End: h.now().Add(24 * time.Hour)}
	h.update(func(tx store.Tx) error { return store.Sessions.Put(tx, &rec) })
	return rec
}

func (h *house) addCookie(r *http.Request) {
	r.AddCookie(&http.Cookie{Name: "__Host-session", Value: h.cookie})
}

func (h *house) grant(client string, scopes ...string) store.Grant {
	return h.grantIn(h.session().SID, client, scopes...)
}

func (h *house) grantIn(sid, client string, scopes ...string) store.Grant {
	g, _ := h.familyIn(sid, client, scopes...)
	return g
}

func (h *house) family(client string, scopes ...string) (store.Grant, string) {
	return h.familyIn(h.session().SID, client, scopes...)
}

func (h *house) familyIn(sid, client string, scopes ...string) (store.Grant, string) {
	g := store.Grant{ID: randomToken(16), Created: h.now(), Expires: h.now().Add(12 * time.Hour), End: h.now().Add(24 * time.Hour), Authorization: store.Authorization{ClientID: client, AgentID: "alice", SID: sid, Scopes: scopes}}
	key, err := h.keys.Secret(h.t.Context(), "", secretRefresh)
	h.ok(err)
	raw := firstRefreshToken(key, g.ID)
	g.Current = tokenSum(raw)
	h.update(func(tx store.Tx) error { return store.Grants.Put(tx, &g) })
	return g, raw
}

func (h *house) claims(g store.Grant, change ...func(map[string]any)) map[string]any {
	c := map[string]any{
		"iss": testIssuer, "sub": g.AgentID, "aud": testResource, "client_id": g.ClientID, "scope": strings.Join(g.Scopes, " "), "sid": g.SID, "site": "", "subject_type": "agent",
		"jti": g.ID + "." + randomToken(8), "iat": h.now().Unix(), "exp": h.now().Add(5 * time.Minute).Unix(), "entitlements": h.site().Permissions([]string{"agents", "supervisors"}),
		"roles": []string{"agents", "supervisors"}, "groups": []string{"billing"}, "auth_time": h.now().Unix(), "acr": "aal1",
	}
	for _, f := range change {
		f(c)
	}
	return c
}

func (h *house) sign(alg, typ string, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	h.ok(err)
	raw, err := h.keys.Sign(h.t.Context(), h.site(), alg, typ, payload)
	h.ok(err)
	return raw
}

func (h *house) token(g store.Grant, change ...func(map[string]any)) string {
	return h.sign("ES256", "at+jwt", h.claims(g, change...))
}

func (h *house) clientToken(client string) string {
	return h.sign("ES256", "at+jwt", map[string]any{
		"iss": testIssuer, "sub": client, "aud": testResource, "client_id": client, "scope": "chat", "site": "", "subject_type": "client",
		"jti": randomToken(16), "iat": h.now().Unix(), "exp": h.now().Add(5 * time.Minute).Unix(),
	})
}

func (h *house) idToken(g store.Grant) string {
	return h.sign("RS256", "JWT", map[string]any{"iss": testIssuer, "sub": g.AgentID, "aud": g.ClientID, "sid": g.SID, "iat": h.now().Unix(), "exp": h.now().Add(10 * time.Minute).Unix()})
}
