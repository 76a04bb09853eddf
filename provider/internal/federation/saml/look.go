package saml

import "errors"

// Claimed is what a Response says on its outside. Anybody can write it: it serves to
// find the flow that it may belong to and to fill a trace, and proves nothing.
type Claimed struct {
	ID, InResponseTo, Issuer, Destination string
}

// Look reads the outside of a Response within the same limits as Verify, and verifies nothing.
func Look(response []byte) (claimed Claimed, err error) {
	c := &checks{}
	defer func() {
		if recover() != nil {
			claimed, err = Claimed{}, c.refuse(CheckXML, "a message that can be read", "one that cannot")
		}
	}()
	root, _, err := open(response, messageLimits)
	if errors.Is(err, errTooBig) {
		return Claimed{}, c.refuse(CheckSize, "a message within the limits", err.Error())
	}
	if err != nil {
		return Claimed{}, c.refuse(CheckXML, "XML of the plain kind", err.Error())
	}
	if err := message(root, "Response"); err != nil {
		return Claimed{}, c.refuse(CheckShape, "a Response", err.Error())
	}
	claimed = Claimed{ID: value(root, "ID"), InResponseTo: value(root, "InResponseTo"), Destination: value(root, "Destination")}
	if issuer, err := atMostOne(root, nsAssertion, "Issuer"); err == nil && issuer != nil {
		claimed.Issuer, _ = text(issuer)
	}
	for _, words := range []string{claimed.InResponseTo, claimed.Issuer, claimed.Destination} {
		if !plain(words) {
			return Claimed{}, c.refuse(CheckShape, "plain words", words)
		}
	}
	return claimed, nil
}
