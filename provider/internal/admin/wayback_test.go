package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/breakglass"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// posted is a house with invitations and mails that are only noted.
type posted struct {
	*house
	mails   bool
	notices []string
}

func newPosted(t *testing.T) *posted {
	t.Helper()
	h := &posted{house: newHouse(t)}
	h.InvitationLink = func(_ context.Context, tx store.Tx, s *site.Site, agent store.Agent, by audit.Ref) (string, bool, error) {
		link := store.PasswordLink{AgentID: agent.ID, Hash: "h" + agent.ID, Email: agent.Email, Invites: true, Created: h.Now(), Expires: h.Now().Add(time.Hour)}
		return s.URL("/invitation/secret-of-" + agent.Email), h.mails, store.PasswordLinks.Put(tx, &link)
	}
	h.Notice = func(_ context.Context, _ store.Tx, _ *site.Site, agent store.Agent, kind string) error {
		h.notices = append(h.notices, agent.Email+" "+kind)
		return nil
	}
	h.must("apply", "", whole)
	return h
}

func (h *house) update(fn func(store.Tx) error) {
	h.t.Helper()
	if err := h.Store.Update(h.t.Context(), "", fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) says(op, in string, want ...string) {
	h.t.Helper()
	a := h.do(op, in, "")
	for _, text := range want {
		if a.failure != nil || !strings.Contains(string(a.result), text) {
			h.t.Errorf("%s: %s %+v does not say %s", op, a.result, a.failure, text)
		}
	}
}

const newcomers = `sites: [{path: "", agents: [{email: eve@acme.example, roles: [agents]}, {email: off@acme.example, active: false}, {email: pat@acme.example, password: "Plum-tree lamp 44"}]}]`

func TestANewAgentWithoutAPasswordIsInvited(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	invited := func(a answer) (out []Invitation) {
		var applied Applied
		if a.failure != nil || json.Unmarshal(a.result, &applied) != nil {
			t.Fatalf("%+v", a.failure)
		}
		return applied.Invitations
	}
	if got := invited(h.do("apply", `{"dry_run":true}`, newcomers)); !slices.Equal(got, []Invitation{{Email: "eve@acme.example"}}) {
		t.Errorf("a dry run promises %+v", got)
	}
	if got := invited(h.do("apply", "", newcomers)); !slices.Equal(got, []Invitation{{Email: "eve@acme.example", URL: "https://id.example/invitation/secret-of-eve@acme.example"}}) {
		t.Errorf("%+v", got)
	}
	if got := invited(h.do("apply", "", newcomers)); len(got) > 0 {
		t.Errorf("a second run invites %+v", got)
	}
	h.mails = true
	if got := invited(h.do("agents/add", `{"email":"joe@acme.example"}`, "")); !slices.Equal(got, []Invitation{{Email: "joe@acme.example", Mailed: true}}) {
		t.Errorf("a link that was mailed is shown: %+v", got)
	}
}

func TestAnInvitationGoesToWhoCanUseIt(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	h.says("agents/invite", `{"email":"RAJ@acme.example"}`, "secret-of-raj@acme.example")
	h.says("agents/show", `{"email":"raj@acme.example"}`, `"invited_until"`)
	h.must("agents/deactivate", `{"email":"raj@acme.example"}`, "")
	h.refused("agents/invite", `{"email":"raj@acme.example"}`, "", "usage", "raj@acme.example is inactive: chatelaine agent activate")
	h.refused("agents/invite", `{"email":"nobody@acme.example"}`, "", "not_found", "there is no agent")
	h.InvitationLink = nil
	h.refused("agents/invite", `{"email":"raj@acme.example"}`, "", "usage", "no invitations")
}

func TestWhatIsDoneAboutAPasswordThatLetsNobodyInIsWarnedOf(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	h.must("apply", "", fourLogins)
	h.rehearsed("corp")
	h.must("apply", "", oneSite(`connections: [{id: corp, enforce: true}]`))
	const invited, set, shut = "the invitation leads there, and no password is chosen", "the password lets nobody in", "by break-glass and a rehearsal only"
	by := "connection corp is enforced for their domain: "
	for _, c := range []struct{ op, in, say string }{
		{"agents/invite", `{"email":"raj@acme.example"}`, "agent raj@acme.example: " + by + invited},
		{"agents/set-password", `{"email":"raj@acme.example","password":"Plum-tree lamp 44"}`, by + set},
		{"agents/add", `{"email":"joe@acme.example"}`, "agent joe@acme.example: " + by + invited},
		{"agents/add", `{"email":"jim@acme.example","password":"Plum-tree lamp 44"}`, by + set},
		{"agents/add", `{"email":"jan@acme.example","roles":["administrators"]}`, shut},
		{"agents/invite", `{"email":"ana@acme.example"}`, shut},
	} {
		h.says(c.op, c.in, c.say)
	}
	if got := h.warnings(newcomers); !slices.Equal(got, []string{"agent eve@acme.example: " + by + invited, "agent pat@acme.example: " + by + set}) {
		t.Errorf("%q", got)
	}
	// Who is linked by a rehearsal gets in there, and others of another domain as ever.
	h.update(func(tx store.Tx) error {
		return store.Links.Create(tx, &store.Link{Connection: "corp", Subject: "1", AgentID: h.agent("ana@acme.example").ID, Rehearsed: true})
	})
	h.says("agents/invite", `{"email":"ana@acme.example"}`, invited)
	if a := h.do("agents/add", `{"email":"kim@elsewhere.example"}`, ""); a.failure != nil || strings.Contains(string(a.result), "warning") {
		t.Errorf("%s %+v", a.result, a.failure)
	}
}

func TestUnlockingForgetsFailedSignInsAndWrongCodes(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	ana := h.agent("ana@acme.example")
	now := time.Now()
	h.update(func(tx store.Tx) error {
		return errors.Join(
			store.AllAttempts.Put(tx, &store.Attempts{Key: store.AccountAttempts(ana.Email), Count: 5, Until: now.Add(time.Hour), Expires: now.Add(2 * time.Hour)}),
			store.AllFactorTries.Put(tx, &store.FactorTries{AgentID: ana.ID, Wrong: []int64{now.UnixMilli()}, Expires: now.Add(time.Hour)}))
	})
	h.says("agents/show", `{"email":"ana@acme.example"}`, `"locked_until"`)
	h.says("agents/unlock", `{"email":"ana@acme.example"}`, `"failures":5`, `"wrong_codes":1`, `"locked_until"`)
	h.says("agents/unlock", `{"email":"ana@acme.example"}`, `"failures":0`, `"wrong_codes":0`)
	if a := h.do("agents/show", `{"email":"ana@acme.example"}`, ""); strings.Contains(string(a.result), "locked_until") {
		t.Errorf("%s", a.result)
	}
	if !contains(h.log(), "agent.unlock") {
		t.Errorf("%q", h.log())
	}
}

// signedIn gives the agent a session, a grant in it, a remembered browser and
// an unspent link.
func (h *house) signedIn(agent store.Agent, sid string) {
	h.t.Helper()
	now := time.Now()
	h.update(func(tx store.Tx) error {
		return errors.Join(
			store.Sessions.Put(tx, &store.Session{Hash: "hash" + sid, SID: sid, AgentID: agent.ID, Created: now, Seen: now, Expires: now.Add(time.Hour), End: now.Add(time.Hour), AMR: []string{"pwd"}}),
			store.Grants.Put(tx, &store.Grant{ID: "grant" + sid, Authorization: store.Authorization{ClientID: "desk", AgentID: agent.ID, SID: sid}, Created: now, Expires: now.Add(time.Hour), End: now.Add(time.Hour)}),
			store.Devices.Put(tx, &store.Device{ID: "device" + sid, AgentID: agent.ID, Created: now, Expires: now.Add(time.Hour)}),
			store.PasswordLinks.Put(tx, &store.PasswordLink{AgentID: agent.ID, Hash: "link" + sid, Email: agent.Email, Created: now, Expires: now.Add(time.Hour)}))
	})
}

// left counts what signedIn gave and is still good.
func (h *house) left(agent store.Agent) (said []string) {
	h.t.Helper()
	h.view(func(tx store.Tx) error {
		for s, err := range store.Sessions.List(tx, "agent", agent.ID) {
			said = append(said, "session "+s.SID)
			if err != nil {
				return err
			}
		}
		for g, err := range store.Grants.List(tx, "agent", agent.ID) {
			if err != nil {
				return err
			}
			if !g.Revoked {
				said = append(said, g.ID)
			}
		}
		for d, err := range store.Devices.List(tx, "agent", agent.ID) {
			if err != nil {
				return err
			}
			said = append(said, d.ID)
		}
		link, err := store.PasswordLinks.Has(tx, agent.ID)
		if link {
			said = append(said, "link")
		}
		return err
	})
	return said
}

func TestResettingFactorsEndsWhatWasBegunWithThem(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	ana := h.agent("ana@acme.example")
	h.signedIn(ana, "one")
	h.says("agents/reset-factors", `{"email":"ana@acme.example"}`, `"totp":1`, `"ended":1`, `"required":true`)
	if got := h.left(ana); !slices.Equal(got, []string{"link"}) {
		t.Errorf("left: %q", got)
	}
	if !slices.Equal(h.notices, []string{"ana@acme.example factors_reset"}) {
		t.Errorf("notices: %q", h.notices)
	}
	h.says("agents/reset-factors", `{"email":"ana@acme.example"}`, `"totp":0`)
}

func TestDeactivationEndsEverythingAtOnce(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	raj := h.agent("raj@acme.example")
	h.signedIn(raj, "one")
	h.must("agents/deactivate", `{"email":"raj@acme.example"}`, "")
	h.must("agents/activate", `{"email":"raj@acme.example"}`, "")
	if got := h.left(raj); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
	if !contains(h.feed(), raj.ID+" deactivated") {
		t.Errorf("feed: %q", h.feed())
	}
}

func TestAPasswordThatAnOperatorSetsEndsEverythingAndIsTold(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	raj := h.agent("raj@acme.example")
	h.signedIn(raj, "one")
	h.must("agents/set-password", `{"email":"raj@acme.example","password":"Another lamp, 17"}`, "")
	if got := h.left(raj); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
	if !slices.Equal(h.notices, []string{"raj@acme.example password_reset"}) {
		t.Errorf("notices: %q", h.notices)
	}
}

func TestOneSessionIsEndedAndOthersStay(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	ana, raj := h.agent("ana@acme.example"), h.agent("raj@acme.example")
	h.signedIn(raj, "one")
	h.signedIn(raj, "two")
	h.signedIn(ana, "three")
	h.says("agents/sessions", `{"email":"raj@acme.example"}`, `"sid":"one"`, `"sid":"two"`, `"amr":["pwd"]`)
	h.refused("agents/end-sessions", `{"email":"raj@acme.example","sid":"three"}`, "", "not_found", "there is no session three of raj@acme.example")
	h.says("agents/end-sessions", `{"email":"raj@acme.example","sid":"one"}`, `"ended":1`)
	if got := h.left(raj); !contains(got, "session two") || contains(got, "session one") || contains(got, "grantone") {
		t.Errorf("left: %q", got)
	}
	if got := h.left(ana); !contains(got, "session three") {
		t.Errorf("left: %q", got)
	}
	h.says("agents/end-sessions", `{"email":"raj@acme.example"}`, `"ended":1`)
	if !slices.Equal(h.notices, []string{"raj@acme.example sessions_ended"}) {
		t.Errorf("notices: %q", h.notices)
	}
}

func TestARemovedAgentTakesEverythingAlong(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	raj := h.agent("raj@acme.example")
	h.signedIn(raj, "one")
	now := time.Now()
	h.update(func(tx store.Tx) error {
		return errors.Join(
			store.Outbox.Put(tx, &store.OutboxMail{ID: store.NewMailID(now), Name: "reset", AgentID: raj.ID, Address: store.MailAddress(raj.Email), Body: []byte("sealed"), Created: now, Due: now, GiveUp: now.Add(time.Hour), Expires: now.Add(time.Hour)}),
			store.Consents.Put(tx, &store.Consent{AgentID: raj.ID, ClientID: "desk", Given: now}),
			store.RecoveryCodes.Put(tx, &store.RecoverySet{AgentID: raj.ID, Hashes: [][]byte{{1}}}),
			store.Activities.Put(tx, &store.Activity{Key: store.ActivityKey(raj.ID, now, "x"), Time: now, Expires: now.Add(time.Hour)}),
			store.AllAttempts.Put(tx, &store.Attempts{Key: store.AccountAttempts(raj.Email), Count: 5, Expires: now.Add(time.Hour)}))
	})
	if lines := h.must("agents/delete", `{"email":"raj@acme.example"}`, ""); !slices.Equal(lines, []string{"- agent raj@acme.example"}) {
		t.Errorf("%q", lines)
	}
	h.refused("agents/delete", `{"email":"raj@acme.example"}`, "", "not_found", "there is no agent raj@acme.example")
	h.refused("agents/delete", `{"email":"ana@acme.example"}`, "", "usage", "without an active administrator")
	if got := h.left(raj); len(got) > 0 {
		t.Errorf("left: %q", got)
	}
	h.view(func(tx store.Tx) error {
		for what, count := range map[string]func() (bool, error){
			"a mail":         func() (bool, error) { return some(store.Outbox.Keys(tx, "address", store.MailAddress(raj.Email))) },
			"a consent":      func() (bool, error) { return some(store.Consents.Keys(tx, "agent", raj.ID)) },
			"recovery codes": func() (bool, error) { return store.RecoveryCodes.Has(tx, raj.ID) },
			"failures":       func() (bool, error) { return store.AllAttempts.Has(tx, store.AccountAttempts(raj.Email)) },
			"activity": func() (bool, error) {
				list, err := store.ListActivities(tx, raj.ID, "", 9)
				return len(list) > 0, err
			},
		} {
			if found, err := count(); err != nil || found {
				t.Errorf("%s is left (%v)", what, err)
			}
		}
		return nil
	})
}

func some(keys func(func(string, error) bool)) (bool, error) {
	for _, err := range keys {
		return true, err
	}
	return false, nil
}

func TestARemovedClientTakesItsGrantsAndConsentsAlong(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	h.must("apply", "", `sites: [{path: "", clients: [{client_id: desk, redirect_uris: ["https://rp.example/cb"]}, {client_id: app, redirect_uris: ["https://rp.example/cb"]}]}]`)
	now := time.Now()
	h.update(func(tx store.Tx) error {
		for i := range 3*sweepBatch + 1 {
			for _, client := range []string{"desk", "app", "old"} {
				id := fmt.Sprintf("%s-%d", client, i)
				g := store.Grant{ID: id, Authorization: store.Authorization{ClientID: client, AgentID: id}, Created: now, Expires: now.Add(time.Hour), End: now.Add(time.Hour)}
				err := errors.Join(store.Grants.Put(tx, &g), store.Consents.Put(tx, &store.Consent{AgentID: id, ClientID: client, Given: now}),
					store.OpaqueTokens.Put(tx, &store.OpaqueToken{Hash: id, GrantID: id, Claims: []byte(`{}`), Expires: now.Add(time.Hour)}))
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	h.must("apply", `{"prune":true}`, `sites: [{path: "", clients: [{client_id: app}, {client_id: old, redirect_uris: ["https://rp.example/cb"]}]}]`)
	h.must("clients/delete", `{"client_id":"old"}`, "")
	h.view(func(tx store.Tx) error {
		for client, want := range map[string]bool{"desk": false, "app": true, "old": false} {
			grants, err := some(store.Grants.Keys(tx, "client", client))
			consents, err2 := some(store.Consents.Keys(tx, "client", client))
			tokens, err3 := store.OpaqueTokens.Has(tx, client+"-7")
			if err := errors.Join(err, err2, err3); err != nil || grants != want || consents != want || tokens != want {
				t.Errorf("%s: grants %v, consents %v, tokens %v, %v", client, grants, consents, tokens, err)
			}
		}
		return nil
	})
}

func TestBreakGlassLiftsOneControlAndSaysSo(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	h.says("break-glass/status", "", `"codes":0`)
	h.refused("break-glass/lift", `{"control":"passwords","minutes":5}`, "", "usage", "control is one of second_factor, allowlist, single_sign_on")
	h.refused("break-glass/lift", `{"control":"allowlist","minutes":16}`, "", "usage", "minutes is 1 to 15")
	h.refused("break-glass/lift", `{"control":"allowlist"}`, "", "usage", "minutes is 1 to 15")
	h.says("break-glass/lift", `{"control":"second_factor","minutes":5}`, `"control":"second_factor"`, `"by":"operator:tess"`, `"how":"shell"`)
	h.says("break-glass/status", "", `"control":"second_factor"`)
	h.refused("break-glass/lift", `{"control":"allowlist","minutes":5}`, "", "usage", "second_factor is lifted already, until ")
	h.view(func(tx store.Tx) error {
		up, err := store.Lifted(tx, store.ControlSecondFactor, time.Now())
		if !up {
			t.Error("it is not lifted")
		}
		return err
	})
	h.says("break-glass/end", "", `"control":"second_factor"`)
	if a := h.do("break-glass/end", "", ""); a.failure != nil || strings.Contains(string(a.result), "control") {
		t.Errorf("ended twice: %s", a.result)
	}
	h.says("break-glass/lift", `{"control":"allowlist","minutes":5}`, `"off":true`)
	if said := h.log(); !contains(said, "break_glass.lift") || !contains(said, "break_glass.end") {
		t.Errorf("%q", said)
	}
}

func TestOfflineCodesAreShownOnceAndReplaceEarlierOnes(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	codes := func() (out struct{ Codes []string }) {
		if a := h.do("break-glass/codes", "", ""); a.failure != nil || json.Unmarshal(a.result, &out) != nil || len(out.Codes) != breakglass.Codes {
			t.Fatalf("%s %+v", a.result, a.failure)
		}
		return out
	}
	old, fresh := codes().Codes[0], codes().Codes[0]
	h.says("break-glass/status", "", fmt.Sprintf(`"codes":%d`, breakglass.Codes))
	s, err := h.Sites.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	h.update(func(tx store.Tx) error {
		for code, works := range map[string]bool{old: false, strings.ToLower(fresh): true} {
			_, ok, err := h.Glass.Use(t.Context(), tx, s, code, store.ControlAllowlist, audit.Ref{Type: "agent", ID: "ana"})
			if err != nil || ok != works {
				t.Errorf("%s works: %v, %v", code, ok, err)
			}
		}
		return nil
	})
	if exported := string(h.do("export", "", "").raw); strings.Contains(exported, old) || strings.Contains(exported, fresh) {
		t.Error("an export shows a code")
	}
}

func TestAWithdrawnKeyTakesEveryTokenWithIt(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	h.must("keys/withdraw", `{"alg":"ES256"}`, "")
	h.refused("keys/withdraw", `{"alg":"EdDSA"}`, "", "usage", "the site has no EdDSA key")
	if !strings.Contains(fmt.Sprint(h.feed()), "key_withdrawn") {
		t.Errorf("feed: %q", h.feed())
	}
	list, err := h.Keys.List(t.Context(), "")
	states := map[string]int{}
	for _, k := range list {
		states[k.Alg+" "+k.State]++
	}
	if err != nil || states["ES256 active"] != 1 || states["ES256 withdrawn"] != 1 || states["RS256 active"] != 1 {
		t.Errorf("%v %v", states, err)
	}
}

func TestANewSiteThatAsksForEdDSASignsWithItAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a := h.do("apply", "", `sites: [{path: "", clients: [{client_id: desk, redirect_uris: ["https://rp.example/cb"], id_token_signed_response_alg: EdDSA}]}]`)
	if a.failure != nil || strings.Contains(string(a.result), "signs from") {
		t.Errorf("%s %+v", a.result, a.failure)
	}
	s, err := h.Sites.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if algs, err := h.Keys.Algs(t.Context(), s); err != nil || !slices.Contains(algs, keys.EdDSA) {
		t.Errorf("%v %v", algs, err)
	}
	h.must("apply", "", `sites: [{path: two, name: Two}]`)
	if a := h.do("apply", "", `sites: [{path: two, resources: [{identifier: "https://chat.example", scopes: [chat], signing_alg: EdDSA}]}]`); !strings.Contains(string(a.result), "signs from") {
		t.Errorf("%s %+v", a.result, a.failure)
	}
}
