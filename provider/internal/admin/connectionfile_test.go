package admin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// fourLogins are the connections of the design.
const fourLogins = `sites:
  - path: ""
    name: Acme Support
    domains: [acme.example]
    roles: [{key: supervisors, name: Supervisors, permissions: [chat.monitor, visitor.ban]}]
    agents: [{email: ana@acme.example, password: "Plum-tree lamp 42", roles: [administrators]}]
    connections:
      - {id: corp, kind: saml, for: agents, name: Acme SSO, metadata_url: "https://idp.acme.example/metadata", domains: [ACME.example], sign_requests: true, create: true, enforce: false, idp_initiated: false,
         attributes: {email: mail, name: [displayName, cn], roles: memberOf}, role_map: {"cn=supervisors": supervisors}}
      - {id: portal, kind: jwt, for: agents, name: Portal, login_url: "https://portal.acme.example/in", logout_url: "https://portal.acme.example/out",
         keys: [{kid: a, secret: "portal-secret-a-0123456789-abcdefgh"}, {kid: b, secret: "portal-secret-b-0123456789-abcdefgh", alg: HS512}], jwks_url: "", allow_get: false, dialect: zendesk, create: false}
      - {id: entra, kind: oidc, for: agents, name: Entra ID, issuer: "https://login.microsoftonline.com/0b1c2d3e-0000-4000-8000-000000000001/v2.0", client_id: "desk-1", client_secret: "entra-secret-0123456789-abcdefghij"}
      - {id: shop, kind: jwt, for: visitors, name: Shop, login_url: "https://shop.example/in", keys: [{kid: s1, secret: "shop-secret-1-0123456789-abcdefgh"}],
         attributes: {external_id: sub, email: email, name: name, "custom.plan": {from: plan, type: string}}}
    visitors: {anonymous: true, sign_in: optional, origins: ["https://Shop.example", "http://localhost:9000"], token_minutes: 5}
    visitor_bans:
      - {email: Eve+1@evil.example, reason: spam}
      - {ip: "2001:db8::7", reason: abuse, until: 2099-01-31}
`

func (h *house) connection(id string) (c store.Connection) {
	h.t.Helper()
	h.view(func(tx store.Tx) (err error) { c, err = store.Connections.Get(tx, id); return err })
	return c
}

func TestTheConnectionsOfTheDesignAreStored(t *testing.T) {
	storetest.OnBothEngines(t, testTheConnectionsOfTheDesignAreStored)
}

func testTheConnectionsOfTheDesignAreStored(t *testing.T, on storetest.Engine) {
	h := newHouseOn(t, on)
	h.must("apply", "", fourLogins)
	if log := string(h.do("audit/export", `{"format":"jsonl"}`, "").raw); strings.Contains(log, "0001-01-01") {
		t.Error("the audit log says that something changed in the year 1")
	}
	corp, portal, entra, shop := h.connection("corp"), h.connection("portal"), h.connection("entra"), h.connection("shop")
	got := []any{corp.Domains, corp.Create, corp.Attributes, corp.RoleMap, *corp.SAML}
	want := []any{
		[]string{"acme.example"}, true,
		[]store.Attribute{{Field: "email", From: []string{"mail"}}, {Field: "name", From: []string{"displayName", "cn"}}, {Field: "roles", From: []string{"memberOf"}}},
		[]store.Mapped{{Value: "cn=supervisors", To: []string{"supervisors"}}},
		store.SAMLConnection{MetadataURL: "https://idp.acme.example/metadata", SignRequests: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if portal.JWT.Dialect != "zendesk" || portal.JWT.Keys[1].Alg != "HS512" || entra.OIDC.ClientID != "desk-1" || shop.For != store.ForVisitors || shop.Attributes[0].Field != "custom.plan" {
		t.Errorf("%+v %+v %+v", portal.JWT, entra.OIDC, shop)
	}
	for id, sealed := range map[string][]byte{"portal": portal.JWT.Keys[0].Secret, "entra": entra.OIDC.ClientSecret} {
		plain, err := h.Sealer.Open("", store.Connections.Kind, id, sealed)
		if err != nil || !strings.HasPrefix(string(plain), id+"-secret") {
			t.Errorf("%s: %q %v", id, plain, err)
		}
	}
	h.view(func(tx store.Tx) error {
		s, err := store.GetSettings(tx)
		want := store.VisitorRules{Anonymous: true, SignIn: "optional", Origins: []string{"http://localhost:9000", "https://shop.example"}, TokenMinutes: 5}
		if diff := cmp.Diff(want, s.Visitors); diff != "" {
			t.Error(diff)
		}
		return err
	})
}

func TestApplyingConnectionsAgainChangesNothing(t *testing.T) {
	storetest.OnBothEngines(t, testApplyingConnectionsAgainChangesNothing)
}

func testApplyingConnectionsAgainChangesNothing(t *testing.T, on storetest.Engine) {
	h := newHouseOn(t, on)
	h.must("apply", "", fourLogins)
	before := h.connection("portal")
	if lines := h.must("apply", `{"prune":true}`, fourLogins); len(lines) > 0 {
		t.Errorf("a second run changes %q", lines)
	}
	exported := string(h.do("export", "", "").raw)
	for _, secret := range []string{"portal-secret", "entra-secret", "shop-secret"} {
		if strings.Contains(exported, secret) {
			t.Errorf("the export holds %s", secret)
		}
	}
	if lines := h.must("apply", `{"prune":true}`, exported); len(lines) > 0 {
		t.Errorf("its own export changes %q:\n%s", lines, exported)
	}
	if diff := cmp.Diff(before, h.connection("portal")); diff != "" {
		t.Error(diff)
	}
}
