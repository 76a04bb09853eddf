package provider_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestSimpleSAMLphpSignsItsMetadata(t *testing.T) {
	t.Parallel()
	hasSimpleSAML(t)
	h, idp, other := start(t, storetest.Bolt, ""), startSimpleSAML(t), startSimpleSAML(t)
	config, err := os.OpenFile(filepath.Join(idp.root, "config.php"), os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = config.WriteString(` $config += ['metadata.sign.enable' => true, 'metadata.sign.privatekey' => 'idp.key', 'metadata.sign.certificate' => 'idp.crt',
			'metadata.sign.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256'];`)
	}
	if err == nil {
		err = config.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	signedBy := func(p simpleSAML) func(*store.Connection) {
		certificate, err := os.ReadFile(filepath.Join(p.root, "idp.crt"))
		if err != nil {
			t.Fatal(err)
		}
		return func(c *store.Connection) { c.SAML.MetadataCertificates = []string{string(certificate)} }
	}
	verifier := oauth2.GenerateVerifier()
	named := func(id string) func(*store.Connection) { return func(c *store.Connection) { c.ID = id } }
	h.connect(corp(nil, idp.connection, signedBy(idp)), corp(nil, idp.connection, signedBy(other), named("other")), corp(nil, other.connection, signedBy(other), named("unsigned")))
	idp.knows(h, h.issuer+"/federation/corp")
	b := newBrowser(t, deskCallback)
	h.arrives(idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", "rajspass"), verifier)
	for _, id := range []string{"other", "unsigned"} {
		b := newBrowser(t, "")
		if p := b.link(b.get(h.authorizeURL(verifier)), "connection-"+id); p.status != http.StatusServiceUnavailable || !strings.Contains(p.body, "provider_unavailable") {
			t.Errorf("%s: %d at %s", id, p.status, p.url)
		}
	}
}
