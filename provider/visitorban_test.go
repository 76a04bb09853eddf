package provider_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// A ban, from an operator's word to the socket that closes: SECURITY's group Visitor
// identity and bans, rows 2 and 3.

// introspects tells whether the token is active to the backend.
func (h *running) introspects(token string) bool {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.issuer+"/oauth/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("backend", backendSecret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Active bool }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		h.t.Fatalf("introspection: %d %v", resp.StatusCode, err)
	}
	return answer.Active
}

func (h *running) asks(backend *verify.Client, token string) string {
	h.t.Helper()
	d, err := backend.Ask(h.t.Context(), verify.Question{Token: token, Action: policy.ActionChat, IP: office})
	if err != nil {
		h.t.Fatal(err)
	}
	return d.Reason
}

func TestABanClosesTheVisitorsSocketAndOpensNoOther(t *testing.T) {
	storetest.OnBothEngines(t, testABanClosesTheVisitorsSocketAndOpensNoOther)
}

func testABanClosesTheVisitorsSocketAndOpensNoOther(t *testing.T, on storetest.Engine) {
	for name, c := range map[string]struct {
		known bool
		ban   func(v visitor) map[string]any
		wide  bool // everybody in this test is there
	}{
		"an anonymous visitor": {false, func(v visitor) map[string]any { return map[string]any{"visitor": v.VisitorID} }, false},
		"a known visitor":      {true, func(v visitor) map[string]any { return map[string]any{"visitor": v.VisitorID} }, false},
		"an address, tagged":   {true, func(visitor) map[string]any { return map[string]any{"email": "U1+new@Buyers.example"} }, false},
		"an external id":       {true, func(visitor) map[string]any { return map[string]any{"external_id": "u1"} }, false},
		"an address's network": {false, func(visitor) map[string]any { return map[string]any{"network": "127.0.0.1"} }, true},
		"a wide network":       {false, func(visitor) map[string]any { return map[string]any{"network": "127.0.0.0/8"} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, on, "")
			h.widgets()
			backend := h.backend()
			v, other := h.visit(map[string]string{}), h.visit(map[string]string{})
			if c.known {
				v = h.visit(map[string]string{"identity": h.visitorJWT("j1", "u1")})
				other = h.visit(map[string]string{"identity": h.visitorJWT("j2", "u2")})
			}
			token, err := backend.Token(t.Context(), v.Token)
			if err != nil {
				t.Fatal(err)
			}
			if d := token.May(policy.ActionChat, office); !d.Allowed || !h.introspects(v.Token) || h.asks(backend, v.Token) != policy.ReasonAllowed {
				t.Fatalf("before the ban: %+v", d)
			}
			in := c.ban(v)
			in["reason"] = "spam"
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			ended := backend.Watch(ctx, token)
			begin := time.Now()
			made := h.control("visitors/ban", in, "")
			<-ended
			if took := time.Since(begin); took > time.Second+200*time.Millisecond || ctx.Err() != nil {
				t.Errorf("the socket closed after %v", took)
			}
			if h.introspects(v.Token) || h.asks(backend, v.Token) != policy.ReasonBanned {
				t.Errorf("asked live: %s", h.asks(backend, v.Token))
			}
			for _, body := range []map[string]string{{"renew": v.Renew}, {"identity": h.visitorJWT("j3", "u1"), "renew": v.Renew}} {
				if a := h.visit(body); a.Error != "access_denied" || a.Reason != policy.ReasonBanned {
					t.Errorf("comes back: %+v", a)
				}
			}
			if a := h.visit(map[string]string{"renew": other.Renew}); (a.Error == "") == c.wide {
				t.Errorf("another visitor: %+v", a)
			}
			h.control("visitors/unban", map[string]any{"ban": made["id"]}, "")
			if a := h.visit(map[string]string{}); a.Error != "" {
				t.Errorf("after the ban: %+v", a)
			}
		})
	}
}

// What is only typed is in no record that a ban could find, so the socket stays open
// until the backend asks or the widget renews.
func TestABanOfAnAddressHoldsForWhoHasOnlyTypedIt(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.widgets()
	backend := h.backend()
	v, other := h.visit(map[string]string{"email": "Spam+7@mail.example"}), h.visit(map[string]string{"email": "no spam@mail.example"})
	h.control("visitors/ban", map[string]any{"email": "spam@mail.example", "reason": "spam"}, "")
	if h.introspects(v.Token) || h.asks(backend, v.Token) != policy.ReasonBanned {
		t.Error("asked live, the ban does not hold")
	}
	if a := h.visit(map[string]string{"renew": v.Renew}); a.Reason != policy.ReasonBanned {
		t.Errorf("%+v", a)
	}
	if !h.introspects(other.Token) {
		t.Error("somebody else is banned")
	}
}

func TestABannedNetworkIsKnownToABackendThatNamesIt(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.widgets()
	backend := h.backend()
	v := h.visit(map[string]string{})
	h.control("visitors/ban", map[string]any{"network": "2001:db8:7::1", "reason": "spam"}, "")
	for address, want := range map[string]string{"2001:db8:7::ffff": policy.ReasonBanned, "2001:db8:7:1::1": policy.ReasonAllowed, "192.0.2.1": policy.ReasonAllowed} {
		d, err := backend.Ask(t.Context(), verify.Question{Token: v.Token, Action: policy.ActionChat, IP: netip.MustParseAddr(address)})
		if err != nil || d.Reason != want {
			t.Errorf("%s: %s %v", address, d.Reason, err)
		}
	}
}
