package saml

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/beevik/etree"
	crewjam "github.com/crewjam/saml"
)

// Message is one of ours before it is sent: see Message.Redirect and Message.Post.
type Message struct {
	// ID is what the answer must name.
	ID          string
	Destination string
	answer      bool // travels as SAMLResponse
	root        *etree.Element
}

// RequestOptions are what an AuthnRequest may ask for besides.
type RequestOptions struct {
	ForceAuthn, IsPassive bool
	// NameIDFormat is asked for; empty asks for none.
	NameIDFormat string
	// AuthnContexts are class references of which one must be met exactly.
	AuthnContexts []string
}

// NewAuthnRequest asks the identity provider at a destination of its metadata to sign
// somebody in and to answer by POST to our ACS.
func NewAuthnRequest(sp SP, destination string, options RequestOptions, now time.Time) (Message, error) {
	if !Address(destination) {
		return Message{}, errors.New("ask for a sign-in: no address to ask at")
	}
	id := newID()
	create := true
	request := crewjam.AuthnRequest{
		ID: id, Version: "2.0", IssueInstant: whole(now), Destination: destination,
		Issuer:                      &crewjam.Issuer{Value: sp.EntityID},
		NameIDPolicy:                &crewjam.NameIDPolicy{AllowCreate: &create},
		AssertionConsumerServiceURL: sp.ACS,
		ProtocolBinding:             string(Post),
	}
	if options.NameIDFormat != "" {
		request.NameIDPolicy.Format = &options.NameIDFormat
	}
	if options.ForceAuthn {
		request.ForceAuthn = &options.ForceAuthn
	}
	if options.IsPassive {
		request.IsPassive = &options.IsPassive
	}
	root := request.Element()
	if len(options.AuthnContexts) > 0 {
		// The library's own element takes one class alone.
		context := root.CreateElement("samlp:RequestedAuthnContext")
		context.CreateAttr("Comparison", "exact")
		for _, class := range options.AuthnContexts {
			context.CreateElement("saml:AuthnContextClassRef").SetText(class)
		}
	}
	return Message{ID: id, Destination: destination, root: root}, nil
}

// NewLogoutRequest tells the identity provider that a session is over: all that the
// subject has from it if there are no session indexes.
func NewLogoutRequest(sp SP, destination string, name NameID, sessionIndexes []string, now time.Time) (Message, error) {
	if !Address(destination) {
		return Message{}, errors.New("ask for a sign-out: no address to ask at")
	}
	id, end := newID(), whole(now.Add(DefaultMaxAge))
	request := crewjam.LogoutRequest{
		ID: id, Version: "2.0", IssueInstant: whole(now), NotOnOrAfter: &end, Destination: destination,
		Issuer: &crewjam.Issuer{Value: sp.EntityID},
		NameID: &crewjam.NameID{Value: name.Value, Format: name.Format, NameQualifier: name.NameQualifier, SPNameQualifier: name.SPNameQualifier},
	}
	root := request.Element()
	for _, index := range sessionIndexes {
		root.CreateElement("samlp:SessionIndex").SetText(index)
	}
	return Message{ID: id, Destination: destination, root: root}, nil
}

// Outcomes of a logout request (SAML core, 3.2.2.2 and 3.7.3.2).
const (
	StatusSuccess       = "urn:oasis:names:tc:SAML:2.0:status:Success"
	StatusPartialLogout = "urn:oasis:names:tc:SAML:2.0:status:PartialLogout"
	StatusRequester     = "urn:oasis:names:tc:SAML:2.0:status:Requester"
	StatusResponder     = "urn:oasis:names:tc:SAML:2.0:status:Responder"
)

// NewLogoutResponse answers a logout request. StatusPartialLogout stands below Success.
func NewLogoutResponse(sp SP, destination, inResponseTo, status string, now time.Time) (Message, error) {
	if !Address(destination) {
		return Message{}, errors.New("answer a sign-out: no address to answer at")
	}
	id := newID()
	response := crewjam.LogoutResponse{
		ID: id, Version: "2.0", IssueInstant: whole(now), Destination: destination, InResponseTo: inResponseTo,
		Issuer: &crewjam.Issuer{Value: sp.EntityID},
		Status: crewjam.Status{StatusCode: crewjam.StatusCode{Value: status}},
	}
	if status == StatusPartialLogout {
		response.Status.StatusCode = crewjam.StatusCode{Value: StatusResponder, StatusCode: &crewjam.StatusCode{Value: status}}
	}
	return Message{ID: id, Destination: destination, answer: true, root: response.Element()}, nil
}

// newID is 160 bits of chance; an ID may not begin with a digit.
func newID() string {
	b := make([]byte, 20)
	rand.Read(b)
	return "_" + hex.EncodeToString(b)
}

// whole leaves fractions of a second out: some peers cannot read them.
func whole(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
