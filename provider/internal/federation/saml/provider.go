package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// SP is us, as one connection knows us.
type SP struct {
	// EntityID is also the audience. ACS takes Responses by POST, SLO logout messages
	// by both bindings; SLO may be empty.
	EntityID, ACS, SLO string
	// Signing and Encryption are published, the ones in use first: during a rollover
	// the next ones too. Encryption is left out where it may not be RSA.
	Signing, Encryption []*x509.Certificate
	// SignsRequests says that AuthnRequests are signed.
	SignsRequests bool
	NameIDFormats []string
}

// Signer signs our messages: an RSA or ECDSA key with its certificate.
type Signer struct {
	Key         crypto.Signer
	Certificate *x509.Certificate
}

// method is the algorithm for a key: SHA-256, or with a longer curve its own hash.
func (s *Signer) method() (string, crypto.Hash, error) {
	switch key := s.Key.Public().(type) {
	case *rsa.PublicKey:
		return dsig.RSASHA256SignatureMethod, crypto.SHA256, nil
	case *ecdsa.PublicKey:
		switch key.Curve.Params().BitSize {
		case 256:
			return dsig.ECDSASHA256SignatureMethod, crypto.SHA256, nil
		case 384:
			return dsig.ECDSASHA384SignatureMethod, crypto.SHA384, nil
		case 521:
			return dsig.ECDSASHA512SignatureMethod, crypto.SHA512, nil
		}
	}
	return "", 0, errors.New("sign: the key is neither RSA nor ECDSA")
}

// envelop signs an element, with the Signature in its place after the Issuer.
func (s *Signer) envelop(el *etree.Element) (*etree.Element, error) {
	method, _, err := s.method()
	if err != nil {
		return nil, err
	}
	context, err := dsig.NewSigningContext(s.Key, [][]byte{s.Certificate.Raw})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	context.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := context.SetSignatureMethod(method); err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	el = el.Copy()
	sig, err := context.ConstructSignature(el.Copy(), true)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	if key, ok := s.Key.Public().(*ecdsa.PublicKey); ok {
		if err := sideBySide(sig, key); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
	}
	at := 0
	if issuer := el.SelectElement("Issuer"); issuer != nil {
		at = issuer.Index() + 1
	}
	el.InsertChildAt(at, sig)
	return el, nil
}

// sideBySide rewrites an ECDSA SignatureValue as XML Signature wants it.
func sideBySide(sig *etree.Element, key *ecdsa.PublicKey) error {
	el := sig.SelectElement("SignatureValue")
	if el == nil {
		return errors.New("no SignatureValue")
	}
	der, err := decodeText(el)
	if err != nil {
		return err
	}
	raw, err := fromDER(der, key)
	if err != nil {
		return err
	}
	el.SetText(base64.StdEncoding.EncodeToString(raw))
	return nil
}

// Metadata is ours, always the same bytes for the same settings, without an end.
func Metadata(sp SP) ([]byte, error) {
	root := etree.NewElement("md:EntityDescriptor")
	root.CreateAttr("xmlns:md", nsMetadata)
	root.CreateAttr("xmlns:ds", nsSignature)
	root.CreateAttr("entityID", sp.EntityID)
	role := root.CreateElement("md:SPSSODescriptor")
	role.CreateAttr("AuthnRequestsSigned", fmt.Sprint(sp.SignsRequests))
	role.CreateAttr("WantAssertionsSigned", "true")
	role.CreateAttr("protocolSupportEnumeration", nsProtocol)
	for _, certificate := range sp.Signing {
		keyDescriptor(role, "signing", certificate)
	}
	for _, certificate := range sp.Encryption {
		key := keyDescriptor(role, "encryption", certificate)
		for _, name := range []string{nsEnc11 + "aes256-gcm", nsEnc11 + "aes128-gcm", algOAEP} {
			key.CreateElement("md:EncryptionMethod").CreateAttr("Algorithm", name)
		}
	}
	if sp.SLO != "" {
		for _, binding := range []Binding{Redirect, Post} {
			service := role.CreateElement("md:SingleLogoutService")
			service.CreateAttr("Binding", string(binding))
			service.CreateAttr("Location", sp.SLO)
		}
	}
	for _, format := range sp.NameIDFormats {
		role.CreateElement("md:NameIDFormat").SetText(format)
	}
	acs := role.CreateElement("md:AssertionConsumerService")
	acs.CreateAttr("Binding", string(Post))
	acs.CreateAttr("Location", sp.ACS)
	acs.CreateAttr("index", "0")
	acs.CreateAttr("isDefault", "true")
	document := etree.NewDocumentWithRoot(root)
	document.Indent(2)
	return document.WriteToBytes()
}

func keyDescriptor(role *etree.Element, use string, certificate *x509.Certificate) *etree.Element {
	key := role.CreateElement("md:KeyDescriptor")
	key.CreateAttr("use", use)
	data := key.CreateElement("ds:KeyInfo").CreateElement("ds:X509Data")
	data.CreateElement("ds:X509Certificate").SetText(base64.StdEncoding.EncodeToString(certificate.Raw))
	return key
}
