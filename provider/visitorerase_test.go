package provider_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// A login of somebody who is never let in leaves nothing that says who it was: no
// erasure would find it.
func TestALoginOfWhoIsRefusedLeavesNobodysName(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt, forVisitors)
	h.widgets()
	h.control("visitors/ban", map[string]any{"email": "raj@acme.example", "reason": "spam"}, "")
	verifier := oauth2.GenerateVerifier()
	b := newBrowser(t, h.idp.SSO)
	b.referer = widgetOrigin + "/"
	p := b.get(h.widgetStart("corp", verifier))
	b.stop = widgetOrigin
	p = b.post(h.issuer+"/federation/corp/acs", h.answer(readRequest(t, p.away), rajThere))
	fragment, err := url.ParseQuery(p.away.Fragment)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.visit(map[string]string{"proof": fragment.Get("chatelaine_code"), "code_verifier": verifier}); got.Reason != "visitor_banned" {
		t.Fatalf("%+v", got)
	}
	time.Sleep(1500 * time.Millisecond) // the log is sealed
	logins := 0
	err = h.engine.View(t.Context(), "", func(tx store.Tx) error {
		for row, err := range store.AuditPersonals.All(tx, "") {
			if err != nil {
				return err
			}
			for _, v := range row.Values {
				if strings.Contains(v.Value, rajThere.nameID) {
					t.Errorf("%s %q stands beside record %d", v.Field, v.Value, row.Sequence)
				}
			}
			logins++
		}
		return nil
	})
	if err != nil || logins == 0 {
		t.Fatalf("%v, %d rows: this test looks in the wrong place", err, logins)
	}
}

func TestAnErasureByAddressIsOfThatAddress(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.widgets()
	tagged := h.visit(map[string]string{"identity": h.visitorJWT("j1", "mia+news")}).VisitorID
	if got := h.control("visitors/show", map[string]any{"email": "mia@buyers.example"}, ""); got["id"] != tagged {
		t.Errorf("shown: %v", got)
	}
	if said := h.controlFault("visitors/erase", map[string]any{"email": "mia@buyers.example"}); !strings.Contains(said, "nobody is known by that very address") {
		t.Errorf("said: %s", said)
	}
	time.Sleep(1500 * time.Millisecond)
	if got := h.control("visitors/erase", map[string]any{"email": "Mia+News@buyers.example"}, ""); got["erased"] != tagged {
		t.Errorf("erased: %v", got)
	}
}
