package provider_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// ours are the certificates in our metadata for the connection, each once, the one
// that signs first.
func (h *running) ours(connection string) (list []*x509.Certificate) {
	h.t.Helper()
	p := newBrowser(h.t, "").get(h.issuer + "/federation/" + connection + "/metadata")
	for _, m := range regexp.MustCompile(`<ds:X509Certificate>([^<]+)<`).FindAllStringSubmatch(p.body, -1) {
		der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(m[1]), ""))
		if err != nil {
			h.t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			h.t.Fatal(err)
		}
		if !slices.ContainsFunc(list, c.Equal) {
			list = append(list, c)
		}
	}
	return list
}

// signed is which of the certificates has signed the request (SAML bindings, section
// 3.4.4.1); -1: none.
func signed(t *testing.T, away *url.URL, list []*x509.Certificate) int {
	t.Helper()
	text, sig, ok := strings.Cut(away.RawQuery, "&Signature=")
	escaped, err := url.QueryUnescape(sig)
	raw, decodeErr := base64.StdEncoding.DecodeString(escaped)
	if !ok || err != nil || decodeErr != nil {
		t.Fatalf("not signed: %s", away)
	}
	sum := sha256.Sum256([]byte(text))
	return slices.IndexFunc(list, func(c *x509.Certificate) bool {
		return rsa.VerifyPKCS1v15(c.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], raw) == nil
	})
}

func TestOurKeyForAConnectionIsRolledOver(t *testing.T) {
	storetest.OnBothEngines(t, testOurKeyForAConnectionIsRolledOver)
}

func testOurKeyForAConnectionIsRolledOver(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on, func(c *store.Connection) { c.SAML.SignRequests = true })
	rollOver := func(more map[string]any) map[string]any {
		in := map[string]any{"connection": "corp"}
		for k, v := range more {
			in[k] = v
		}
		defer time.Sleep(600 * time.Millisecond) // longer than a snapshot is kept without a look
		return h.control("connections/roll-over", in, "")
	}
	by := func() int {
		b := newBrowser(t, h.idp.SSO)
		return signed(t, b.link(b.get(h.authorizeURL(oauth2.GenerateVerifier())), "connection-corp").away, h.ours("corp"))
	}
	first := h.ours("corp")
	if len(first) != 1 || by() != 0 {
		t.Fatalf("%d certificates, signed by %d", len(first), by())
	}
	// The next is published, and does not sign yet.
	out := rollOver(map[string]any{"after": 3600})
	both := h.ours("corp")
	if len(both) != 2 || !both[0].Equal(first[0]) || by() != 0 || len(out["own_certificates"].([]any)) != 2 {
		t.Fatalf("%d certificates, signed by %d: %v", len(both), by(), out)
	}
	if said := h.controlFault("connections/roll-over", map[string]any{"connection": "corp"}); !strings.Contains(said, "is published already") {
		t.Errorf("a third: %s", said)
	}
	// Its time comes.
	h.write(func(tx store.Tx) error {
		for rec, err := range store.ConnectionKeys.List(tx, "connection", "corp") {
			if err != nil {
				return err
			}
			if rec.Activates = rec.Activates.Add(-2 * time.Hour); rec.Activates.After(time.Now().Add(-3 * time.Hour)) {
				if err := store.ConnectionKeys.Put(tx, &rec); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if now := h.ours("corp"); len(now) != 2 || !now[0].Equal(both[1]) || by() != 0 {
		t.Fatalf("%d certificates, the old one first: %v", len(now), now[0].Equal(first[0]))
	}
	// The next rollover takes the oldest away, and one for a key that is lost all others.
	rollOver(nil)
	if now := h.ours("corp"); len(now) != 2 || slices.ContainsFunc(now, first[0].Equal) {
		t.Errorf("%d certificates", len(now))
	}
	rollOver(map[string]any{"forget": true})
	if now := h.ours("corp"); len(now) != 1 || slices.ContainsFunc(both, now[0].Equal) || by() != 0 {
		t.Errorf("%d certificates", len(now))
	}
	if said := h.controlFault("connections/roll-over", map[string]any{"connection": "none"}); !strings.Contains(said, "no connection none") {
		t.Errorf("none: %s", said)
	}
}
