package provider_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// publisher serves one document, whose status and text change.
type publisher struct {
	*httptest.Server
	status atomic.Int32
	text   atomic.Value
}

func publish(t *testing.T, text string) *publisher {
	t.Helper()
	p := &publisher{}
	p.set(http.StatusOK, text)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(p.status.Load()))
		fmt.Fprint(w, p.text.Load())
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) set(status int, text string) {
	p.status.Store(int32(status))
	p.text.Store(text)
}

// metadataAt has the connection's metadata read at a URL.
func metadataAt(url string) func(*store.Connection) {
	return func(c *store.Connection) { c.SAML.MetadataXML, c.SAML.MetadataURL = "", url }
}

// fetched is what the house has read for the connection.
func (h *running) fetched(connection string) (rec store.Fetched) {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), "", func(tx store.Tx) (err error) {
		rec, err = store.AllFetched.Get(tx, connection)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return rec
}

// traces are what administrators read of the attempts through a connection, the oldest
// first.
func (h *running) traces(connection string) (all []store.TraceRecord) {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), "", func(tx store.Tx) error {
		all = nil
		for rec, err := range store.Traces.List(tx, "connection", connection) {
			if err != nil {
				return err
			}
			found, err := readTrace(h.sealer, rec)
			if err != nil {
				return err
			}
			all = append(all, found)
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

func TestBadMetadataAtTheURLLeavesTheLastGood(t *testing.T) {
	t.Parallel()
	h := &federated{running: start(t, storetest.Bolt, ""), idp: samltest.New(idpBase, time.Now())}
	good := h.idp.Metadata()
	document := publish(t, good)
	h.connect(corp(nil, metadataAt(document.URL)))
	if p := h.through(rajThere); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	usurper := samltest.Other("http://127.0.0.1:9996/idp", time.Now())
	for name, bad := range map[string]struct {
		status       int
		text, reason string
	}{
		"an error":                {http.StatusNotFound, good, "status 404"},
		"a redirect":              {http.StatusFound, good, "status 302"},
		"nothing":                 {http.StatusOK, "", ""},
		"a web page":              {http.StatusOK, "<!DOCTYPE html><html><body>Sign in</body></html>", ""},
		"half of it":              {http.StatusOK, good[:len(good)/2], ""},
		"no certificate":          {http.StatusOK, strings.Replace(good, between(good, "<ds:X509Data>", "</ds:X509Data>"), "", 1), ""},
		"expired":                 {http.StatusOK, validUntil(good, time.Now().Add(-time.Minute)), ""},
		"another provider":        {http.StatusOK, usurper.Metadata(), "the entity ID has changed"},
		"another's name, our key": {http.StatusOK, strings.Replace(good, h.idp.EntityID, usurper.EntityID, 1), "the entity ID has changed"},
	} {
		document.set(bad.status, bad.text)
		looked := h.control("connections/check", map[string]any{"connection": "corp"}, "")
		if got := h.fetched("corp"); looked["ok"] == true || got.Fault == "" || !strings.Contains(got.Fault, bad.reason) || string(got.Body) != good {
			t.Errorf("%s: kept %d bytes of %d, fault %q; the look says %v", name, len(got.Body), len(good), got.Fault, looked)
		}
		if p := h.through(rajThere); !h.in(p) {
			t.Errorf("%s: nobody is in any more: %d %s", name, p.status, p.body)
		}
	}
	// What the one who has taken the URL signs is nobody's word.
	document.set(http.StatusOK, usurper.Metadata())
	h.control("connections/check", map[string]any{"connection": "corp"}, "")
	b := newBrowser(t, "")
	to := h.away(b, oauth2.GenerateVerifier())
	h.refusedWith(h.back(b, (&federated{h.running, usurper}).answer(to, rajThere)), "token_invalid")

	document.set(http.StatusOK, good)
	h.control("connections/check", map[string]any{"connection": "corp"}, "")
	if got := h.fetched("corp"); got.Fault != "" {
		t.Errorf("good again, it is faulty still: %s", got.Fault)
	}
}

func validUntil(metadata string, end time.Time) string {
	return strings.Replace(metadata, " entityID=", ` validUntil="`+end.UTC().Format(time.RFC3339)+`" entityID=`, 1)
}

func TestMetadataSignsNobodyInAfterItsEnd(t *testing.T) {
	t.Parallel()
	var moved atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(moved.Load())) }
	h := &federated{start(t, storetest.Bolt, "", func(o *provider.Options) { o.Now = now }), samltest.New(idpBase, time.Now())}
	h.connect(corp(nil, metadataAt(publish(t, validUntil(h.idp.Metadata(), now().Add(10*time.Minute))).URL)))
	if p := h.through(rajThere); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	b := newBrowser(t, "")
	to := h.away(b, oauth2.GenerateVerifier())
	moved.Store(int64(11 * time.Minute))
	h.refusedWith(h.back(b, h.answer(to, rajThere, func(a *samltest.Answer) { a.Now = now() })), "provider_unavailable")
	h.refusedWith(newBrowser(t, "").get(h.issuer+"/federation/corp/start"), "provider_unavailable")
}

var perRequest = regexp.MustCompile(`nonce="[^"]+"|flow=[A-Za-z0-9_-]+|/(sign-in|oauth/authorize)/[A-Za-z0-9_-]+`)

// plain is the page without what is another at each request, and without these words.
func (p page) plain(words ...string) string {
	body := perRequest.ReplaceAllString(p.body, "")
	for _, w := range append(words, p.header.Get("X-Request-Id")) {
		body = strings.ReplaceAll(body, w, "")
	}
	return fmt.Sprint(p.status, " ", body)
}

func TestWhatStandsAtAnAddressIsToldToAdministratorsAlone(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	missing := publish(t, "there is nothing")
	missing.set(http.StatusNotFound, "there is nothing")
	h := start(t, storetest.Bolt, "")
	where := map[string]string{"closed": "http://" + closed.Addr().String(), "missing": missing.URL, "page": publish(t, "<html><body>Intranet</body></html>").URL}
	var all []store.Connection
	for id, url := range where {
		all = append(all, corp(nil, metadataAt(url+"/metadata"), func(c *store.Connection) { c.ID, c.Domains = id, nil }))
	}
	h.connect(all...)
	pages, reasons := map[string]string{}, map[string]string{}
	for id := range where {
		for way, p := range map[string]page{
			"start":  newBrowser(t, "").get(h.issuer + "/federation/" + id + "/start"),
			"answer": newBrowser(t, "").post(h.issuer+"/federation/"+id+"/acs", map[string][]string{"SAMLResponse": {"PGEvPg=="}}),
		} {
			h.refusedWith(p, "provider_unavailable")
			said := p.plain("/federation/" + id)
			if way == "answer" { // the request that its page names is the one before
				said = regexp.MustCompile(`<dd><bdi class="code">[0-9a-f]+<`).ReplaceAllString(said, "")
			}
			pages[way+" "+said] = id
		}
		for _, c := range h.traces(id)[0].Checks {
			reasons[c.Got] = id
		}
	}
	if len(pages) != 2 {
		t.Errorf("strangers see %d pages, not one for each way: %v", len(pages), pages)
	}
	if len(reasons) != len(where) {
		t.Errorf("administrators cannot tell them apart: %v", reasons)
	}
}
