package admin

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// rehearsed says that an administrator has rehearsed the connection.
func (h *house) rehearsed(id string) {
	h.t.Helper()
	c := h.connection(id)
	c.Rehearsed, c.RehearsedBy = h.Now(), h.agent("ana@acme.example").ID
	h.update(func(tx store.Tx) error { return store.Connections.Put(tx, &c) })
}

func TestEnforcementWaitsForARehearsalSinceTheLastChange(t *testing.T) {
	storetest.OnBothEngines(t, testEnforcementWaitsForARehearsalSinceTheLastChange)
}

func testEnforcementWaitsForARehearsalSinceTheLastChange(t *testing.T, on storetest.Engine) {
	h := newHouseOn(t, on)
	enforced := strings.Replace(fourLogins, "enforce: false", "enforce: true", 1)
	h.refused("apply", "", enforced, "usage", "enforce needs a rehearsal first")
	h.must("apply", "", fourLogins)
	h.refused("apply", "", enforced, "usage", "chatelaine connection rehearse corp")
	h.rehearsed("corp")
	other := strings.Replace(enforced, "idp.acme.example", "idp2.acme.example", 1)
	h.refused("apply", "", other, "usage", "enforce needs a rehearsal since the last change")
	if lines := h.must("apply", "", enforced); len(lines) != 1 || lines[0] != "~ connection corp: enforce (none) → true" {
		t.Errorf("%q", lines)
	}
	if lines := h.must("apply", "", enforced); len(lines) > 0 {
		t.Errorf("again: %q", lines)
	}
	// What a rehearsal does not cover may change, and it stays enforced.
	before := h.connection("corp").Changed
	h.must("apply", "", strings.Replace(strings.Replace(enforced, "name: Acme SSO", "name: Acme", 1), "enforce: true", "enforce: true, default: true", 1))
	if c := h.connection("corp"); !c.EnforceReady() || !c.Changed.Equal(before) || !c.Enforces("acme.example", []string{"acme.example"}) {
		t.Errorf("%+v", c)
	}
	// A file that is silent about enforcement does not lose it by another change.
	h.refused("apply", "", oneSite(`connections: [{id: corp, sign_requests: false}]`), "usage", "enforce needs a rehearsal since")
	h.must("apply", "", oneSite(`connections: [{id: corp, sign_requests: false, enforce: false}]`))
	if c := h.connection("corp"); c.EnforceReady() {
		t.Error("it is still ready after a change")
	}
	h.refused("apply", "", oneSite(`connections: [{id: corp, enforce: true}]`), "usage", "enforce needs a rehearsal since")
}

func TestWhoIsShutOutByEnforcementIsNamed(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouseOn(t, on)
		h.must("apply", "", fourLogins)
		var more []string
		for _, name := range []string{"bo", "cy", "di", "ed", "fay", "gus"} {
			more = append(more, `{email: `+name+`@acme.example, password: "Plum-tree lamp 42", roles: [administrators]}`)
		}
		more = append(more, `{email: hal@elsewhere.example, password: "Plum-tree lamp 42", roles: [administrators]}`, `{email: ira@acme.example, password: "Plum-tree lamp 42", roles: [agents]}`)
		h.must("apply", "", oneSite("agents: ["+strings.Join(more, ", ")+"]"))
		h.rehearsed("corp")
		h.update(func(tx store.Tx) error {
			return store.Links.Create(tx, &store.Link{Connection: "corp", Subject: "1", AgentID: h.agent("bo@acme.example").ID, Rehearsed: true})
		})
		enforced := oneSite(`connections: [{id: corp, enforce: true}]`)
		want := "connection corp: administrators who have not rehearsed it get in by break-glass alone from now on: ana@acme.example, cy@acme.example, di@acme.example, ed@acme.example, fay@acme.example and 1 more"
		if got := h.warnings(enforced); len(got) != 1 || got[0] != want {
			t.Errorf("%q", got)
		}
		if got := h.warnings(enforced); len(got) > 0 { // as it was
			t.Errorf("again: %q", got)
		}
	})
}

func TestARehearsalByAClockThatWasAheadCoversNoLaterChange(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouseOn(t, on)
		h.must("apply", "", fourLogins)
		h.rehearsed("corp")
		c := h.connection("corp")
		c.Rehearsed = c.Rehearsed.Add(time.Minute)
		h.update(func(tx store.Tx) error { return store.Connections.Put(tx, &c) })
		other := strings.Replace(strings.Replace(fourLogins, "idp.acme.example", "idp2.acme.example", 1), "enforce: false", "enforce: true", 1)
		h.refused("apply", "", other, "usage", "enforce needs a rehearsal since the last change")
		h.must("apply", "", strings.Replace(other, "enforce: true", "enforce: false", 1))
		h.refused("apply", "", other, "usage", "enforce needs a rehearsal since the last change")
	})
}

func TestASecretChangesWhenItIsGivenAndStaysWhenItIsNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", fourLogins)
	before := h.connection("portal")
	lines := h.must("apply", "", strings.Replace(fourLogins, "portal-secret-b", "portal-secret-n", 1))
	if len(lines) != 1 || lines[0] != "~ connection portal: keys b secret set → changed" {
		t.Errorf("%q", lines)
	}
	changed := h.connection("portal")
	if !slices.Equal(before.JWT.Keys[0].Secret, changed.JWT.Keys[0].Secret) || slices.Equal(before.JWT.Keys[1].Secret, changed.JWT.Keys[1].Secret) || !changed.Changed.After(before.Changed) {
		t.Error("the wrong key changed")
	}
	lines = h.must("apply", "", oneSite(`connections: [{id: portal, keys: [{kid: b}, {kid: c, secret: `+secretA+`}]}]`))
	if text := strings.Join(lines, "\n"); !strings.Contains(text, "keys a secret set → removed") || !strings.Contains(text, "keys c secret (none) → set") {
		t.Errorf("%q", lines)
	}
	now := h.connection("portal")
	if len(now.JWT.Keys) != 2 || !slices.Equal(now.JWT.Keys[0].Secret, changed.JWT.Keys[1].Secret) || now.JWT.Keys[0].Alg != "HS512" {
		t.Errorf("%+v", now.JWT.Keys)
	}
	h.must("apply", "", oneSite(`connections: [{id: portal, keys: [{kid: b, alg: HS256}, {kid: c}]}]`))
	h.refused("apply", "", oneSite(`connections: [{id: portal, keys: [{kid: b, alg: RS256}, {kid: c}]}]`), "usage", `line 3: connection portal: key "b": alg RS256 is not of the kind`)
	entra := h.connection("entra").OIDC.ClientSecret
	h.must("apply", "", oneSite(`connections: [{id: entra, name: Microsoft}]`))
	if !slices.Equal(entra, h.connection("entra").OIDC.ClientSecret) {
		t.Error("the client secret changed")
	}
	exported := string(h.do("audit/export", `{"format":"jsonl"}`, "").raw)
	for _, secret := range []string{"portal-secret", "entra-secret", "secret-a-0123"} {
		if strings.Contains(exported, secret) {
			t.Errorf("the audit log holds %s", secret)
		}
	}
	for _, action := range []string{"connection.create", "connection.update"} {
		if !slices.Contains(h.log(), action) {
			t.Errorf("no %s in the audit log", action)
		}
	}
}

func TestAConnectionsKindAndPopulationStay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", fourLogins)
	h.refused("apply", "", oneSite(`connections: [{id: entra, kind: jwt}]`), "usage", "cannot be changed")
	h.refused("apply", "", oneSite(`connections: [{id: entra, for: visitors}]`), "usage", "cannot be changed")
	h.refused("apply", "", oneSite(`connections: [{id: entra, metadata_url: "https://x.example/"}]`), "usage", "metadata_url is for kind saml")
	h.must("apply", "", oneSite(`connections: [{id: corp, sso_url: "https://i.example/in", entity_id: i, certificates: [`+quoted(certificate(t, time.Now().Add(-time.Hour), time.Now().Add(9999*time.Hour)))+`]}]`))
	if c := h.connection("corp").SAML; c.MetadataURL != "" || c.SSOURL == "" || !c.SignRequests {
		t.Errorf("%+v", c)
	}
}

// signedInBy gives ana a link to the connection and a session that began there.
func (h *house) signedInBy(connection, sid string) {
	h.t.Helper()
	ana, now := h.agent("ana@acme.example"), time.Now().UTC()
	h.update(func(tx store.Tx) error {
		if err := store.Links.Put(tx, &store.Link{Connection: connection, Subject: "ana-" + connection, AgentID: ana.ID, Created: now}); err != nil {
			return err
		}
		if err := store.Answers.Put(tx, &store.Answer{Hash: "answer-" + connection, Connection: connection, Expires: now.Add(time.Minute)}); err != nil {
			return err
		}
		if err := store.SignIns.Put(tx, &store.SignIn{ID: "half-" + sid, AgentID: ana.ID, Login: store.Login{Connection: connection}, Started: now, Expires: now.Add(time.Hour)}); err != nil {
			return err
		}
		return store.Sessions.Put(tx, &store.Session{
			Hash: "hash-" + sid, SID: sid, AgentID: ana.ID, AuthTime: now, Created: now, Seen: now, Expires: now.Add(time.Hour), End: now.Add(time.Hour),
			Login: store.Login{Connection: connection, Subject: "ana-" + connection},
		})
	})
}

// leftOf is what the store still has of those that signedInBy made.
func (h *house) leftOf(connection string) (links, sessions, answers, halfDone int) {
	h.t.Helper()
	h.view(func(tx store.Tx) (err error) {
		if links, err = countBy(tx, &store.Links, "connection", connection); err != nil {
			return err
		}
		if sessions, err = countBy(tx, &store.Sessions, "connection", connection); err != nil {
			return err
		}
		for range store.Answers.All(tx, "") {
			answers++
		}
		for range store.SignIns.All(tx, "") {
			halfDone++
		}
		return nil
	})
	return links, sessions, answers, halfDone
}

func TestADisabledConnectionEndsWhatBeganThereAndKeepsItsLinks(t *testing.T) {
	storetest.OnBothEngines(t, testADisabledConnectionEndsWhatBeganThereAndKeepsItsLinks)
}

func testADisabledConnectionEndsWhatBeganThereAndKeepsItsLinks(t *testing.T, on storetest.Engine) {
	h := newHouseOn(t, on)
	h.must("apply", "", fourLogins)
	h.signedInBy("corp", "s1")
	h.must("apply", "", oneSite(`connections: [{id: corp, disabled: true}]`))
	if links, sessions, answers, halfDone := h.leftOf("corp"); links != 1 || sessions+answers+halfDone != 0 {
		t.Errorf("left: %d links, %d sessions, %d answers, %d sign-ins", links, sessions, answers, halfDone)
	}
	if feed := h.feed(); !slices.Contains(feed, "s1 connection_disabled") {
		t.Errorf("the feed says %q", feed)
	}
	if lines := h.must("apply", "", oneSite(`connections: [{id: corp, disabled: false}]`)); len(lines) != 1 {
		t.Errorf("%q", lines)
	}
	h.view(func(tx store.Tx) error {
		c, err := store.Connections.Get(tx, "corp")
		if err != nil || c.Resumed.IsZero() || !c.Resumed.After(c.Changed) {
			t.Errorf("on again at %v, changed at %v: %v", c.Resumed, c.Changed, err)
		}
		return nil
	})
}

func TestARemovedConnectionTakesItsLinksKeysAndSessionsWithIt(t *testing.T) {
	storetest.OnBothEngines(t, testARemovedConnectionTakesItsLinksKeysAndSessionsWithIt)
}

func testARemovedConnectionTakesItsLinksKeysAndSessionsWithIt(t *testing.T, on storetest.Engine) {
	h := newHouseOn(t, on)
	h.must("apply", "", fourLogins)
	h.signedInBy("corp", "s1")
	h.update(func(tx store.Tx) error {
		if err := store.AllFetched.Put(tx, &store.Fetched{Connection: "corp", URL: "https://idp.acme.example/metadata"}); err != nil {
			return err
		}
		return store.ConnectionKeys.Put(tx, &store.ConnectionKey{ID: "corp/1", Connection: "corp"})
	})
	only := oneSite("connections: [{id: portal}, {id: entra}, {id: shop}]")
	if lines := h.must("apply", "", only); len(lines) > 0 {
		t.Fatalf("without --prune: %q", lines)
	}
	if lines := h.must("apply", `{"prune":true}`, only); len(lines) != 1 || lines[0] != "- connection corp" {
		t.Errorf("%q", lines)
	}
	if links, sessions, answers, halfDone := h.leftOf("corp"); links+sessions+answers+halfDone != 0 {
		t.Errorf("left: %d links, %d sessions, %d answers, %d sign-ins", links, sessions, answers, halfDone)
	}
	h.view(func(tx store.Tx) error {
		if has, _ := store.AllFetched.Has(tx, "corp"); has {
			t.Error("its metadata is still there")
		}
		if has, _ := store.ConnectionKeys.Has(tx, "corp/1"); has {
			t.Error("its keys are still there")
		}
		return nil
	})
	if !slices.Contains(h.feed(), "s1 connection_removed") || !slices.Contains(h.log(), "connection.delete") {
		t.Errorf("feed %q, log %q", h.feed(), h.log())
	}
	h.must("apply", `{"prune":true}`, oneSite("connections: [{id: portal}, {id: entra}]"))
	if !slices.Contains(h.feed(), "visitor connection_removed") {
		t.Errorf("visitors are not told: %q", h.feed())
	}
}

func TestAnAnswerThatWasVerifiedByTheOldConfigurationIsWorthNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", fourLogins)
	h.signedInBy("corp", "s1")
	h.must("apply", "", oneSite(`connections: [{id: corp, name: Acme}]`))
	if _, _, answers, _ := h.leftOf("corp"); answers != 1 {
		t.Error("a new name took the answers away")
	}
	h.must("apply", "", oneSite(`connections: [{id: corp, require_encryption: true}]`))
	if _, sessions, answers, _ := h.leftOf("corp"); sessions != 1 || answers != 0 {
		t.Errorf("%d sessions, %d answers", sessions, answers)
	}
}

func TestAConnectionThatIsGivenAnotherProviderKnowsNobodyOfTheFirst(t *testing.T) {
	storetest.OnBothEngines(t, testAConnectionThatIsGivenAnotherProviderKnowsNobodyOfTheFirst)
}

func testAConnectionThatIsGivenAnotherProviderKnowsNobodyOfTheFirst(t *testing.T, on storetest.Engine) {
	h := newHouseOn(t, on)
	h.must("apply", "", fourLogins)
	step := func(connection, change string, another bool) {
		t.Helper()
		h.signedInBy(connection, "s-"+connection)
		before := h.connection(connection)
		warnings := h.warnings(oneSite("connections: [{id: " + connection + ", " + change + "}]"))
		after, warned := h.connection(connection), strings.Contains(strings.Join(warnings, "\n"), "its provider is another")
		links, sessions, _, halfDone := h.leftOf(connection)
		if gone := links+sessions+halfDone == 0; gone != another || warned != another || (after.Since() != before.Since()) != another || !after.Created.Equal(before.Created) {
			t.Errorf("%s, %s: %d links, %d sessions, %d sign-ins left, warned %v, since %v then %v: %q", connection, change, links, sessions, halfDone, warned, before.Since(), after.Since(), warnings)
		}
	}
	step("entra", `client_id: desk-2`, false)
	step("entra", `issuer: "https://login.microsoftonline.com/0b1c2d3e-0000-4000-8000-000000000002/v2.0"`, true)
	step("portal", `login_url: "https://portal.acme.example/in2"`, false)
	step("portal", `keys: [{kid: a, secret: "portal-secret-c-0123456789-abcdefgh"}]`, false)
	step("portal", `login_url: "https://moved.acme.example/in"`, false)
	step("portal", `login_url: "https://portal.else.example/in", keys: [{kid: z, secret: "portal-secret-z-0123456789-abcdefgh"}]`, true)
	step("corp", `subject: badgeNumber`, true)
	step("corp", `subject: ""`, true)
	step("portal", `issuer: "https://portal.acme.example"`, false)
	step("portal", `issuer: "https://portal.else.example"`, true)
	step("corp", `metadata_url: "https://idp.else.example/metadata"`, true)
	step("corp", `entity_id: "https://idp.else.example"`, false) // of whom nothing was ever read
	step("corp", `metadata_url: "https://idp.else.example/moved"`, false)
	step("corp", `entity_id: "https://idp.acme.example"`, true)
	h.update(func(tx store.Tx) error {
		return store.AllFetched.Put(tx, &store.Fetched{Connection: "corp", URL: "https://idp.else.example/moved", Body: []byte(`<EntityDescriptor entityID="https://idp.acme.example">`)})
	})
	step("corp", `entity_id: ""`, false)
	step("corp", `entity_id: "https://idp.acme.example"`, false)
}

func TestAPublicClientHasNoSecret(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", fourLogins)
	if len(h.connection("entra").OIDC.ClientSecret) == 0 {
		t.Fatal("no secret to begin with")
	}
	h.must("apply", "", oneSite("connections: [{id: entra, token_endpoint_auth_method: none}]"))
	if len(h.connection("entra").OIDC.ClientSecret) > 0 {
		t.Error("the secret is still there")
	}
	h.refused("apply", "", oneSite(`connections: [{id: entra, client_secret: "a-secret-0123456789-abcdefghijkl"}]`), "usage", "there is no client_secret")
}

func TestARoleThatAMapLeadsToIsNotPruned(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", fourLogins)
	h.refused("apply", `{"prune":true}`, oneSite("roles: []"), "usage", "role supervisors is still in the role_map of connection corp")
}

func TestBansOfTheFileStandAndOnlyTheyArePruned(t *testing.T) {
	storetest.OnBothEngines(t, testBansOfTheFileStandAndOnlyTheyArePruned)
}

func testBansOfTheFileStandAndOnlyTheyArePruned(t *testing.T, on storetest.Engine) {
	h := newHouseOn(t, on)
	h.must("apply", "", fourLogins)
	h.says("visitors/ban", `{"network":"198.51.100.7","reason":"by hand"}`, `"network":"198.51.100.7/32"`, `"by":"tess"`)
	bans := func() (all []store.Ban) {
		h.view(func(tx store.Tx) error {
			for b, err := range store.Bans.All(tx, "") {
				if err != nil {
					return err
				}
				all = append(all, b)
			}
			return nil
		})
		return all
	}
	if got := bans(); len(got) != 3 {
		t.Fatalf("%+v", got)
	}
	if lines := h.must("apply", "", strings.Replace(fourLogins, "reason: spam", "reason: more spam", 1)); len(lines) != 1 || !strings.Contains(lines[0], "reason spam → more spam") {
		t.Errorf("%q", lines)
	}
	lines := h.must("apply", `{"prune":true}`, oneSite("visitor_bans: [{email: eve+1@evil.example, reason: more spam}]"))
	if len(lines) != 1 || lines[0] != "- ban network 2001:db8::/64" {
		t.Errorf("%q", lines)
	}
	if got := bans(); len(got) != 2 {
		t.Errorf("%+v", got)
	}
	for _, action := range []string{"visitor.ban", "visitor.unban"} {
		if !slices.Contains(h.log(), action) {
			t.Errorf("no %s in the audit log", action)
		}
	}
	if slices.Contains(h.log(), "ban.create") {
		t.Error("a ban is recorded twice")
	}
	h.refused("visitors/ban", `{"reason":"x"}`, "", "usage", "")
	h.refused("visitors/ban", `{"email":"e@evil.example"}`, "", "usage", "say why")
	h.refused("visitors/unban", `{"ban":"none"}`, "", "not_found", "there is no ban none")
	h.says("visitors/ban", `{"network":"0.0.0.0/0","reason":"x","dry_run":true}`, "is everybody", `"dry_run":true`)
	if got := bans(); len(got) != 2 {
		t.Error("a dry run banned")
	}
	h.says("visitors/unban", `{"ban":"`+bans()[0].ID+`"}`, `"reason"`)
	h.says("visitors/bans", `{"limit":10}`, `"bans":[{`)
	h.refused("visitors/show", `{"visitor":"v"}`, "", "not_found", "nothing is of anonymous ones")
	h.refused("visitors/erase", `{"visitor":"v"}`, "", "not_found", "nothing is of anonymous ones")
}

func TestOperatorsSeeWhatToTypeIntoAProvider(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", fourLogins)
	h.signedInBy("corp", "s1")
	h.says("connections/list", `{}`, `"id":"corp"`, `"links":1`, `"sessions":1`)
	h.says("connections/show", `{"connection":"corp"}`,
		`"https://id.example/federation/corp"`, `"https://id.example/federation/corp/acs"`, `"https://id.example/federation/corp/metadata"`, `"ready":false`, `"domains":["acme.example"]`)
	h.says("connections/show", `{"connection":"entra"}`, `"https://id.example/federation/entra/callback"`, `"https://id.example/federation/entra/backchannel"`)
	h.must("apply", "", oneSite(`connections: [{id: widget, kind: jwt, for: visitors, keys: [{kid: s1, secret: "thirty-two bytes and a little more"}]}]`))
	if a := h.do("connections/show", `{"connection":"widget"}`, ""); !strings.Contains(string(a.result), `"https://id.example/federation/widget"`) || strings.Contains(string(a.result), "/federation/widget/jwt") {
		t.Errorf("where a widget's JWT goes: %s", a.result)
	}
	h.says("connections/show", `{"connection":"portal"}`, `"https://id.example/federation/portal/jwt"`, `"kid":"b"`, `["HS512"]`)
	for _, id := range []string{"corp", "portal", "entra", "shop"} {
		if a := h.do("connections/show", `{"connection":"`+id+`"}`, ""); strings.Contains(string(a.result), "secret-") {
			t.Errorf("%s shows a secret: %s", id, a.result)
		}
	}
	h.says("connections/rehearse", `{"connection":"corp"}`, `"url":"https://id.example/federation/corp/rehearse"`, `"ready":false`)
	h.rehearsed("corp")
	h.says("connections/rehearse", `{"connection":"corp"}`, `"ready":true`, `"rehearsed_by":"ana@acme.example"`)
	h.says("connections/links", `{"connection":"corp","limit":10}`, `"email":"ana@acme.example"`, `"subject":"ana-corp"`)
	h.refused("connections/rehearse", `{"connection":"shop"}`, "", "usage", "is for visitors")
	h.refused("connections/check", `{"connection":"corp"}`, "", "failed", "not available")
	for _, op := range []string{"show", "check", "trace", "rehearse", "links"} {
		h.refused("connections/"+op, `{"connection":"ghost"}`, "", "not_found", "there is no connection ghost")
	}
}

func TestATraceIsOpenedNewestLastAndExpiredOnesAreNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", fourLogins)
	now := time.Now().UTC()
	for _, tr := range []struct {
		id, result string
		expires    time.Time
	}{{"2", "success", now.Add(time.Minute)}, {"1", "audience", now.Add(time.Minute)}, {"0", "gone", now.Add(-time.Minute)}} {
		plain, _ := json.Marshal(store.TraceRecord{Time: now, Step: "answer", Result: tr.result, Checks: []store.Check{{Name: "audience", Expected: "us", Got: "them"}}})
		sealed, err := h.Sealer.Seal("", store.Traces.Kind, tr.id, plain)
		if err != nil {
			t.Fatal(err)
		}
		h.update(func(tx store.Tx) error {
			return store.Traces.Put(tx, &store.Trace{ID: tr.id, Connection: "corp", Sealed: sealed, Expires: tr.expires})
		})
	}
	a := h.do("connections/trace", `{"connection":"corp"}`, "")
	var out struct{ Attempts []store.TraceRecord }
	if err := json.Unmarshal(a.result, &out); err != nil || len(out.Attempts) != 2 || out.Attempts[0].Result != "audience" || out.Attempts[1].Result != "success" || out.Attempts[0].Checks[0].Got != "them" {
		t.Errorf("%v %+v %+v", err, a.failure, out)
	}
}

func TestAnUnlinkedAgentLosesWhatBeganThere(t *testing.T) {
	t.Parallel()
	h := newPosted(t)
	h.must("apply", "", fourLogins)
	h.signedInBy("corp", "s1")
	h.says("agents/unlink", `{"email":"Ana@acme.example","connection":"corp"}`, `"ended":1`, `"subjects":["ana-corp"]`)
	if links, sessions, _, halfDone := h.leftOf("corp"); links+sessions+halfDone != 0 {
		t.Errorf("left: %d links, %d sessions, %d sign-ins", links, sessions, halfDone)
	}
	if !slices.Contains(h.log(), "agent.unlink") || !slices.Contains(h.notices, "ana@acme.example unlinked") {
		t.Errorf("log %q, notices %q", h.log(), h.notices)
	}
	h.refused("agents/unlink", `{"email":"ana@acme.example","connection":"corp"}`, "", "not_found", "there is no link of ana@acme.example to connection corp")
}
