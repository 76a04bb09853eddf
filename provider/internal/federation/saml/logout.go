package saml

import (
	"strings"
	"time"

	"github.com/beevik/etree"
)

// LogoutExpect is what a logout message must agree with.
type LogoutExpect struct {
	IdP IdP
	// Destination is our address for logout messages.
	Destination string
	// InResponseTo is the ID of our logout request, for an answer to it.
	InResponseTo string
	// Later leaves the comparison to the caller, who does not know the request yet.
	Later bool
	// Unsigned lets an answer pass without a signature, as Entra ID sends it: it ends
	// nothing that has not ended. A logout request must always be signed.
	Unsigned bool
	Now      time.Time
	// Skew and MaxAge are as in Expect.
	Skew, MaxAge time.Duration
}

// LogoutRequest is an identity provider's. Which sessions are meant is the caller's to find,
// by the whole NameID and, if there are any, the indexes.
type LogoutRequest struct {
	ID             string
	NameID         NameID
	SessionIndexes []string
	IssueInstant   time.Time
	// Until is how long the ID must be remembered, so that it counts once.
	Until time.Time
}

// LogoutResponse is an identity provider's answer to ours.
type LogoutResponse struct {
	ID, InResponseTo string
	// Status are its codes, the outer first; Done says that all went well.
	Status []string
	Done   bool
	Signed bool
}

const maxSessionIndexes = 100

func (e *LogoutExpect) defaults() {
	if e.Skew == 0 {
		e.Skew = DefaultSkew
	}
	if e.MaxAge == 0 {
		e.MaxAge = DefaultMaxAge
	}
}

// VerifyLogoutRequest judges a logout request of either binding.
func VerifyLogoutRequest(in Incoming, expect LogoutExpect) (request LogoutRequest, list []Check, err error) {
	c := &checks{}
	defer func() {
		if recover() != nil {
			err = c.refuse(CheckXML, "a message that can be read", "one that cannot")
		}
		if list = c.list; err != nil {
			request = LogoutRequest{}
		}
	}()
	expect.defaults()
	expect.Unsigned = false
	root, _, err := c.logoutMessage(in, "LogoutRequest", expect)
	if err != nil {
		return request, nil, err
	}
	request = LogoutRequest{ID: value(root, "ID")}
	if nameID, problem := one(root, nsAssertion, "NameID"); problem != nil {
		c.add(CheckNameID, false, "a NameID, not encrypted", problem.Error())
	} else if request.NameID, problem = readNameID(nameID); problem != nil {
		c.add(CheckNameID, false, "a NameID of plain text", problem.Error())
	}
	c.sessionIndexes(root, &request)
	request.IssueInstant, request.Until = c.logoutTimes(root, expect)
	return request, nil, c.err()
}

func (c *checks) sessionIndexes(root *etree.Element, request *LogoutRequest) {
	indexes := all(root, nsProtocol, "SessionIndex")
	ok := len(indexes) <= maxSessionIndexes
	for _, el := range indexes[:min(len(indexes), maxSessionIndexes)] {
		words, err := text(el)
		words = strings.TrimSpace(words)
		ok = ok && err == nil && words != "" && plain(words)
		request.SessionIndexes = append(request.SessionIndexes, words)
	}
	if !ok {
		c.add(CheckShape, false, "session indexes of plain text", "others, or too many")
	}
}

// logoutTimes are when the request was made, and from when it counts no more by its age.
func (c *checks) logoutTimes(root *etree.Element, expect LogoutExpect) (issued, until time.Time) {
	issued, _ = instant(root, "IssueInstant")
	end, err := instant(root, "NotOnOrAfter")
	ok := err == nil && (end.IsZero() || expect.Now.Before(end.Add(expect.Skew)))
	c.add(CheckClock, ok, "NotOnOrAfter after "+stamp(expect.Now.Add(-expect.Skew)), value(root, "NotOnOrAfter"))
	return issued, issued.Add(expect.MaxAge + expect.Skew)
}

// VerifyLogoutResponse judges the answer to our logout request.
func VerifyLogoutResponse(in Incoming, expect LogoutExpect) (response LogoutResponse, list []Check, err error) {
	c := &checks{}
	defer func() {
		if recover() != nil {
			err = c.refuse(CheckXML, "a message that can be read", "one that cannot")
		}
		if list = c.list; err != nil {
			response = LogoutResponse{}
		}
	}()
	expect.defaults()
	root, signed, err := c.logoutMessage(in, "LogoutResponse", expect)
	if err != nil {
		return response, nil, err
	}
	got := value(root, "InResponseTo")
	c.add(CheckInResponseTo, (expect.Later || got == expect.InResponseTo) && got != "", expect.InResponseTo, got)
	response = LogoutResponse{ID: value(root, "ID"), InResponseTo: got, Signed: signed}
	status, problem := one(root, nsProtocol, "Status")
	if problem == nil {
		response.Status, problem = statusCodes(status)
	}
	if problem != nil {
		c.add(CheckStatus, false, "a Status", problem.Error())
	} else {
		response.Done = len(response.Status) == 1 && response.Status[0] == StatusSuccess
		c.add(CheckStatus, true, "a Status", strings.Join(response.Status, " "))
	}
	return response, nil, c.err()
}

// logoutMessage is what requests and answers have in common. It returns the root out of
// signed bytes, if there is a signature.
func (c *checks) logoutMessage(in Incoming, tag string, expect LogoutExpect) (*etree.Element, bool, error) {
	root, found, err := open(in.XML, messageLimits)
	if err != nil {
		return nil, false, c.refuse(CheckXML, "XML of the plain kind", err.Error())
	}
	if err := message(root, tag); err != nil || in.Answer != (tag == "LogoutResponse") {
		return nil, false, c.refuse(CheckShape, "a "+tag, root.Tag)
	}
	if err := signaturesInPlace(found, root); err != nil {
		return nil, false, c.refuse(CheckShape, "at most one signature", err.Error())
	}
	root, signed, err := c.logoutSignature(in, root, expect)
	if err != nil {
		return nil, false, err
	}
	issuer, _ := atMostOne(root, nsAssertion, "Issuer")
	c.issuer(issuer, expect.IdP.EntityID)
	destination, has := attr(root, "Destination")
	if has || signed {
		c.add(CheckDestination, destination == expect.Destination && destination != "", expect.Destination, destination)
	}
	c.issued(root, Expect{Now: expect.Now, Skew: expect.Skew, MaxAge: expect.MaxAge})
	return root, signed, nil
}

// logoutSignature verifies what the binding signs: the query, or the document.
func (c *checks) logoutSignature(in Incoming, root *etree.Element, expect LogoutExpect) (*etree.Element, bool, error) {
	if in.redirect && in.signature != "" {
		return root, true, c.checkQuery(in, expect)
	}
	if signatureOf(root) == nil && expect.Unsigned {
		c.add(CheckSignature, true, "a signature, or none", "none")
		return root, false, nil
	}
	root, _, err := c.verifySignature(root, expect.IdP.Certificates, expect.Now)
	return root, err == nil, err
}
