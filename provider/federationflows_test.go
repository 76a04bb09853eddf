package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestAFlowEndsAtTheConnectionWhereItBegan(t *testing.T) {
	t.Parallel()
	h, op := &federated{start(t, storetest.Bolt, ""), samltest.New(idpBase, time.Now())}, newLiar(t)
	second := func(c *store.Connection) { c.ID += "2" } // of the same provider
	secondPortal := h.portal(second)
	secondPortal.JWT.Keys[0].Secret = h.sealed("portal2", portalSecret)
	h.connect(corp(h.idp), corp(h.idp, second), h.portal(), secondPortal, op.connection(), op.connection(second))
	elsewhere := func(target, id string) string {
		return strings.Replace(target, "/federation/"+id+"/", "/federation/"+id+"2/", 1)
	}

	b := newBrowser(t, "")
	to := h.away(b, oauth2.GenerateVerifier())
	b.stop = deskCallback
	h.refusedWith(b.post(h.issuer+"/federation/corp2/acs", h.answer(to, rajThere, func(a *samltest.Answer) {
		a.ACS, a.Audience = h.issuer+"/federation/corp2/acs", h.issuer+"/federation/corp2"
	})), "answer_expired")
	if p := h.back(b, h.answer(to, rajThere)); !h.in(p) {
		t.Errorf("SAML, where it began: %d %s", p.status, p.body)
	}

	b = newBrowser(t, "")
	answerTo := h.toPortal(b, oauth2.GenerateVerifier(), "return_to")
	h.refusedWith(b.post(elsewhere(answerTo, "portal"), url.Values{"jwt": {h.portalToken(map[string]any{"aud": h.issuer + "/federation/portal2"})}}), "answer_expired")
	if p := b.post(answerTo, url.Values{"jwt": {h.portalToken(nil)}}); !h.in(p) {
		t.Errorf("JWT, where it began: %d %s", p.status, p.body)
	}

	op.next(map[string]any{"sub": "raj-7", "email": "raj@acme.example", "email_verified": true})
	b = newBrowser(t, h.issuer+"/federation/liar/callback")
	p := b.link(b.get(h.authorizeURL(oauth2.GenerateVerifier())), "connection-liar")
	if p.away == nil {
		t.Fatalf("no answer: %d %s", p.status, p.body)
	}
	b.stop = deskCallback
	h.refusedWith(b.get(elsewhere(p.away.String(), "liar")), "answer_expired")
	if p := b.get(p.away.String()); !h.in(p) {
		t.Errorf("OpenID Connect, where it began: %d %s", p.status, p.body)
	}
}

func TestAVisitorsFlowIsNoAgentsNorTheOtherWayRound(t *testing.T) {
	t.Parallel()
	// As no site file may: the connection keeps its flows, and is for others.
	turn := func(h *federated, whom string) {
		c := h.connection("corp")
		c.For = whom
		h.connect(c)
	}
	t.Run("a visitor's", func(t *testing.T) {
		t.Parallel()
		h := &federated{start(t, storetest.Bolt, ""), samltest.New(idpBase, time.Now())}
		h.writeUnseen(func(tx store.Tx) error {
			c := corp(h.idp, func(c *store.Connection) { c.For = store.ForVisitors })
			return store.Connections.Put(tx, &c)
		})
		h.widgets()
		b := newBrowser(t, h.idp.SSO)
		p := b.get(h.widgetStart("corp", oauth2.GenerateVerifier()))
		if p.away == nil {
			t.Fatalf("not sent away: %d %s", p.status, p.body)
		}
		form := h.answer(readRequest(t, p.away), rajThere)
		turn(h, store.ForAgents)
		b.stop = widgetOrigin
		if p = b.post(h.issuer+"/federation/corp/acs", form); p.away == nil || !strings.Contains(p.away.Fragment, "chatelaine_error=not_for_visitors") {
			t.Errorf("%d, away to %v", p.status, p.away)
		}
	})
	t.Run("an agent's", func(t *testing.T) {
		t.Parallel()
		h := newFederated(t, storetest.Bolt)
		b := newBrowser(t, "")
		form := h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)
		turn(h, store.ForVisitors)
		h.refusedWith(h.back(b, form), "not_for_visitors")
	})
}

func TestARecentSignInIsDemandedOfAnOpenIDProvider(t *testing.T) {
	t.Parallel()
	h, op := start(t, storetest.Bolt, ""), newLiar(t)
	h.connect(op.connection(), op.connection(func(c *store.Connection) { c.ID, c.OIDC.AssumeFresh = "trusted", true }))
	to := func(connection, more string, authTime any) page {
		op.next(map[string]any{"sub": "raj-" + connection, "email": "raj@acme.example", "email_verified": true, "auth_time": authTime})
		b := newBrowser(t, op.URL)
		p := b.link(b.get(h.authorizeURL(oauth2.GenerateVerifier())+more), "connection-"+connection)
		if p.away == nil {
			t.Fatalf("not sent away: %d %s", p.status, p.body)
		}
		asked := p.away.Query()
		if fresh := more != ""; fresh != (asked.Get("max_age") == "0" && asked.Get("prompt") == "login") || !fresh && asked.Has("max_age") {
			t.Errorf("with %q the provider is asked %v", more, asked)
		}
		b.stop = deskCallback
		return b.get(p.away.String())
	}
	now := time.Now()
	for _, row := range []struct {
		name, connection, more string
		authTime               any
		in                     bool
	}{
		{"nobody demands it", "liar", "", now.Add(-time.Hour).Unix(), true},
		{"nobody demands it, or says when", "liar", "", nil, true},
		{"it was an hour ago", "liar", "&max_age=60", now.Add(-time.Hour).Unix(), false},
		{"it was an hour ago, by prompt", "liar", "&prompt=login", now.Add(-time.Hour).Unix(), false},
		{"it does not say when", "liar", "&max_age=60", nil, false},
		{"it was now", "liar", "&max_age=60", now.Unix(), true},
		{"it does not say when, and is trusted", "trusted", "&max_age=60", nil, true},
		{"it is trusted, and was an hour ago", "trusted", "&max_age=60", now.Add(-time.Hour).Unix(), false},
	} {
		p := to(row.connection, row.more, row.authTime)
		if row.in != h.in(p) || !row.in && !strings.Contains(p.body, `id="fault">provider_refused<`) {
			t.Errorf("%s: in %v, %d %s", row.name, h.in(p), p.status, between(p.body, "<h1>", "</h1>"))
		}
	}
}

func TestSixtyAttemptsAMinuteLeaveATrace(t *testing.T) {
	t.Parallel()
	var passed atomic.Int64
	minute := time.Now().Truncate(time.Minute)
	h := start(t, storetest.Bolt, "", func(o *provider.Options) {
		o.Now = func() time.Time { return minute.Add(time.Duration(passed.Load())) }
	})
	h.connect(h.portal(), h.portal(func(c *store.Connection) { c.ID = "portal2" }))
	passed.Add(int64(5 * time.Second)) // longer than a snapshot is kept without a look
	b := newBrowser(t, h.issuer+"/federation/")
	traced := func(connection string) bool {
		passed.Add(int64(time.Millisecond))
		p := b.post(h.issuer+"/federation/"+connection+"/jwt", url.Values{"jwt": {"x"}})
		if p.status != http.StatusSeeOther {
			t.Fatalf("%d %s", p.status, p.body)
		}
		all := h.traces(connection)
		return len(all) > 0 && all[len(all)-1].RequestID == p.header.Get("X-Request-Id")
	}
	for i := range 60 {
		if !traced("portal") {
			t.Fatalf("attempt %d left none", i+1)
		}
	}
	if traced("portal") {
		t.Error("the sixty-first left one")
	}
	if !traced("portal2") {
		t.Error("another connection has none")
	}
	passed.Add(int64(time.Minute))
	if !traced("portal") {
		t.Error("a minute later there is none")
	}
}
