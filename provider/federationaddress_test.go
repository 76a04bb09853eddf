package provider_test

import (
	"slices"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

const letters = `sites:
  - path: ""
    agents:
      - {email: ivan@acme.example, name: Ivan, password: "` + agentPassword + `", roles: [agents]}
      - {email: mik@acme.example, name: Mik, password: "` + agentPassword + `", roles: [agents]}
`

// A connection that makes accounts may make one of another spelling, where that is an
// address at all. What it must not do is find somebody's.
func TestAnotherSpellingOfAnAddressIsNobodysHere(t *testing.T) {
	t.Parallel()
	for _, w := range ways(t) {
		t.Run(w.kind, func(t *testing.T) {
			t.Parallel()
			h := start(t, storetest.Bolt, "")
			h.apply(letters)
			w.lay(h, func(c *store.Connection) { c.Create = true })
			before := map[string]string{}
			for _, email := range []string{"raj@acme.example", "ivan@acme.example", "mik@acme.example"} {
				before[h.agent(email).ID] = email
			}
			for name, email := range map[string]string{
				"a dotless i":               "\u0131van@acme.example",
				"a Kelvin sign":             "mi\u212a@acme.example",
				"full width":                "\uff52\uff41\uff4a@acme.example",
				"a full stop of half width": "raj@acme\uff61example",
				"a domain of full width":    "raj@\uff41cme.example",
				"a full stop of full width": "raj@acme\uff0eexample",
				"quoted":                    `"raj"@acme.example`,
				"an encoded word":           "=?utf-8?q?raj?=@acme.example",
				"a comment":                 "raj(who)@acme.example",
				"a comment before":          "(who)raj@acme.example",
				"a name before":             "Raj Patel <raj@acme.example>",
				"an address literal":        "raj@[192.0.2.1]",
				"an address for a domain":   "raj@192.0.2.1",
				"a dot behind":              "raj@acme.example.",
				"a dot behind the name":     "raj.@acme.example",
				"a tag":                     "raj+sso@acme.example",
				"two":                       "raj@acme.example,mik@acme.example",
				"another host before":       "raj@evil.example@acme.example",
				"a soft hyphen":             "ra\u00adj@acme.example",
				"a joiner":                  "raj@ac\u200dme.example",
				"a Cyrillic a":              "r\u0430j@acme.example",
			} {
				w.comes(h, newBrowser(t, ""), claimed{name, email, true}, deskCallback)
				for _, link := range h.linked() {
					if who, found := before[link.AgentID]; found {
						t.Fatalf("%s, %q: linked to %s", name, email, who)
					}
				}
			}
			if p := w.comes(h, newBrowser(t, ""), claimed{"raj-7", " Raj@ACME.Example", true}, deskCallback); !h.in(p) || !slices.ContainsFunc(h.linked(), func(l store.Link) bool { return before[l.AgentID] == "raj@acme.example" }) {
				t.Errorf("Raj's own: %d %s", p.status, p.body)
			}
		})
	}
}

// linked are all links.
func (h *running) linked() (all []store.Link) {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), "", func(tx store.Tx) error {
		all = nil
		for link, err := range store.Links.All(tx, "") {
			if err != nil {
				return err
			}
			all = append(all, link)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}
