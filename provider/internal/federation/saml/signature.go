package saml

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// signatureOf finds an element's own signature where the schema puts it: right after
// its Issuer, or first where there is no Issuer (metadata).
func signatureOf(el *etree.Element) *etree.Element {
	children := el.ChildElements()
	if len(children) > 0 && is(children[0], nsAssertion, "Issuer") {
		children = children[1:]
	}
	if len(children) > 0 && is(children[0], nsSignature, "Signature") {
		return children[0]
	}
	return nil
}

// verifySignature checks the enveloped signature of an element by one of the pinned
// certificates, and returns the element again, parsed out of the bytes that were
// verified. KeyInfo is thrown away: it can choose no key.
func (c *checks) verifySignature(el *etree.Element, pinned []*x509.Certificate, now time.Time) (*etree.Element, *x509.Certificate, error) {
	sig := signatureOf(el)
	if sig == nil {
		return nil, nil, c.refuse(CheckSignature, "a signature of "+el.Tag, "none")
	}
	method, err := c.signatureShape(el, sig)
	if err != nil {
		return nil, nil, err
	}
	usable, err := c.usable(pinned, signatureMethods[method], now, keyInfoPrint(sig))
	if err != nil {
		return nil, nil, err
	}
	detached := detach(el)
	own := signatureOf(detached)
	if keyInfo, _ := atMostOne(own, nsSignature, "KeyInfo"); keyInfo != nil {
		own.RemoveChild(keyInfo)
	}
	signatureValue, _ := one(own, nsSignature, "SignatureValue")
	raw, err := decodeText(signatureValue)
	if err != nil {
		return nil, nil, c.refuse(CheckSignature, "a SignatureValue", "something else")
	}
	for _, certificate := range usable {
		if verified, err := verifyWith(detached, signatureValue, raw, certificate, now); err == nil {
			c.add(CheckSignature, true, "a signature of "+el.Tag+" by a pinned certificate", Fingerprint(certificate))
			return verified, certificate, nil
		}
	}
	return nil, nil, c.refuse(CheckSignature, "a signature of "+el.Tag+" by "+fingerprints(usable), "another's, or of other words; it names "+keyInfoPrint(sig))
}

// verifyWith lets goxmldsig verify, which leaves the element as it is. It is given one
// certificate, no KeyInfo, and the value in the form that it knows.
func verifyWith(el, signatureValue *etree.Element, raw []byte, certificate *x509.Certificate, now time.Time) (*etree.Element, error) {
	if key, ok := certificate.PublicKey.(*ecdsa.PublicKey); ok {
		var err error
		if raw, err = toDER(raw, key); err != nil {
			return nil, err
		}
	}
	signatureValue.SetText(encode(raw))
	validation := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{certificate}})
	validation.Clock = dsig.NewFakeClockAt(now)
	verified, err := validation.Validate(el)
	if err != nil {
		return nil, err
	}
	if verified == nil || verified.Tag != el.Tag || verified.NamespaceURI() != el.NamespaceURI() || value(verified, "ID") != value(el, "ID") {
		return nil, errors.New("another element was signed")
	}
	return verified, nil
}

// detach copies an element out of its document with the namespaces it stood in. The
// library's own way gives up at a thousand elements, which a list of groups can be.
func detach(el *etree.Element) *etree.Element {
	detached := el.Copy()
	inherit(detached, el.Parent())
	return detached
}

// inherit gives an element the namespaces of a place that it does not declare itself.
func inherit(el, place *etree.Element) {
	own := map[string]bool{}
	for _, a := range el.Attr {
		own[a.FullKey()] = true
	}
	for ; place != nil; place = place.Parent() {
		for _, a := range place.Attr {
			if key := a.FullKey(); (a.Space == "xmlns" || key == "xmlns") && !own[key] {
				own[key] = true
				el.CreateAttr(key, a.Value)
			}
		}
	}
}

// usable are the pinned certificates that hold now and have a key of the method's kind,
// one of each key: another would be tried at the same cost, and say the same.
func (c *checks) usable(pinned []*x509.Certificate, kind x509.PublicKeyAlgorithm, now time.Time, named string) ([]*x509.Certificate, error) {
	known := map[string]bool{}
	valid := slices.DeleteFunc(slices.Clone(pinned), func(certificate *x509.Certificate) bool {
		if certificate == nil || certificate.PublicKeyAlgorithm != kind || strongKey(certificate) != nil ||
			now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) || known[string(certificate.RawSubjectPublicKeyInfo)] {
			return true
		}
		known[string(certificate.RawSubjectPublicKeyInfo)] = true
		return false
	})
	if len(valid) == 0 {
		return nil, c.refuse(CheckCertificate, fmt.Sprintf("one pinned, within its dates, with an %v key", kind), "pinned: "+withDates(pinned)+"; named: "+named)
	}
	return valid, nil
}

// strongKey refuses keys that could be found out.
func strongKey(certificate *x509.Certificate) error {
	switch key := certificate.PublicKey.(type) {
	case *rsa.PublicKey:
		if key.N.BitLen() < 2048 || key.N.BitLen() > 8192 {
			return fmt.Errorf("an RSA key of %d bits", key.N.BitLen())
		}
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			return errors.New("a short curve")
		}
	default:
		return errors.New("neither RSA nor ECDSA")
	}
	return nil
}

// Fingerprint is a certificate's SHA-256, as administrators compare it.
func Fingerprint(certificate *x509.Certificate) string {
	sum := sha256.Sum256(certificate.Raw)
	return hex.EncodeToString(sum[:])
}

func fingerprints(certificates []*x509.Certificate) string {
	var prints []string
	for _, certificate := range certificates {
		prints = append(prints, Fingerprint(certificate)[:16])
	}
	return strings.Join(prints, ", ")
}

func withDates(certificates []*x509.Certificate) string {
	var words []string
	for _, certificate := range certificates {
		if certificate != nil {
			words = append(words, fmt.Sprintf("%s (%s to %s)", Fingerprint(certificate)[:16],
				certificate.NotBefore.UTC().Format(time.DateOnly), certificate.NotAfter.UTC().Format(time.DateOnly)))
		}
	}
	return strings.Join(words, ", ")
}

// keyInfoPrint is the certificate that a signature names: a hint for administrators,
// and nothing else.
func keyInfoPrint(sig *etree.Element) string {
	for _, tag := range []string{"KeyInfo", "X509Data", "X509Certificate"} {
		children := all(sig, nsSignature, tag)
		if len(children) == 0 {
			return "no certificate"
		}
		sig = children[0]
	}
	raw, err := decodeText(sig)
	if err != nil {
		return "a certificate that is none"
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])[:16]
}
