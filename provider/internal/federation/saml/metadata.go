package saml

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
)

// MaxMetadata is the most bytes of a metadata document.
const MaxMetadata = 1 << 20

const maxCertificates = 20

// Binding is how a message travels, by its URI.
type Binding string

// The two bindings by way of the browser (SAML bindings, 3.4 and 3.5).
const (
	Redirect Binding = crewjam.HTTPRedirectBinding
	Post     Binding = crewjam.HTTPPostBinding
)

// IdP is an identity provider: read out of its metadata, or put together by hand.
type IdP struct {
	EntityID string
	// SSO is where requests go, by binding. SLO is where logout requests go, SLOResponse
	// where answers to logout requests go if that is elsewhere.
	SSO, SLO, SLOResponse map[Binding]string
	// Certificates are those its signatures are verified with.
	Certificates  []*x509.Certificate
	WantsSigned   bool
	NameIDFormats []string
	// ValidUntil is when the metadata is to be thrown away, zero if it does not say;
	// CacheDuration is how soon to look for new, likewise.
	ValidUntil    time.Time
	CacheDuration time.Duration
}

// MetadataOptions say how to read metadata.
type MetadataOptions struct {
	// EntityID chooses among several in one document. If empty, there must be one.
	EntityID string
	// Certificates, if any, must have signed the document.
	Certificates []*x509.Certificate
	Now          time.Time
}

// ParseMetadata reads an identity provider's metadata. What cannot be used is
// left out; what is left must suffice to sign in by.
func ParseMetadata(data []byte, options MetadataOptions) (idp IdP, list []Check, err error) {
	c := &checks{}
	defer func() {
		if recover() != nil {
			err = c.refuse(CheckXML, "metadata that can be read", "some that cannot")
		}
		list = c.list
		if err != nil {
			idp = IdP{}
		}
	}()
	idp, err = c.metadata(data, options)
	return idp, nil, err
}

func (c *checks) metadata(data []byte, options MetadataOptions) (IdP, error) {
	root, _, err := open(data, metadataLimits)
	if errors.Is(err, errTooBig) {
		return IdP{}, c.refuse(CheckSize, "metadata within the limits", err.Error())
	}
	if err != nil {
		return IdP{}, c.refuse(CheckXML, "XML of the plain kind", err.Error())
	}
	uncomment(root)
	if len(options.Certificates) > 0 {
		if root, _, err = c.verifySignature(root, options.Certificates, options.Now); err != nil {
			return IdP{}, err
		}
	}
	ends, err := instant(root, "validUntil")
	if !c.fresh(ends, err, root, options.Now) {
		return IdP{}, c.err()
	}
	entity, err := c.chosen(root, options.EntityID)
	if err != nil {
		return IdP{}, err
	}
	idp, err := c.entity(entity)
	if err != nil {
		return IdP{}, err
	}
	if !c.fresh(idp.ValidUntil, nil, entity, options.Now) {
		return IdP{}, c.err()
	}
	if !ends.IsZero() && (idp.ValidUntil.IsZero() || ends.Before(idp.ValidUntil)) {
		idp.ValidUntil = ends
	}
	return idp, nil
}

func (c *checks) fresh(ends time.Time, err error, el *etree.Element, now time.Time) bool {
	return c.add(CheckClock, err == nil && (ends.IsZero() || now.Before(ends)), "validUntil of "+el.Tag+" after "+stamp(now), value(el, "validUntil"))
}

// chosen finds the one EntityDescriptor that is meant.
func (c *checks) chosen(root *etree.Element, entityID string) (*etree.Element, error) {
	var entities []*etree.Element
	switch {
	case is(root, nsMetadata, "EntityDescriptor"):
		entities = []*etree.Element{root}
	case is(root, nsMetadata, "EntitiesDescriptor"):
		entities = all(root, nsMetadata, "EntityDescriptor")
	}
	var ids []string
	var meant []*etree.Element
	for _, el := range entities {
		if id := value(el, "entityID"); entityID == "" || id == entityID {
			ids, meant = append(ids, id), append(meant, el)
		}
	}
	want := entityID
	if want == "" {
		want = "one entity"
	}
	if !c.add(CheckEntityID, len(meant) == 1 && ids[0] != "" && plain(ids[0]), want, strings.Join(ids, " ")) {
		return nil, c.err()
	}
	return meant[0], nil
}

// entity reads the EntityDescriptor by the library's schema.
func (c *checks) entity(el *etree.Element) (IdP, error) {
	data, err := etree.NewDocumentWithRoot(detach(el)).WriteToBytes()
	if err != nil {
		return IdP{}, c.refuse(CheckXML, "metadata", err.Error())
	}
	var descriptor crewjam.EntityDescriptor
	if err := xml.Unmarshal(data, &descriptor); err != nil {
		return IdP{}, c.refuse(CheckShape, "metadata by its schema", err.Error())
	}
	idp := IdP{EntityID: descriptor.EntityID, ValidUntil: descriptor.ValidUntil, CacheDuration: max(descriptor.CacheDuration, 0)}
	for _, role := range descriptor.IDPSSODescriptors {
		if !slices.Contains(strings.Fields(role.ProtocolSupportEnumeration), nsProtocol) {
			continue
		}
		return c.role(idp, role)
	}
	return IdP{}, c.refuse(CheckShape, "an IDPSSODescriptor for SAML 2.0", "none")
}

func (c *checks) role(idp IdP, role crewjam.IDPSSODescriptor) (IdP, error) {
	if until := role.ValidUntil; until != nil && !until.IsZero() && (idp.ValidUntil.IsZero() || until.Before(idp.ValidUntil)) {
		idp.ValidUntil = *until
	}
	if role.CacheDuration > 0 && (idp.CacheDuration == 0 || role.CacheDuration < idp.CacheDuration) {
		idp.CacheDuration = role.CacheDuration
	}
	idp.WantsSigned = role.WantAuthnRequestsSigned != nil && *role.WantAuthnRequestsSigned
	for _, format := range role.NameIDFormats {
		idp.NameIDFormats = append(idp.NameIDFormats, strings.TrimSpace(string(format)))
	}
	idp.SSO, _ = endpoints(role.SingleSignOnServices)
	idp.SLO, idp.SLOResponse = endpoints(role.SingleLogoutServices)
	c.add(CheckEndpoint, len(idp.SSO) > 0, "a SingleSignOnService by redirect or POST, over https", fmt.Sprint(len(role.SingleSignOnServices), " others"))
	var err error
	if idp.Certificates, err = pinned(role.KeyDescriptors); err != nil {
		c.add(CheckCertificate, false, "certificates for signing", err.Error())
	} else {
		c.add(CheckCertificate, true, "certificates for signing", withDates(idp.Certificates))
	}
	return idp, c.err()
}

// endpoints keeps the first of each of our bindings whose address may be used.
func endpoints(list []crewjam.Endpoint) (locations, responses map[Binding]string) {
	locations, responses = map[Binding]string{}, map[Binding]string{}
	for _, endpoint := range list {
		binding := Binding(endpoint.Binding)
		if _, taken := locations[binding]; taken || binding != Redirect && binding != Post || !Address(endpoint.Location) {
			continue
		}
		locations[binding] = endpoint.Location
		if Address(endpoint.ResponseLocation) {
			responses[binding] = endpoint.ResponseLocation
		}
	}
	return locations, responses
}

// Address says whether a browser may be sent there: https, or http to this machine.
func Address(location string) bool {
	u, err := url.Parse(location)
	if err != nil || len(location) > 2048 || !plain(location) || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	local := u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
	return u.Scheme == "https" || u.Scheme == "http" && local
}

// pinned are the certificates for signing; one without a use is for all uses.
func pinned(keys []crewjam.KeyDescriptor) ([]*x509.Certificate, error) {
	var found []*x509.Certificate
	var fault error
	for _, key := range keys {
		if key.Use != "" && key.Use != "signing" {
			continue
		}
		for _, data := range key.KeyInfo.X509Data.X509Certificates {
			certificate, err := ParseCertificate(data.Data)
			if err != nil {
				fault = err
				continue
			}
			if !slices.ContainsFunc(found, certificate.Equal) {
				found = append(found, certificate)
			}
		}
	}
	if len(found) > maxCertificates {
		return nil, fmt.Errorf("more than %d", maxCertificates)
	}
	if len(found) == 0 && fault == nil {
		fault = errors.New("none")
	}
	if len(found) == 0 {
		return nil, fault
	}
	return found, nil
}

// ParseCertificate reads one certificate as people paste it: PEM, or the base64 of
// metadata. Its key must be RSA of 2,048 to 8,192 bits, or ECDSA.
func ParseCertificate(words string) (*x509.Certificate, error) {
	der := []byte(nil)
	if block, rest := pem.Decode([]byte(strings.TrimSpace(words))); block != nil {
		if block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errors.New("not one certificate")
		}
		der = block.Bytes
	} else {
		var err error
		if der, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(words), "")); err != nil {
			return nil, errors.New("neither PEM nor base64")
		}
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("not a certificate: %w", err)
	}
	return certificate, strongKey(certificate)
}

// uncomment takes comments out, so that no reader can trip over them. Scanning has
// seen to it that none stands inside a value.
func uncomment(el *etree.Element) {
	for i := len(el.Child) - 1; i >= 0; i-- {
		switch child := el.Child[i].(type) {
		case *etree.Comment:
			el.RemoveChildAt(i)
		case *etree.Element:
			uncomment(child)
		}
	}
}
