package saml

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

const (
	algExclusive = string(dsig.CanonicalXML10ExclusiveAlgorithmId)
	algEnveloped = string(dsig.EnvelopedSignatureAltorithmId)
)

// signatureMethods are those accepted, each with the kind of its key.
var signatureMethods = map[string]x509.PublicKeyAlgorithm{
	dsig.RSASHA256SignatureMethod:   x509.RSA,
	dsig.RSASHA384SignatureMethod:   x509.RSA,
	dsig.RSASHA512SignatureMethod:   x509.RSA,
	dsig.ECDSASHA256SignatureMethod: x509.ECDSA,
	dsig.ECDSASHA384SignatureMethod: x509.ECDSA,
	dsig.ECDSASHA512SignatureMethod: x509.ECDSA,
}

// x509Methods are the same as Go names them.
var x509Methods = map[string]x509.SignatureAlgorithm{
	dsig.RSASHA256SignatureMethod:   x509.SHA256WithRSA,
	dsig.RSASHA384SignatureMethod:   x509.SHA384WithRSA,
	dsig.RSASHA512SignatureMethod:   x509.SHA512WithRSA,
	dsig.ECDSASHA256SignatureMethod: x509.ECDSAWithSHA256,
	dsig.ECDSASHA384SignatureMethod: x509.ECDSAWithSHA384,
	dsig.ECDSASHA512SignatureMethod: x509.ECDSAWithSHA512,
}

var digestMethods = []string{
	"http://www.w3.org/2001/04/xmlenc#sha256",
	"http://www.w3.org/2001/04/xmldsig-more#sha384",
	"http://www.w3.org/2001/04/xmlenc#sha512",
}

// signatureShape holds a Signature to the one form that is accepted, so that
// there is nothing in it that two readers could understand differently.
func (c *checks) signatureShape(el, sig *etree.Element) (method string, err error) {
	info, reference, err := signatureParts(sig)
	if err != nil {
		return "", c.refuse(CheckSignature, "a signature of the usual form", err.Error())
	}
	if want, got := "#"+value(el, "ID"), value(reference, "URI"); got != want || want == "#" {
		return "", c.refuse(CheckSignature, "a reference to "+want, got)
	}
	if err := transforms(reference); err != nil {
		return "", c.refuse(CheckAlgorithm, "the transforms enveloped-signature and exclusive C14N without comments", err.Error())
	}
	c14n, method := algorithm(info, "CanonicalizationMethod"), algorithm(info, "SignatureMethod")
	digest := algorithm(reference, "DigestMethod")
	_, known := signatureMethods[method]
	ok := c14n == algExclusive && known && slices.Contains(digestMethods, digest)
	if !c.add(CheckAlgorithm, ok, "RSA or ECDSA with SHA-256 or longer, exclusive C14N", strings.Join([]string{method, digest, c14n}, " ")) {
		return "", c.err()
	}
	return method, nil
}

// signatureParts wants exactly what is needed, in order, and nothing else.
func signatureParts(sig *etree.Element) (info, reference *etree.Element, err error) {
	if err := sequence(sig, nsSignature, "SignedInfo", "SignatureValue", "KeyInfo?"); err != nil {
		return nil, nil, err
	}
	info, err = one(sig, nsSignature, "SignedInfo")
	if err != nil {
		return nil, nil, err
	}
	if err := sequence(info, nsSignature, "CanonicalizationMethod", "SignatureMethod", "Reference"); err != nil {
		return nil, nil, err
	}
	if method, err := one(info, nsSignature, "SignatureMethod"); err != nil || len(method.ChildElements()) > 0 {
		return nil, nil, errors.New("a signature method with parameters")
	}
	reference, err = one(info, nsSignature, "Reference")
	if err != nil {
		return nil, nil, err
	}
	if err := sequence(reference, nsSignature, "Transforms", "DigestMethod", "DigestValue"); err != nil {
		return nil, nil, err
	}
	digest, err := one(reference, nsSignature, "DigestValue")
	if err != nil {
		return nil, nil, err
	}
	_, err = decodeText(digest)
	return info, reference, err
}

func transforms(reference *etree.Element) error {
	list, err := one(reference, nsSignature, "Transforms")
	if err != nil {
		return err
	}
	if err := sequence(list, nsSignature, "Transform", "Transform"); err != nil {
		return err
	}
	both := list.ChildElements()
	if first, second := value(both[0], "Algorithm"), value(both[1], "Algorithm"); first != algEnveloped || second != algExclusive {
		return fmt.Errorf("%s, then %s", first, second)
	}
	if len(both[0].ChildElements()) > 0 {
		return errors.New("a transform with parameters")
	}
	for i, child := range both[1].ChildElements() {
		if i > 0 || !is(child, algExclusive, "InclusiveNamespaces") || len(child.Child) > 0 {
			return errors.New("a transform with other parameters than InclusiveNamespaces")
		}
	}
	return nil
}

// sequence holds an element's children to these names, in this order; one that ends
// in "?" may be missing. Attributes with a prefix are refused: some readers take
// x:Algorithm for Algorithm.
func sequence(el *etree.Element, namespace string, tags ...string) error {
	if err := container(el); err != nil {
		return err
	}
	for _, part := range append(el.ChildElements(), el) {
		if slices.ContainsFunc(part.Attr, func(a etree.Attr) bool { return a.Space != "" && a.Space != "xmlns" }) {
			return fmt.Errorf("%s with an attribute of another namespace", part.Tag)
		}
	}
	children := el.ChildElements()
	for _, tag := range tags {
		name, optional := strings.CutSuffix(tag, "?")
		if len(children) > 0 && is(children[0], namespace, name) {
			children = children[1:]
		} else if !optional {
			return fmt.Errorf("%s without %s in its place", el.Tag, name)
		}
	}
	if len(children) > 0 {
		return fmt.Errorf("%s with a %s too many", el.Tag, children[0].Tag)
	}
	return nil
}

func algorithm(parent *etree.Element, tag string) string {
	el, err := one(parent, nsSignature, tag)
	if err != nil {
		return ""
	}
	return value(el, "Algorithm")
}

// decodeText reads base64 with the white space that writers put into it.
func decodeText(el *etree.Element) ([]byte, error) {
	words, err := text(el)
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.Strict().DecodeString(strings.Join(strings.Fields(words), ""))
}
