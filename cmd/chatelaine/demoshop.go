package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// shop is a sample shop with a chat bubble on its page, on an origin of its own. It
// knows its customers by a little login, and says so in JWTs that it makes; beside
// it stands the login page of a club, which the house sends visitors to.
type shop struct {
	demo *demo
	desk *desk // whose templates and files it shares
	chat *shopChat

	mu       sync.Mutex
	sessions map[string]shopper // by cookie: customers, and members of the club
}

// shopper is somebody whom the shop, or the club, knows.
type shopper struct {
	ID    string // of the customer's own: the visitor's external id
	Name  string
	Email string
	Plan  string
}

// The customers and members. They have no passwords: this is about what comes after.
var (
	shopCustomers = []shopper{{"cust-17", "Mia Chen", "mia@buyers.example", "standard"}, {"cust-42", "Tom Weber", "tom@buyers.example", "gold"}}
	clubMembers   = []shopper{{"club-3", "Nora Lind", "nora@members.example", "silver"}, {"club-8", "Omar Haddad", "omar@members.example", "gold"}}
)

const (
	shopCookie = "sample_shop"
	clubCookie = "sample_club"
	maxLogins  = 1000
)

func newShop(d *demo, x *desk) *shop {
	return &shop{demo: d, desk: x, chat: &shopChat{d.chat.client, d.talks}, sessions: map[string]shopper{}}
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, _ *http.Request) { s.desk.render(w, "shop-login.html", shopCustomers) })
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /identity", s.identity)
	mux.HandleFunc("GET /club", s.club)
	mux.HandleFunc("POST /club", s.clubLogin)
	s.chat.routes(mux)
	mux.Handle("GET /static/", http.StripPrefix("/static/", s.desk.static()))
	house := s.demo.server.cfg.publicURL
	policy := "default-src 'none'; style-src 'self'; script-src 'self' " + house + "; connect-src 'self' " + house +
		"; img-src 'self'; form-action 'self' " + house + "; base-uri 'none'; frame-ancestors 'none'"
	return demoGuard(policy, http.NewCrossOriginProtection().Handler(mux))
}

func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	customer, known := s.session(r, shopCookie)
	s.desk.render(w, "shop.html", struct {
		Customer shopper
		Known    bool
		Issuer   string
	}{customer, known, s.demo.server.cfg.publicURL})
}

func (s *shop) session(r *http.Request, name string) (shopper, bool) {
	cookie, err := r.Cookie(name)
	if err != nil {
		return shopper{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	who, ok := s.sessions[cookie.Value]
	return who, ok
}

// begin remembers who has logged in.
func (s *shop) begin(w http.ResponseWriter, cookie string, who shopper) {
	id := randomText(32)
	s.mu.Lock()
	if len(s.sessions) >= maxLogins {
		clear(s.sessions)
	}
	s.sessions[id] = who
	s.mu.Unlock()
	http.SetCookie(w, &http.Cookie{Name: cookie, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func (s *shop) login(w http.ResponseWriter, r *http.Request) {
	who, ok := shopperOf(shopCustomers, r.PostFormValue("who"))
	if !ok {
		http.Error(w, "a customer of the list, please", http.StatusBadRequest)
		return
	}
	s.begin(w, shopCookie, who)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *shop) logout(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: shopCookie, Path: "/", MaxAge: -1, HttpOnly: true})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func shopperOf(list []shopper, id string) (shopper, bool) {
	for _, who := range list {
		if who.ID == id {
			return who, true
		}
	}
	return shopper{}, false
}

// identity is what the widget asks the page's own server: a visitor JWT for the
// customer who is logged in, made with the secret that the house shares.
func (s *shop) identity(w http.ResponseWriter, r *http.Request) {
	who, known := s.session(r, shopCookie)
	if !known {
		writeJSON(w, map[string]string{"jwt": ""})
		return
	}
	raw, err := s.vouch("shop", s.demo.shopSecret, who)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	writeJSON(w, map[string]string{"jwt": raw})
}

// vouch makes a visitor JWT for a connection: it is good once, for minutes.
func (s *shop) vouch(connection, secret string, who shopper) (string, error) {
	key := jose.SigningKey{Algorithm: jose.HS256, Key: []byte(secret)}
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", connection+"-1"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": s.demo.shopURL, "aud": s.demo.server.cfg.publicURL + "/federation/" + connection, "jti": randomText(18),
		"iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "sub": who.ID, "name": who.Name, "email": who.Email, "email_verified": true, "plan": who.Plan,
	})
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}

// clubPage is the club's login page, or its answer.
type clubPage struct {
	Members       []shopper
	ReturnTo, JWT string
}

// club is where the house sends those who sign in with the club. Who is logged in
// there already is connected at once.
func (s *shop) club(w http.ResponseWriter, r *http.Request) {
	to := r.URL.Query().Get("return_to")
	if !s.ours(to) {
		http.Error(w, "the chat begins a sign-in with the club", http.StatusBadRequest)
		return
	}
	if who, known := s.session(r, clubCookie); known {
		s.answer(w, to, who)
		return
	}
	s.desk.render(w, "club.html", clubPage{Members: clubMembers, ReturnTo: to})
}

// ours: a JWT goes to the house's address for it, and nowhere else.
func (s *shop) ours(to string) bool {
	u, err := url.Parse(to)
	if err != nil || u.User != nil || u.Fragment != "" {
		return false
	}
	u.RawQuery = ""
	return strings.TrimSuffix(u.String(), "?") == s.demo.server.cfg.publicURL+"/federation/club/jwt"
}

func (s *shop) clubLogin(w http.ResponseWriter, r *http.Request) {
	to := r.PostFormValue("return_to")
	who, ok := shopperOf(clubMembers, r.PostFormValue("who"))
	if !ok || !s.ours(to) {
		http.Error(w, "a member of the list, please", http.StatusBadRequest)
		return
	}
	s.begin(w, clubCookie, who)
	s.answer(w, to, who)
}

func (s *shop) answer(w http.ResponseWriter, to string, who shopper) {
	raw, err := s.vouch("club", s.demo.clubSecret, who)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.desk.render(w, "club.html", clubPage{ReturnTo: to, JWT: raw})
}
