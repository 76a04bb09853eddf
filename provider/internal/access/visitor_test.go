package access

import (
	"net/netip"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

var operator = audit.Ref{Type: "operator", ID: "root"}

func (h *house) ban(b store.Ban) store.Ban {
	h.t.Helper()
	b.Reason = "spam"
	made, err := h.known.Ban(h.t.Context(), h.site(), b, operator)
	h.ok(err)
	return made
}

func (h *house) visitorToken(id, sid, assurance, ip string) string {
	h.t.Helper()
	jti, err := h.known.TokenID(h.t.Context(), "", netip.MustParseAddr(ip), h.now())
	h.ok(err)
	return h.sign(map[string]any{
		"iss": testIssuer, "sub": id, "aud": testResource, "client_id": records.ClientID, "sid": sid, "site": "", "subject_type": "visitor", "acr": assurance, "assurance": assurance,
		"jti": jti, "auth_time": h.now().Unix(), "iat": h.now().Unix(), "iat_ms": h.now().UnixMilli(), "exp": h.now().Add(5 * time.Minute).Unix(),
	})
}

func about(token, action, ip string) string {
	return `{"action":{"name":"` + action + `"},"context":{"token":"` + token + `","ip":"` + ip + `"}}`
}

func TestAVisitorMayChatUntilTheyAreBannedAndAgainAfterwards(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		v := store.Visitor{ID: "vera", Sessions: []store.VisitorSession{{SID: "s1", Connection: "shop", Assurance: "signed"}}, Created: h.now(), Seen: h.now()}
		h.update(func(tx store.Tx) error {
			return h.known.Write(tx, &v, &records.Person{VisitorFields: store.VisitorFields{ExternalID: "u1", Email: "vera@buyers.example"}})
		})
		token := h.visitorToken("vera", "s1", "signed", "192.0.2.1")
		h.wantAnswer("CHAT", about(token, policy.ActionChat, ""), policy.ReasonAllowed)
		h.wantAnswer("CHAT", about(token, "chat.accept", ""), policy.ReasonPermission)
		h.wantAnswer("OTHER", about(token, policy.ActionChat, ""), policy.ReasonAudienceMismatch)
		made := h.ban(store.Ban{Email: "vera@buyers.example"})
		h.wantAnswer("CHAT", about(token, policy.ActionChat, ""), policy.ReasonBanned)
		h.ok(h.known.Unban(t.Context(), h.site(), made.ID, operator))
		h.wantAnswer("CHAT", about(token, policy.ActionChat, ""), policy.ReasonRevoked) // as the feed says
	})
}

func TestAVisitorIsJudgedByIDAndAddressToo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	ask := func(id, ip string) string {
		return `{"subject":{"type":"visitor","id":"` + id + `"},"action":{"name":"chat.start"},"context":{"ip":"` + ip + `"}}`
	}
	h.wantAnswer("CHAT", ask("anna", ""), policy.ReasonAllowed)
	h.ban(store.Ban{VisitorID: "anna"})
	h.ban(store.Ban{Network: "203.0.113.0/24"})
	h.wantAnswer("CHAT", ask("anna", ""), policy.ReasonBanned)
	h.wantAnswer("CHAT", ask("otto", "203.0.113.9"), policy.ReasonBanned)
	h.wantAnswer("CHAT", ask("otto", "::ffff:203.0.113.9"), policy.ReasonBanned)
	h.wantAnswer("CHAT", ask("otto", "198.51.100.9"), policy.ReasonAllowed)
	h.update(func(tx store.Tx) error { // anna turned out to be vera
		return store.Visitors.Put(tx, &store.Visitor{ID: "anna", Alias: "vera", Created: h.now(), Seen: h.now()})
	})
	v := store.Visitor{ID: "vera", Created: h.now(), Seen: h.now()}
	h.update(func(tx store.Tx) error { return h.known.Write(tx, &v, &records.Person{}) })
	h.wantAnswer("CHAT", ask("vera", ""), policy.ReasonBanned)
}

func TestATimedBanEndsToTheSecond(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.ban(store.Ban{VisitorID: "anna", Until: h.now().Add(time.Hour)})
	ask := `{"subject":{"type":"visitor","id":"anna"},"action":{"name":"chat.start"}}`
	h.clock.Add(int64(time.Hour - 6*time.Second))
	h.wantAnswer("CHAT", ask, policy.ReasonBanned)
	h.clock.Add(int64(6*time.Second + time.Millisecond))
	h.wantAnswer("CHAT", ask, policy.ReasonAllowed)
}
