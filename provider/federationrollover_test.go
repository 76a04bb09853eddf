package provider_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// A provider that has changed its key without an overlap signs people in all the same:
// a key that is not known has its metadata read anew, once a minute at most.
func TestAProviderThatChangesItsKeyAtOnceIsReadAnew(t *testing.T) {
	t.Parallel()
	old, next := samltest.New(idpBase, time.Now()), samltest.Other(idpBase, time.Now())
	var text atomic.Value
	var asked atomic.Int32
	text.Store(old.Metadata())
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, text.Load())
	}))
	t.Cleanup(at.Close)
	h := &federated{start(t, storetest.Bolt, ""), old}
	h.connect(corp(nil, func(c *store.Connection) { c.SAML.MetadataURL = at.URL }))
	if p := h.through(rajThere); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	text.Store(next.Metadata())
	h.idp = next
	h.refusedWith(h.through(rajThere), "token_invalid") // it was read less than a minute ago
	ago := func(d time.Duration) {
		h.write(func(tx store.Tx) error {
			rec, err := store.AllFetched.Get(tx, "corp")
			if err != nil {
				return err
			}
			rec.Tried = time.Now().Add(-d)
			return store.AllFetched.Put(tx, &rec)
		})
	}
	ago(2 * time.Minute)
	if p := h.through(rajThere); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	before := asked.Load()
	h.idp = old // whoever has the old key, or any, is nobody
	for range 3 {
		h.refusedWith(h.through(rajThere), "token_invalid")
	}
	ago(2 * time.Minute)
	for range 3 {
		h.refusedWith(h.through(rajThere), "token_invalid")
	}
	if n := asked.Load() - before; n != 1 {
		t.Errorf("strangers had it read %d times", n)
	}
}

func TestACheckSaysWhatIsAtTheAddressAndWhoElseHasTheProvider(t *testing.T) {
	t.Parallel()
	idp := samltest.New(idpBase, time.Now())
	pages := http.NewServeMux()
	pages.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<!DOCTYPE html><html><body>Sign in</body></html>")
	})
	pages.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://idp.acme.example/elsewhere", http.StatusFound)
	})
	pages.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 2<<20)) })
	at := httptest.NewServer(pages)
	t.Cleanup(at.Close)
	h := start(t, storetest.Bolt, "")
	check := func(id string) string {
		return fmt.Sprint(h.control("connections/check", map[string]any{"connection": id}, "")["checks"])
	}
	for path, want := range map[string]string{"page": "it is a web page, and no SAML metadata", "moved": `leads to "https://idp.acme.example/elsewhere", and redirects are not followed`, "huge": "it is larger than 1048576 bytes"} {
		h.connect(corp(nil, func(c *store.Connection) { c.ID, c.SAML.MetadataURL = path, at.URL+"/"+path }))
		if got := check(path); !strings.Contains(got, want) {
			t.Errorf("%s: %s", path, got)
		}
	}
	h.connect(corp(idp), corp(idp, func(c *store.Connection) { c.ID = "twin" }))
	if got := check("twin"); !strings.Contains(got, "that of connection corp too") {
		t.Error(got)
	}
	ending := samltest.New("http://127.0.0.1:9998/other", time.Now().AddDate(-1, 0, 20))
	h.connect(corp(ending, func(c *store.Connection) { c.ID = "ending" }))
	if got := h.control("connections/check", map[string]any{"connection": "ending"}, ""); got["ok"] != true || !strings.Contains(fmt.Sprint(got["checks"]), "the last in 1") {
		t.Errorf("a certificate that ends soon: %v", got)
	}
}
