package oauth

import (
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 8252 and SECURITY's group Redirect URI matching.

func TestARedirectURIIsTheRegisteredOneToTheByte(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	for _, uri := range []string{
		"https://rp.example/cb/", "https://RP.example/cb", "https://rp.example/CB", "https://rp.example/cb/../x", "https://rp.example/cb/..;/", "https://rp.example/%63b",
		"https://rp.example/%2e%2e/cb", "https://rp.example//cb", "https://rp.example/cb?x=1", "https://rp.example/cb?", "https://rp.example/cb#", "https://rp.example/cb#f",
		"https://user@rp.example/cb", "https://rp.example@evil.example/cb", "https://a@b@rp.example/cb", `https://rp.example\cb`, `https:\\rp.example/cb`, "https://rp.example/cb\r\n",
		"https://rp.example/cb\t", " https://rp.example/cb", "https://rp.example:443/cb", "https://rp.example./cb", "https://xn--rp-eka.example/cb", "https://rр.example/cb",
		"http://rp.example/cb", "HTTPS://rp.example/cb", "//rp.example/cb", "/cb", "https://rp.example/cb%00", "https://rp.example/cb%0a", "https://rp.example.evil.example/cb",
	} {
		h.authorize(ask("RP", uri)).wantPage(t)
	}
}

func TestOnlyThePortOfALoopbackAddressMayDiffer(t *testing.T) {
	t.Parallel()
	registered := []string{"http://127.0.0.1/cb", "http://[::1]:9000/cb?x=1", "https://127.0.0.1/tls", "http://localhost/cb"}
	for _, good := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb", "http://[::1]/cb?x=1", "http://[::1]:80/cb?x=1", "https://127.0.0.1/tls", "http://localhost/cb"} {
		if got, err := matchRedirect(registered, good); got != good || err != nil {
			t.Errorf("%s: %q, %v", good, got, err)
		}
	}
	for _, bad := range []string{
		"http://127.0.0.1:80@evil.example/cb", "http://a@127.0.0.1/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:65536/cb", "http://127.0.0.1:/cb", "http://127.0.0.1:+1/cb", "http://127.0.0.1:08/cb",
		"http://127.0.0.1:99999999999999999999/cb", "http://127.0.0.1%2fcb", "http://127.0.0.1/%63b", "http://127.0.0.1/cb#", "http://127.0.0.1/cb?", "http://127.0.0.2/cb", "http://127.1/cb",
		"http://[::ffff:127.0.0.1]/cb", "http://localhost:80/cb", "http://127.0.0.1.evil.example/cb", "http://127.0.0.1:80.evil.example/cb", "https://127.0.0.1:81/tls", "http://127.0.0.1/tls",
		"http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]/cb?x=1", "http://127.0.0.1:1:2/cb", "http://127.0.0.1\\@evil.example/cb", "http://127.0.0.1",
	} {
		if got, err := matchRedirect(registered, bad); err == nil {
			t.Errorf("%s goes to %s", bad, got)
		}
	}
}

func TestWhatMustNeverBeATargetIsRefusedAlsoWhenRegistered(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	for _, uri := range []string{
		"javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "http://rp.example/cb", "https://*.example/cb", "https://rp.example/cb#f", "https://u@rp.example/cb", "/cb", "cb",
		"https://rp.example/cb?code=x", "https://rp.example/cb?state=x", "vbscript:x", "about:blank", "blob:https://rp.example/1", "https:rp.example/cb", "",
	} {
		h.changeClient("RP", func(c *store.Client) { c.RedirectURIs = []string{uri, callback} })
		a := h.authorize(ask("RP", uri))
		a.wantPage(t)
		if strings.Contains(a.Body.String(), "javascript:alert") {
			t.Error("the page holds the target")
		}
	}
}

func FuzzALoopbackMatchNeverLeavesTheMachine(f *testing.F) {
	f.Add("http://127.0.0.1:80/cb")
	f.Add("http://127.0.0.1:80@evil.example/cb")
	f.Add("http://[::1]:1/cb")
	registered := []string{"http://127.0.0.1/cb", "http://[::1]/cb"}
	f.Fuzz(func(t *testing.T, asked string) {
		got, err := matchRedirect(registered, asked)
		if err != nil {
			return
		}
		rest, ok := strings.CutPrefix(got, "http://127.0.0.1")
		if !ok {
			rest, ok = strings.CutPrefix(got, "http://[::1]")
		}
		rest = strings.TrimLeft(strings.TrimPrefix(rest, ":"), "0123456789")
		if !ok || rest != "/cb" {
			t.Errorf("%q is taken for a loopback address", asked)
		}
	})
}
