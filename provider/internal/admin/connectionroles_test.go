package admin

import (
	"slices"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// mapped is a connection that gives a role and a department, and two agents.
const mapped = `sites:
  - path: ""
    domains: [acme.example]
    roles: [{key: supervisors, name: Supervisors}, {key: night, name: Night shift}]
    departments: [{key: billing, name: Billing}, {key: sales, name: Sales}]
    agents:
      - {email: ana@acme.example, password: "Plum-tree lamp 42", roles: [administrators]}
      - {email: raj@acme.example, password: "Plum-tree lamp 42", roles: [agents], departments: [sales]}
      - {email: eve@acme.example, password: "Plum-tree lamp 42", roles: [agents]}
    connections:
      - {id: portal, kind: jwt, for: agents, login_url: "https://portal.acme.example/in", domains: [acme.example], keys: [{kid: a, secret: "portal-a-0123456789-abcdefghijklmnop"}],
         role_map: {boss: supervisors}, department_map: {bills: billing}}
`

func TestAnApplyLeavesWhatAProviderGives(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouseOn(t, on)
		h.must("apply", "", mapped)
		// Raj has come in by the portal, which says that he is a boss; Eve has not.
		for _, email := range []string{"raj@acme.example", "eve@acme.example"} {
			agent := h.agent(email)
			agent.Roles, agent.Departments = []string{"agents", "supervisors"}, []string{"billing", "sales"}
			h.update(func(tx store.Tx) error {
				if email == "raj@acme.example" {
					if err := store.Links.Create(tx, &store.Link{Connection: "portal", Subject: "sub:raj", AgentID: agent.ID}); err != nil {
						return err
					}
				}
				return store.Agents.Put(tx, &agent)
			})
		}
		lines := h.must("apply", "", mapped)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], "~ agent eve@acme.example: ") {
			t.Errorf("%q", lines)
		}
		raj := h.agent("raj@acme.example")
		if !slices.Equal(raj.Roles, []string{"agents", "supervisors"}) || !slices.Equal(raj.Departments, []string{"billing", "sales"}) {
			t.Errorf("%v %v", raj.Roles, raj.Departments)
		}
		// What is the file's to say changes all the same; what is the provider's does not.
		h.must("apply", "", oneSite(`agents: [{email: raj@acme.example, roles: [night], departments: []}]`))
		if raj = h.agent("raj@acme.example"); !slices.Equal(raj.Roles, []string{"night", "supervisors"}) || !slices.Equal(raj.Departments, []string{"billing"}) {
			t.Errorf("%v %v", raj.Roles, raj.Departments)
		}
		raj.Roles = []string{"night"} // the provider has taken it
		h.update(func(tx store.Tx) error { return store.Agents.Put(tx, &raj) })
		h.must("apply", "", oneSite(`agents: [{email: raj@acme.example, roles: [supervisors]}]`))
		if raj = h.agent("raj@acme.example"); !slices.Equal(raj.Roles, []string{"agents"}) {
			t.Errorf("the file gives what the provider has not: %v", raj.Roles)
		}
	})
}

func TestTheLastAdministratorOfAnEnforcedConnectionIsNotUnlinkedUnasked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", mapped)
	link := func(email string) {
		h.update(func(tx store.Tx) error {
			return store.Links.Create(tx, &store.Link{Connection: "portal", Subject: "sub:" + email, AgentID: h.agent(email).ID, Rehearsed: true})
		})
	}
	h.rehearsed("portal")
	h.must("apply", "", oneSite(`connections: [{id: portal, enforce: true}]`))
	link("ana@acme.example")
	h.must("apply", "", oneSite(`agents: [{email: bo@acme.example, password: "Plum-tree lamp 42", roles: [administrators]}]`))
	h.refused("agents/unlink", `{"email":"ana@acme.example","connection":"portal"}`, "", "usage", "ana@acme.example is the last administrator who can sign in through portal")
	link("bo@acme.example")
	h.says("agents/unlink", `{"email":"ana@acme.example","connection":"portal"}`, `"enforced":"portal"`)
	h.refused("agents/unlink", `{"email":"bo@acme.example","connection":"portal"}`, "", "usage", "--last")
	h.says("agents/unlink", `{"email":"bo@acme.example","connection":"portal","last":true}`, `"enforced":"portal"`)
}

func TestDomainsOfSeveralConnectionsAreWarnedOfOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	one := func(id, more string) string {
		return `{id: ` + id + `, kind: jwt, for: agents, login_url: "https://` + id + `.acme.example/in", domains: [acme.example], keys: [{secret: "` + id + `-0123456789-abcdefghijklmnopqrst"}]` + more + `}`
	}
	file := func(more string) string {
		return oneSite("domains: [acme.example]\nagents: [{email: ana@acme.example, password: \"Plum-tree lamp 42\", roles: [administrators]}]\n" + `connections: [` + one("corp", more) + `, ` + one("partner", "") + `, ` + one("portal", "") + `]`)
	}
	if got := h.warnings(file("")); len(got) != 1 || got[0] != "acme.example is a domain of connections corp, partner, portal: an address of it leads to corp" {
		t.Errorf("%q", got)
	}
	h.rehearsed("corp")
	said := strings.Join(h.warnings(file(", enforce: true")), "\n")
	for _, want := range []string{"connection partner: people of acme.example sign in through connection corp alone", "connection portal: people of acme.example sign in through connection corp alone"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q does not say %q", said, want)
		}
	}
	h.refused("apply", "", oneSite(`connections: [{id: a, kind: saml, for: agents, metadata_url: "https://idp.example/m"}, {id: b, kind: saml, for: agents, metadata_url: "https://idp.example/m"}]`), "usage", "has the same metadata_url https://idp.example/m as connection a")
	h.must("apply", "", oneSite(`connections: [{id: a, kind: saml, for: agents, entity_id: one, metadata_url: "https://idp.example/m"}, {id: b, kind: saml, for: agents, entity_id: two, metadata_url: "https://idp.example/m"}]`))
}
