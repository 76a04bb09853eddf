package policy_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
)

func TestVisitorsMayChatAndNothingElse(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	r := policy.Request{Now: now, Subject: policy.Subject{Type: policy.Visitor, ID: "v", Active: true}}
	for action, want := range map[string]string{
		policy.ActionChat: policy.ReasonAllowed, "chat.accept": policy.ReasonPermission, "visitor.ban": policy.ReasonPermission, "": policy.ReasonPermission,
	} {
		r.Action = action
		if d := policy.Decide(r); d.Reason != want {
			t.Errorf("%q: %s, want %s", action, d.Reason, want)
		}
	}
	r.Action, r.Subject.Type = policy.ActionChat, policy.Agent
	if d := policy.Decide(r); d.Reason != policy.ReasonPermission {
		t.Errorf("an agent may chat as a visitor does: %s", d.Reason)
	}
}

func TestABannedVisitorIsNotAdmittedAndTheAnswerEndsWithTheBan(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	soon := now.Add(2 * time.Second)
	bans, err := policy.CompileBans([]policy.Ban{
		{ID: "1", VisitorID: "v", Reason: "x", Until: soon}, {ID: "2", Network: "192.0.2.0/24", Reason: "x"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(subject, id, ip string, at time.Time) policy.Decision {
		addr, _ := netip.ParseAddr(ip)
		return policy.Decide(policy.Request{
			Now: at, Subject: policy.Subject{Type: subject, ID: id, Active: true, Permissions: []string{policy.ActionChat}}, Action: policy.ActionChat,
			IP: addr, Bans: bans, Known: policy.BanFacts{VisitorIDs: []string{id}},
		})
	}
	if d := ask(policy.Visitor, "v", "", now); d.Reason != policy.ReasonBanned || !d.Until.Equal(soon) {
		t.Errorf("%+v", d)
	}
	if d := ask(policy.Visitor, "v", "", soon); !d.Allowed {
		t.Errorf("when the ban ends: %+v", d)
	}
	if d := ask(policy.Visitor, "w", "::ffff:192.0.2.7", now); d.Reason != policy.ReasonBanned || !d.Until.Equal(now.Add(policy.DefaultKeep)) {
		t.Errorf("%+v", d)
	}
	if d := ask(policy.Visitor, "w", "", now); !d.Allowed {
		t.Errorf("from nowhere known: %+v", d)
	}
	if d := ask(policy.Agent, "v", "192.0.2.7", now); d.Reason == policy.ReasonBanned {
		t.Error("bans are of visitors")
	}
}
