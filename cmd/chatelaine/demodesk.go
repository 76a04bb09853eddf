package main

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/verify"
)

//go:embed demopages
var demoFiles embed.FS

// desk is the sample agent desk: an OAuth client with a page. Tokens stay here;
// the browser has a cookie.
type desk struct {
	demo   *demo
	chat   *chatBackend
	http   *http.Client
	pages  *template.Template
	config struct {
		Authorization string `json:"authorization_endpoint"`
		Token         string `json:"token_endpoint"`
		UserInfo      string `json:"userinfo_endpoint"`
		EndSession    string `json:"end_session_endpoint"`
	}
	stageKey string // part of the addresses of the administrator panel and the outbox, since they need no sign-in

	mu       sync.Mutex
	begun    map[string]begunSignIn // by state
	sessions map[string]*deskSession
}

type begunSignIn struct {
	verifier string
	at       time.Time
}

// deskSession is one signed-in browser.
type deskSession struct {
	mu      sync.Mutex
	Name    string
	Email   string
	access  string
	refresh string
	id      string
}

const deskCookie = "sample_desk"

func newDesk(ctx context.Context, d *demo) (*desk, error) {
	issuer := d.server.cfg.publicURL
	x := &desk{demo: d, http: &http.Client{Timeout: 10 * time.Second}, stageKey: randomText(18), begun: map[string]begunSignIn{}, sessions: map[string]*deskSession{}}
	var err error
	if x.pages, err = template.ParseFS(demoFiles, "demopages/*.html"); err != nil {
		return nil, err
	}
	if err := x.get(ctx, issuer+"/.well-known/openid-configuration", "", &x.config); err != nil {
		return nil, fmt.Errorf("read the discovery document: %w", err)
	}
	if d.chat, err = newChatBackend(ctx, issuer, d.backendSecret); err != nil {
		return nil, err
	}
	x.chat = d.chat
	return x, nil
}

func (x *desk) stageURL() string  { return x.demo.deskURL + "/administrator/" + x.stageKey }
func (x *desk) outboxURL() string { return x.demo.deskURL + "/outbox/" + x.stageKey }

func (x *desk) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", x.home)
	mux.HandleFunc("GET /sign-in", x.signIn)
	mux.HandleFunc("GET /callback", x.callback)
	mux.HandleFunc("POST /sign-out", x.signOut)
	mux.HandleFunc("GET /me", x.me)
	mux.HandleFunc("GET /socket", x.socket)
	mux.HandleFunc("POST /try", x.try)
	mux.HandleFunc("GET /visitors", x.visitors)
	mux.HandleFunc("POST /visitors/ban", x.ban)
	mux.HandleFunc("GET /outbox/{key}", x.outbox)
	mux.HandleFunc("GET /outbox/{key}/{letter}", x.outboxLetter)
	mux.HandleFunc("GET /outbox/{key}/{letter}/html", x.outboxHTML)
	mux.HandleFunc("GET /administrator/{key}", x.stage)
	mux.HandleFunc("POST /administrator/{key}/end", x.stageEnd)
	mux.HandleFunc("POST /administrator/{key}/roles", x.stageRoles)
	mux.Handle("GET /static/", http.StripPrefix("/static/", x.static()))
	policy := "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self' " + x.demo.server.cfg.publicURL + "; base-uri 'none'; frame-ancestors 'none'"
	return demoGuard(policy, http.NewCrossOriginProtection().Handler(mux))
}

func (x *desk) static() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".html") {
			http.NotFound(w, r)
			return
		}
		http.ServeFileFS(w, r, demoFiles, "demopages/"+r.URL.Path)
	})
}

// demoGuard answers for this machine's own names only, with strict headers.
func demoGuard(policy string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u := (url.URL{Host: r.Host}); !loopbackHost(u.Hostname()) {
			http.Error(w, "the demo answers on localhost only", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (x *desk) render(w http.ResponseWriter, name string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := x.pages.ExecuteTemplate(w, name, data); err != nil {
		x.demo.server.log.Error().Err(err).Msg("render a page of the demo")
	}
}

// session is the browser's, with a token that still lives; nil if it has none.
func (x *desk) session(r *http.Request) (*deskSession, *verify.Token) {
	cookie, err := r.Cookie(deskCookie)
	if err != nil {
		return nil, nil
	}
	x.mu.Lock()
	s := x.sessions[cookie.Value]
	x.mu.Unlock()
	if s == nil {
		return nil, nil
	}
	token, err := x.token(r.Context(), s)
	if err != nil {
		x.demo.server.log.Info().Err(err).Msg("a session of the desk is over")
		x.mu.Lock()
		delete(x.sessions, cookie.Value)
		x.mu.Unlock()
		return nil, nil
	}
	return s, token
}

// token verifies the session's access token, and gets a new one if it is used up
// or no longer good: the refresh says whether the agent may still be here.
func (x *desk) token(ctx context.Context, s *deskSession) (*verify.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, err := x.chat.client.Token(ctx, s.access)
	if err == nil && time.Until(token.Expires) > 20*time.Second {
		return token, nil
	}
	if err != nil && (errors.Is(err, verify.ErrStale) || errors.Is(err, verify.ErrUnavailable)) {
		return nil, err
	}
	for try := 0; ; try++ {
		if err := x.redeem(ctx, s, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {s.refresh}}); err != nil {
			return nil, err
		}
		token, err := x.chat.client.Token(ctx, s.access)
		// Tokens tell their time of issue in whole seconds, so one that was issued in
		// the second of a lost role counts as issued before it: ask once more.
		if !errors.Is(err, verify.ErrRevoked) || try == 1 {
			return token, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(1100 * time.Millisecond):
		}
	}
}

func (x *desk) redeem(ctx context.Context, s *deskSession, form url.Values) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.config.Token, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("desk", url.QueryEscape(x.demo.deskSecret))
	var out struct {
		Access  string `json:"access_token"`
		Refresh string `json:"refresh_token"`
		ID      string `json:"id_token"`
	}
	if err := x.do(req, &out); err != nil {
		return err
	}
	s.access = out.Access
	if out.Refresh != "" {
		s.refresh = out.Refresh
	}
	if out.ID != "" {
		s.id = out.ID
	}
	return nil
}

func (x *desk) get(ctx context.Context, address, bearer string, out any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	return x.do(req, out)
}

func (x *desk) do(req *http.Request, out any) error {
	resp, err := x.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		var refusal struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		_ = json.Unmarshal(body, &refusal)
		return fmt.Errorf("%s: %s %s", resp.Status, refusal.Error, refusal.Description)
	}
	return json.Unmarshal(body, out)
}

type homePage struct {
	Session      *deskSession
	Roles        []string
	Entitlements []string
	Actions      []string
	Here, Else   string
	Shop         string
	Problem      string
}

func (x *desk) home(w http.ResponseWriter, r *http.Request) {
	page := homePage{Here: "127.0.0.1", Else: demoElse, Shop: x.demo.shopURL, Problem: r.URL.Query().Get("problem")}
	s, token := x.session(r)
	if s != nil {
		page.Session, page.Roles, page.Entitlements = s, token.Roles, token.Entitlements
		page.Actions = demoActions()
	}
	x.render(w, "desk.html", page)
}

func demoActions() []string {
	return []string{"chat.join", "chat.transfer", "chat.monitor", "visitor.ban", "agent.manage"}
}

// signIn sends the browser to the hosted page: code flow with PKCE.
func (x *desk) signIn(w http.ResponseWriter, r *http.Request) {
	state, verifier := randomText(18), randomText(32)
	sum := sha256.Sum256([]byte(verifier))
	x.mu.Lock()
	for old, b := range x.begun {
		if time.Since(b.at) > time.Hour {
			delete(x.begun, old)
		}
	}
	x.begun[state] = begunSignIn{verifier, time.Now()}
	x.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: deskCookie + "_state", Value: state, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: 3600})
	q := url.Values{
		"response_type": {"code"}, "client_id": {"desk"}, "redirect_uri": {x.demo.deskURL + "/callback"}, "scope": {"openid profile email offline_access chat"},
		"state": {state}, "nonce": {randomText(18)}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	http.Redirect(w, r, x.config.Authorization+"?"+q.Encode(), http.StatusSeeOther)
}

func (x *desk) callback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	cookie, err := r.Cookie(deskCookie + "_state")
	x.mu.Lock()
	b, known := x.begun[q.Get("state")]
	delete(x.begun, q.Get("state"))
	x.mu.Unlock()
	switch {
	case q.Get("error") != "":
		x.problem(w, r, "The sign-in was not finished: "+q.Get("error"))
		return
	case err != nil || !known || cookie.Value != q.Get("state"):
		x.problem(w, r, "This sign-in was begun elsewhere. Please begin again.")
		return
	}
	s := &deskSession{}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {x.demo.deskURL + "/callback"}, "code_verifier": {b.verifier}}
	if err := x.redeem(r.Context(), s, form); err != nil {
		x.problem(w, r, "The code was not accepted: "+err.Error())
		return
	}
	var who struct{ Name, Email string }
	if err := x.get(r.Context(), x.config.UserInfo, s.access, &who); err != nil {
		x.problem(w, r, "Userinfo did not answer: "+err.Error())
		return
	}
	s.Name, s.Email = who.Name, who.Email
	id := randomText(32)
	x.mu.Lock()
	x.sessions[id] = s
	x.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: deskCookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (x *desk) problem(w http.ResponseWriter, r *http.Request, text string) {
	http.Redirect(w, r, "/?problem="+url.QueryEscape(text), http.StatusSeeOther)
}

func (x *desk) signOut(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(deskCookie)
	if err != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	x.mu.Lock()
	s := x.sessions[cookie.Value]
	delete(x.sessions, cookie.Value)
	x.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: deskCookie, Path: "/", MaxAge: -1, HttpOnly: true})
	if s == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	q := url.Values{"id_token_hint": {s.id}, "post_logout_redirect_uri": {x.demo.deskURL + "/"}, "client_id": {"desk"}}
	http.Redirect(w, r, x.config.EndSession+"?"+q.Encode(), http.StatusSeeOther)
}

func (x *desk) me(w http.ResponseWriter, r *http.Request) {
	s, token := x.session(r)
	if s == nil {
		http.Error(w, "signed out", http.StatusUnauthorized)
		return
	}
	writeJSON(w, map[string]any{"name": s.Name, "email": s.Email, "roles": token.Roles, "entitlements": token.Entitlements})
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// socket is the browser's end of the chat backend's stream.
func (x *desk) socket(w http.ResponseWriter, r *http.Request) {
	s, token := x.session(r)
	if s == nil {
		http.Error(w, "signed out", http.StatusUnauthorized)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	_ = x.chat.stream(r.Context(), token, func(event string, data any) error { return writeEvent(w, event, data) })
}

// try asks the backend for an action, from here or from another network.
func (x *desk) try(w http.ResponseWriter, r *http.Request) {
	s, token := x.session(r)
	if s == nil {
		http.Error(w, "signed out", http.StatusUnauthorized)
		return
	}
	action := r.PostFormValue("action")
	from, err := netip.ParseAddr(r.PostFormValue("from"))
	if err != nil || !slices.Contains(demoActions(), action) {
		http.Error(w, "an action of the list, please", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	raw := s.access
	s.mu.Unlock()
	writeJSON(w, x.chat.decide(r.Context(), raw, token, action, from))
}
