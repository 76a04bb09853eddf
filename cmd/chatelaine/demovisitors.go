package main

import (
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
)

// banFor is how long the desk bans a visitor.
const banFor = 10 * time.Minute

const banAction = "visitor.ban"

// deskVisitor is a visitor of the shop's chat, as the desk shows them.
type deskVisitor struct {
	talkInfo
	Ban string `json:"ban"` // its id; empty: not banned
}

// visitors lists who chats, and says whether this agent may ban them.
func (x *desk) visitors(w http.ResponseWriter, r *http.Request) {
	s, token := x.session(r)
	if s == nil {
		http.Error(w, "signed out", http.StatusUnauthorized)
		return
	}
	var found struct {
		Bans []struct {
			ID      string `json:"id"`
			Visitor string `json:"visitor"`
		} `json:"bans"`
	}
	if err := x.demo.control.do(r.Context(), request{op: "visitors/bans", in: map[string]any{"limit": 100}, out: &found}); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	bans := map[string]string{}
	for _, b := range found.Bans {
		bans[b.Visitor] = b.ID
	}
	list := []deskVisitor{}
	for _, t := range x.demo.talks.list() {
		list = append(list, deskVisitor{t, bans[t.Visitor]})
	}
	writeJSON(w, map[string]any{"visitors": list, "may_ban": slices.Contains(token.Entitlements, banAction)})
}

// ban keeps a visitor out, or lets them in again. The backend asks Chatelaine
// whether the agent may, since this is worth a call.
func (x *desk) ban(w http.ResponseWriter, r *http.Request) {
	s, _ := x.session(r)
	if s == nil {
		http.Error(w, "signed out", http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	raw := s.access
	s.mu.Unlock()
	visitor := r.PostFormValue("visitor")
	may, err := x.chat.client.Ask(r.Context(), verify.Question{
		Token: raw, Action: banAction, Resource: policy.Resource{Type: policy.Visitor, ID: visitor}, IP: netip.MustParseAddr("127.0.0.1"),
	})
	if err != nil || !may.Allowed {
		http.Error(w, "refused: "+may.Reason, http.StatusForbidden)
		return
	}
	ask := request{op: "visitors/ban", in: map[string]any{"visitor": visitor, "reason": "by " + s.Email + ", at the sample desk", "until": time.Now().Add(banFor)}}
	if id := r.PostFormValue("lift"); id != "" {
		ask = request{op: "visitors/unban", in: map[string]any{"ban": id}}
	}
	if err := x.demo.control.do(r.Context(), ask); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
