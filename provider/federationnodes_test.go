package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestAnAnswerCountsOnceAtAllNodes(t *testing.T) {
	storetest.OnBothEngines(t, testAnAnswerCountsOnceAtAllNodes)
}

func testAnAnswerCountsOnceAtAllNodes(t *testing.T, on storetest.Engine) {
	h := &federated{start(t, on, ""), samltest.New(idpBase, time.Now())}
	h.connect(corp(h.idp), h.portal())
	nodes := h.twoNodes()
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	form := h.answer(h.away(b, verifier), rajThere)
	h.arrives(h.back(b, form), verifier)
	token := h.portalToken(nil)
	c := newBrowser(t, "")
	h.arrives(c.post(h.toPortal(c, verifier, "return_to"), url.Values{"jwt": {token}}), verifier)
	for i, node := range nodes {
		h.serve(node)
		// Neither a flow that waits for it nor another state makes an answer anew.
		other := newBrowser(t, "")
		for _, state := range []string{form.Get("RelayState"), h.away(other, verifier).relayState, "", "else"} {
			h.refusedWith(h.back(other, url.Values{"SAMLResponse": form["SAMLResponse"], "RelayState": {state}}), "token_replayed")
		}
		other = newBrowser(t, "")
		h.refusedWith(other.post(h.toPortal(other, verifier, "return_to"), url.Values{"jwt": {token}}), "token_replayed")
		if t.Failed() {
			t.Fatalf("at node %d", i+1)
		}
	}
}

func TestOfFiftyCopiesOfATokenOneCountsAtAllNodes(t *testing.T) {
	storetest.OnBothEngines(t, testOfFiftyCopiesOfATokenOneCountsAtAllNodes)
}

func testOfFiftyCopiesOfATokenOneCountsAtAllNodes(t *testing.T, on storetest.Engine) {
	h := &federated{start(t, on, ""), samltest.New(idpBase, time.Now())}
	h.connect(corp(h.idp), h.portal())
	b := newBrowser(t, "")
	portalTo := h.toPortal(b, oauth2.GenerateVerifier(), "return_to")
	corpTo := h.issuer + "/federation/corp/acs"
	forms := map[string]url.Values{portalTo: {"jwt": {h.portalToken(nil)}}, corpTo: h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)}
	h.twoNodes()
	b.stop = h.issuer + "/federation/"
	for to, form := range forms {
		var taken, refused atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				p := b.post(to, form)
				switch {
				case p.status == http.StatusSeeOther && strings.Contains(p.away.RawQuery, "handle="):
					taken.Add(1)
				case p.status == http.StatusSeeOther && strings.Contains(p.away.RawQuery, "fault="):
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if taken.Load() != 1 || refused.Load() != 49 {
			t.Errorf("%s: %d copies were taken and %d refused", to, taken.Load(), refused.Load())
		}
	}
}
