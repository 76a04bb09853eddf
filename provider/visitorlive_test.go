package provider_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// introspectsAt is introspects for a backend that sees where the visitor is.
func (h *running) introspectsAt(token string, ip netip.Addr) bool {
	h.t.Helper()
	r := post("/oauth/introspect", url.Values{"token": {token}, "visitor_ip": {ip.String()}}, "backend", backendSecret)
	r.Host, r.RemoteAddr = strings.TrimPrefix(h.issuer, "http://"), "127.0.0.1:1"
	w := httptest.NewRecorder()
	h.server.ServeHTTP(w, r)
	var answer struct{ Active bool }
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		h.t.Fatalf("introspection: %d %s", w.Code, w.Body)
	}
	return answer.Active
}

// The feed says what a ban has ended. Whoever asks is told of the ban itself, by
// whatever it names.
func TestWhoAsksIsToldOfABanThatTheFeedDoesNotName(t *testing.T) {
	t.Parallel()
	elsewhere := netip.MustParseAddr("203.0.113.9")
	for name, ban := range map[string]func(v visitor) store.Ban{
		"visitor id":  func(v visitor) store.Ban { return store.Ban{VisitorID: v.VisitorID} },
		"external id": func(visitor) store.Ban { return store.Ban{ExternalID: "u1"} },
		"address":     func(visitor) store.Ban { return store.Ban{Email: "u1+x@buyers.example"} },
		"domain":      func(visitor) store.Ban { return store.Ban{EmailDomain: "example"} },
		"network":     func(visitor) store.Ban { return store.Ban{Network: "203.0.113.0/24"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, storetest.Bolt, "")
			h.widgets()
			backend := h.backend()
			v := h.visit(map[string]string{"identity": h.visitorJWT("j1", "u1")})
			reasons := func() (all []string) {
				for _, q := range []verify.Question{{Token: v.Token}, {Subject: policy.Resource{Type: policy.Visitor, ID: v.VisitorID}}} {
					q.Action, q.IP = policy.ActionChat, elsewhere
					d, err := backend.Ask(t.Context(), q)
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, d.Reason)
				}
				return all
			}
			if got := reasons(); got[0] != policy.ReasonAllowed || got[1] != policy.ReasonAllowed || !h.introspectsAt(v.Token, elsewhere) {
				t.Fatalf("before the ban: %v", got)
			}
			b := ban(v)
			b.ID, b.Reason, b.Created = uuid.Must(uuid.NewV7()).String(), "spam", time.Now()
			h.write(func(tx store.Tx) error { return store.Bans.Put(tx, &b) })
			if got := reasons(); got[0] != policy.ReasonBanned || got[1] != policy.ReasonBanned {
				t.Errorf("asked by token and by id: %v", got)
			}
			if h.introspectsAt(v.Token, elsewhere) {
				t.Error("the token is active")
			}
		})
	}
}

func TestAPageThatLostItsPlaceDuringTheLoginGetsNoProof(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt, forVisitors)
	h.widgets()
	b := newBrowser(t, h.idp.SSO)
	p := b.get(h.widgetStart("corp", oauth2.GenerateVerifier()))
	if p.away == nil {
		t.Fatalf("not sent away: %d %s", p.status, p.body)
	}
	h.write(func(tx store.Tx) error {
		s, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		s.Visitors.Origins = []string{"https://new.example"}
		return store.AllSettings.Put(tx, &s)
	})
	b.stop = widgetOrigin
	p = b.post(h.issuer+"/federation/corp/acs", h.answer(readRequest(t, p.away), rajThere))
	if p.away == nil {
		t.Fatalf("%d %s", p.status, p.body)
	}
	fragment, err := url.ParseQuery(p.away.Fragment)
	if err != nil || fragment.Get("chatelaine_code") != "" || fragment.Get("chatelaine_error") != "origin_not_allowed" {
		t.Errorf("sent to %s", p.away)
	}
	h.noProofs()
}

// noProofs: nothing lies there for a widget to come for.
func (h *running) noProofs() {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), "", func(tx store.Tx) error {
		for p, err := range store.VisitorProofs.All(tx, "") {
			if err != nil {
				return err
			}
			h.t.Errorf("a proof for %s is there", p.Origin)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// turn switches a connection off or on, as an operator does.
func (h *running) turn(connection string, off bool) {
	h.t.Helper()
	h.apply(fmt.Sprintf("sites:\n  - path: \"\"\n    connections: [{id: %s, disabled: %v}]\n", connection, off))
}

func TestALoginFromBeforeItsConnectionWasOffIsNone(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt, forVisitors)
	h.widgets()
	login := func() (page, string) {
		verifier := oauth2.GenerateVerifier()
		b := newBrowser(t, h.idp.SSO)
		p := b.get(h.widgetStart("corp", verifier))
		b.stop = widgetOrigin
		return b.post(h.issuer+"/federation/corp/acs", h.answer(readRequest(t, p.away), rajThere)), verifier
	}
	at, verifier := login()
	before := h.proven(at, verifier, "")
	at, verifier = login()
	h.turn("corp", true)
	h.noProofs()
	if got := h.proven(at, verifier, ""); got.Error != "invalid_grant" {
		t.Errorf("while it is off: %+v", got)
	}
	h.turn("corp", false)
	if got := h.proven(at, verifier, ""); got.Error != "invalid_grant" {
		t.Errorf("on again: %+v", got)
	}
	if got := h.visit(map[string]string{"renew": before.Renew}); got.Error != "invalid_grant" {
		t.Errorf("a session of before: %+v", got)
	}
	at, verifier = login()
	if got := h.proven(at, verifier, ""); got.Assurance != "federated" {
		t.Errorf("a login since: %+v", got)
	}
}

// beside is another node on the same store.
func (h *running) beside() *provider.Server {
	h.t.Helper()
	other, err := provider.New(provider.Options{
		Store: h.engine, Sealer: h.sealer, PublicURL: h.issuer, Log: zerolog.Nop(), Argon2: provider.Argon2{MemoryKiB: 8, Time: 1, Threads: 1},
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return other
}

// visitAt is a start at another node, and whether it gave a token.
func (h *running) visitAt(node *provider.Server, body map[string]string) (v visitor, ok bool) {
	raw, err := json.Marshal(body)
	if err != nil {
		h.t.Error(err)
	}
	r := httptest.NewRequest(http.MethodPost, h.issuer+"/visitors/start", strings.NewReader(string(raw)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", widgetOrigin)
	w := httptest.NewRecorder()
	node.ServeHTTP(w, r)
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		h.t.Errorf("%d %s", w.Code, w.Body)
	}
	return v, w.Code == http.StatusOK
}

func TestAConnectionThatOneNodeSwitchesOffGivesNothingThatLastsAtAnother(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := start(t, on, "")
		h.widgets()
		other, backend := h.beside(), h.backend()
		var off atomic.Int64 // when the operator was told that it is off
		var given []visitor
		meanwhile := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i, deadline := 0, time.Now().Add(10*time.Second); time.Now().Before(deadline); i++ {
				began := time.Now()
				v, ok := h.visitAt(other, map[string]string{"identity": h.visitorJWT(fmt.Sprint("j", i), fmt.Sprint("u", i))})
				if !ok {
					return
				}
				given = append(given, v)
				if at := off.Load(); at > 0 {
					meanwhile++
					if began.UnixMilli()-at > 1000 {
						t.Error("a second later it is still on at the other node")
						return
					}
				}
			}
		}()
		time.Sleep(100 * time.Millisecond)
		h.turn("shop", true)
		off.Store(time.Now().UnixMilli())
		<-done
		t.Logf("%d tokens, %d of them when it was off", len(given), meanwhile)
		if len(given) == 0 {
			t.Fatal("the other node gives nothing")
		}
		ends(t, backend, given[len(given)-1].Token, "the connection's end")
		for i, v := range given {
			if _, err := backend.Token(t.Context(), v.Token); err == nil {
				t.Errorf("token %d of %d lives on", i, len(given))
			}
			if i%10 == 0 && h.introspects(v.Token) {
				t.Errorf("token %d of %d is active", i, len(given))
			}
		}
		if v, ok := h.visitAt(other, map[string]string{"renew": given[0].Renew}); ok {
			t.Errorf("it is renewed: %+v", v)
		}
	})
}

// addresses is how many records of the audit log say where somebody was. In these
// tests that is the visitor alone.
func (h *running) addresses() (n int) {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), "", func(tx store.Tx) error {
		n = 0
		for row, err := range store.AuditPersonals.All(tx, "") {
			if err != nil {
				return err
			}
			for _, v := range row.Values {
				if v.Field == "ip" && v.Value != "" {
					n++
				}
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// The record of a login at the customer's own says nothing of who it was but a MAC: by
// that it is found.
func TestAnErasureFindsTheLoginThatTheVisitorCameBy(t *testing.T) {
	t.Parallel()
	for name, login := range map[string]func(t *testing.T, verifier string) (*running, page){
		"SAML": func(t *testing.T, verifier string) (*running, page) {
			h := newFederated(t, storetest.Bolt, forVisitors)
			h.widgets()
			b := newBrowser(t, h.idp.SSO)
			p := b.get(h.widgetStart("corp", verifier))
			b.stop = widgetOrigin
			return h.running, b.post(h.issuer+"/federation/corp/acs", h.answer(readRequest(t, p.away), rajThere))
		},
		"OpenID Connect": func(t *testing.T, verifier string) (*running, page) {
			h := start(t, storetest.Bolt, "")
			op := start(t, storetest.Bolt, h.issuer+"/federation/upstream/callback")
			h.connect(h.upstream(op, func(c *store.Connection) { c.For, c.Domains = store.ForVisitors, nil }))
			h.widgets()
			b := newBrowser(t, widgetOrigin)
			return h, b.submit(b.get(h.widgetStart("upstream", verifier)), "continue", map[string]string{"email": "raj@acme.example", "password": agentPassword})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verifier := oauth2.GenerateVerifier()
			h, at := login(t, verifier)
			got := h.proven(at, verifier, "")
			if got.Assurance != "federated" {
				t.Fatalf("%+v", got)
			}
			for deadline := time.Now().Add(10 * time.Second); h.addresses() < 2; time.Sleep(50 * time.Millisecond) { // the login and the sign-in, once they are sealed
				if time.Now().After(deadline) {
					t.Fatalf("%d records have an address: this test looks in the wrong place", h.addresses())
				}
			}
			h.control("visitors/erase", map[string]any{"visitor": got.VisitorID}, "")
			if n := h.addresses(); n != 0 {
				t.Errorf("%d records still say where the visitor was", n)
			}
		})
	}
}
