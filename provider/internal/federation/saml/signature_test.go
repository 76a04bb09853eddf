package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	dsig "github.com/russellhaering/goxmldsig"
)

func TestASignatureOfAnyOtherFormIsRefused(t *testing.T) {
	t.Parallel()
	inclusive, withComments := string(dsig.CanonicalXML10RecAlgorithmId), string(dsig.CanonicalXML10ExclusiveWithCommentsAlgorithmId)
	transform := func(algorithms ...string) (list string) {
		for _, algorithm := range algorithms {
			list += `<P:Transform Algorithm="` + algorithm + `"></P:Transform>`
		}
		return list
	}
	for name, c := range map[string]struct {
		how signing
		by  string
	}{
		"rsa-sha1":                    {signing{method: dsig.RSASHA1SignatureMethod}, CheckAlgorithm},
		"a sha1 digest":               {signing{digest: "http://www.w3.org/2000/09/xmldsig#sha1", digestHash: crypto.SHA1}, CheckAlgorithm},
		"hmac":                        {signing{method: "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"}, CheckAlgorithm},
		"no algorithm":                {signing{method: "none"}, CheckAlgorithm},
		"inclusive C14N":              {signing{c14n: inclusive}, CheckAlgorithm},
		"C14N with comments":          {signing{c14n: withComments}, CheckAlgorithm},
		"a transform with comments":   {signing{transforms: transform(algEnveloped, withComments)}, CheckAlgorithm},
		"an inclusive transform":      {signing{transforms: transform(algEnveloped, inclusive)}, CheckAlgorithm},
		"XSLT":                        {signing{transforms: transform(algEnveloped, "http://www.w3.org/TR/1999/REC-xslt-19991116")}, CheckAlgorithm},
		"XPath":                       {signing{transforms: transform(algEnveloped, "http://www.w3.org/TR/1999/REC-xpath-19991116", algExclusive)}, CheckAlgorithm},
		"one transform":               {signing{transforms: transform(algEnveloped)}, CheckAlgorithm},
		"no transform":                {signing{transforms: " "}, CheckAlgorithm},
		"twenty transforms":           {signing{transforms: transform(algEnveloped) + strings.Repeat(transform(algExclusive), 19)}, CheckAlgorithm},
		"transforms the other way":    {signing{transforms: transform(algExclusive, algEnveloped)}, CheckAlgorithm},
		"a reference to the document": {signing{uri: "#"}, CheckSignature},
		"a reference to another":      {signing{uri: "#_response1"}, CheckSignature},
		"a reference elsewhere":       {signing{uri: "https://evil.example/#_assertion1"}, CheckSignature},
		"an XPointer":                 {signing{uri: "#xpointer(id('_assertion1'))"}, CheckSignature},
		"two references":              {signing{before: `<P:Reference URI="#_assertion1"><P:Transforms></P:Transforms></P:Reference>`}, CheckSignature},
		"an Object":                   {signing{keyInfo: `<P:Object></P:Object>`}, CheckSignature},
		"two KeyInfos":                {signing{keyInfo: `<P:KeyInfo></P:KeyInfo><P:KeyInfo></P:KeyInfo>`}, CheckSignature},
		"two SignedInfos":             {signing{keyInfo: `<P:SignedInfo></P:SignedInfo>`}, CheckSignature},
		"another's, who is named":     {signing{signer: otherSigner()}, CheckSignature},
		"another's, with our name":    {signing{signer: &Signer{otherSigner().Key, idpSigner().Certificate}}, CheckSignature},
		"another's, and nobody named": {signing{signer: otherSigner(), keyInfo: " "}, CheckSignature},
		"a curve that nobody pinned":  {signing{signer: ecSigner()}, CheckCertificate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustRefuse(t, inResponse(signID(t, plainAssertion, "_assertion1", c.how)), testExpect(), c.by)
			if how := c.how; how.uri == "" && how.before == "" {
				mustRefuse(t, signID(t, signedAssertion(t, plainAssertion), "_response1", how), testExpect(), c.by)
			}
		})
	}
}

func TestASignatureThatIsNotOneIsRefused(t *testing.T) {
	t.Parallel()
	good := signedAssertion(t, plainAssertion)
	signature := between(good, "<ds:Signature ", "</ds:Signature>")
	digest := between(good, "<ds:DigestValue>", "</ds:DigestValue>")
	words := between(good, "<ds:SignatureValue>", "</ds:SignatureValue>")
	for name, other := range map[string]string{
		"none":                      strings.Replace(good, signature, "", 1),
		"empty":                     strings.Replace(good, signature, `<ds:Signature xmlns:ds="`+nsSignature+`"/>`, 1),
		"of another namespace":      strings.Replace(good, nsSignature+`"><ds:SignedInfo xmlns:ds="`+nsSignature, `urn:x"><ds:SignedInfo xmlns:ds="`+nsSignature, 1),
		"at the end":                strings.Replace(strings.Replace(good, signature, "", 1), "</saml:Assertion>", signature+"</saml:Assertion>", 1),
		"on the Response instead":   strings.Replace(strings.Replace(good, signature, "", 1), "<samlp:Status>", signature+"<samlp:Status>", 1),
		"twice":                     strings.Replace(good, signature, signature+signature, 1),
		"an empty digest":           strings.Replace(good, digest, "<ds:DigestValue></ds:DigestValue>", 1),
		"a comment in the digest":   strings.Replace(good, "<ds:DigestValue>", "<ds:DigestValue><!--x-->", 1),
		"an element in the digest":  strings.Replace(good, "<ds:DigestValue>", "<ds:DigestValue><x/>", 1),
		"no value":                  strings.Replace(good, words, "", 1),
		"an empty value":            strings.Replace(good, words, "<ds:SignatureValue/>", 1),
		"another value":             strings.Replace(good, "<ds:SignatureValue>", "<ds:SignatureValue>AAAA", 1),
		"a value that is no base64": strings.Replace(good, "<ds:SignatureValue>", "<ds:SignatureValue>!", 1),
		"without SignedInfo":        strings.Replace(good, between(good, "<ds:SignedInfo ", "</ds:SignedInfo>"), "", 1),
		"without Reference":         strings.Replace(good, between(good, "<ds:Reference ", "</ds:Reference>"), "", 1),
		"a reference to nothing":    strings.Replace(good, `URI="#_assertion1"`, `URI=""`, 1),
		"two algorithms":            strings.Replace(good, `<ds:SignatureMethod `, `<ds:SignatureMethod ds:Algorithm="http://www.w3.org/2000/09/xmldsig#rsa-sha1" `, 1),
		"a method with parameters":  strings.Replace(good, `rsa-sha256"></ds:SignatureMethod>`, `rsa-sha256"><ds:HMACOutputLength>1</ds:HMACOutputLength></ds:SignatureMethod>`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if other == good {
				t.Fatal("nothing was changed")
			}
			mustRefuse(t, other, testExpect())
		})
	}
}

func TestAResponseSignatureThatFailsIsNotForgivenForAGoodAssertion(t *testing.T) {
	t.Parallel()
	mustRefuse(t, signID(t, signedAssertion(t, plainAssertion), "_response1", signing{signer: otherSigner()}), testExpect(), CheckSignature)
	mustRefuse(t, strings.Replace(signedBoth(t, plainAssertion), `Destination="`, `Consent="x" Destination="`, 1), testExpect(), CheckSignature)
	// Nor the other way round.
	mustRefuse(t, signID(t, inResponse(signID(t, plainAssertion, "_assertion1", signing{signer: otherSigner()})), "_response1", signing{}), testExpect(), CheckSignature)
}

func TestOnlyPinnedCertificatesWithinTheirDatesCount(t *testing.T) {
	t.Parallel()
	old := newSigner(idpSigner().Key, "the same key")
	var err error
	if old.Certificate, err = NewCertificate(idpSigner().Key, "ended", testNow.AddDate(-2, 0, 0), testNow.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	future, err := NewCertificate(idpSigner().Key, "begins", testNow.Add(time.Second), testNow.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	document := signedAssertion(t, plainAssertion)
	for name, c := range map[string]struct {
		pins []*x509.Certificate
		ok   bool
	}{
		"none":             {nil, false},
		"nil":              {[]*x509.Certificate{nil}, false},
		"ended":            {[]*x509.Certificate{old.Certificate}, false},
		"not begun":        {[]*x509.Certificate{future}, false},
		"another's":        {[]*x509.Certificate{otherSigner().Certificate}, false},
		"a rollover":       {[]*x509.Certificate{nextSigner().Certificate, old.Certificate, idpSigner().Certificate}, true},
		"rollover, before": {[]*x509.Certificate{idpSigner().Certificate, nextSigner().Certificate}, true},
		"mixed kinds":      {[]*x509.Certificate{ecSigner().Certificate, idpSigner().Certificate}, true},
	} {
		expect := testExpect()
		expect.IdP.Certificates = c.pins
		if _, _, err := Verify([]byte(document), expect); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A certificate that ends while somebody signs in: their next try is refused, and says why.
	expect := testExpect()
	expect.IdP.Certificates = []*x509.Certificate{old.Certificate}
	mustRefuse(t, document, expect, CheckCertificate)
}

func TestAKeyIsTriedOnceInHoweverManyCertificates(t *testing.T) {
	t.Parallel()
	ended, err := NewCertificate(idpSigner().Key, "ended", testNow.AddDate(-2, 0, 0), testNow.Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	pins := []*x509.Certificate{ended}
	for range 10 {
		pins = append(pins, newSigner(otherSigner().Key, "other").Certificate, newSigner(idpSigner().Key, "idp").Certificate)
	}
	usable, err := (&checks{}).usable(pins, x509.RSA, testNow, "")
	if err != nil || len(usable) != 2 || usable[0] != pins[1] || usable[1] != pins[2] {
		t.Errorf("%d of %d are tried: %v", len(usable), len(pins), err)
	}
	expect := testExpect()
	expect.IdP.Certificates = pins
	if _, _, err := Verify([]byte(signedAssertion(t, plainAssertion)), expect); err != nil {
		t.Error(err)
	}
}

func TestAWeakKeyIsNoKey(t *testing.T) {
	t.Parallel()
	weak := rsaSigner("weak", 1024)()
	expect := testExpect()
	expect.IdP.Certificates = []*x509.Certificate{weak.Certificate}
	mustRefuse(t, inResponse(signID(t, plainAssertion, "_assertion1", signing{signer: weak})), expect, CheckCertificate)
	if _, err := ParseCertificate(base64.StdEncoding.EncodeToString(weak.Certificate.Raw)); err == nil {
		t.Error("a weak key was taken")
	}
}

func TestCurvesAndLongerHashesAreUnderstood(t *testing.T) {
	t.Parallel()
	key384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, how := range map[string]signing{
		"P-256":       {signer: ecSigner()},
		"P-384":       {signer: newSigner(key384, "p384")},
		"P-521":       {signer: newSigner(key521, "p521")},
		"RSA SHA-384": {method: dsig.RSASHA384SignatureMethod, digest: digestMethods[1], digestHash: crypto.SHA384},
		"RSA SHA-512": {method: dsig.RSASHA512SignatureMethod, digest: digestMethods[2], digestHash: crypto.SHA512},
	} {
		expect := testExpect()
		if how.signer != nil {
			expect.IdP.Certificates = append(expect.IdP.Certificates, how.signer.Certificate)
		}
		for range 3 { // r and s may be short
			mustVerify(t, inResponse(signID(t, plainAssertion, "_assertion1", how)), expect)
		}
		t.Log(name)
	}
}

func TestWhatAWriterDoesToWhiteSpaceIsNoMatter(t *testing.T) {
	t.Parallel()
	good := signedAssertion(t, plainAssertion)
	for _, tag := range []string{"SignatureValue", "X509Certificate"} {
		value := strings.TrimSuffix(strings.TrimPrefix(between(good, "<ds:"+tag+">", "</ds:"+tag+">"), "<ds:"+tag+">"), "</ds:"+tag+">")
		var wrapped strings.Builder
		for i, c := range value {
			if i%76 == 0 {
				wrapped.WriteString("&#13;\n\t ")
			}
			wrapped.WriteRune(c)
		}
		mustVerify(t, strings.Replace(good, value, wrapped.String()+"\n", 1), testExpect())
	}
	mustVerify(t, strings.ReplaceAll(good, "</samlp:Status><saml:Assertion", "</samlp:Status>\r\n  <saml:Assertion"), testExpect())
}
