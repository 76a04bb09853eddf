package saml

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/beevik/etree"
)

// Verify judges a Response that came by HTTP-POST, its XML already decoded: see Decode. It returns the
// one assertion in it, what was checked, and a *Refused if anything does not hold.
func Verify(response []byte, expect Expect) (assertion Assertion, list []Check, err error) {
	c := &checks{}
	defer func() {
		if recover() != nil { // the libraries' panics are a stranger's doing
			assertion, err = Assertion{}, c.refuse(CheckXML, "a message that can be read", "one that cannot")
		}
		list = c.list
		if err != nil {
			assertion = Assertion{}
		}
	}()
	expect.defaults()
	assertion, err = c.response(response, expect)
	return assertion, nil, err
}

func (e *Expect) defaults() {
	if e.Skew == 0 {
		e.Skew = DefaultSkew
	}
	if e.MaxAge == 0 {
		e.MaxAge = DefaultMaxAge
	}
}

// received is a Response on its way.
type received struct {
	root     *etree.Element // as it came
	verified *etree.Element // out of the bytes that its signature covers, or nil
	signer   *x509.Certificate
	ids      map[string]bool
}

func (c *checks) response(data []byte, expect Expect) (Assertion, error) {
	in, err := c.read(data)
	if err != nil {
		return Assertion{}, err
	}
	if signatureOf(in.root) != nil {
		if in.verified, in.signer, err = c.verifySignature(in.root, expect.IdP.Certificates, expect.Now); err != nil {
			return Assertion{}, err
		}
	}
	if err := c.envelope(in, expect); err != nil {
		return Assertion{}, err
	}
	el, signer, err := c.assertionOf(in, expect)
	if err != nil {
		return Assertion{}, err
	}
	assertion, err := c.assertion(el, expect)
	assertion.ResponseID, assertion.Certificate = value(in.root, "ID"), signer
	return assertion, err
}

// read takes a Response in, up to its shape.
func (c *checks) read(data []byte) (received, error) {
	root, found, err := open(data, messageLimits)
	if errors.Is(err, errTooBig) {
		return received{}, c.refuse(CheckSize, "a message within the limits", err.Error())
	}
	if err != nil {
		return received{}, c.refuse(CheckXML, "XML of the plain kind", err.Error())
	}
	c.add(CheckXML, true, "XML of the plain kind", fmt.Sprintf("%d bytes", len(data)))
	in := received{root: root, ids: found.ids}
	if err = responseShape(root, found); err != nil {
		return received{}, c.refuse(CheckShape, "one Response with one assertion in its place", err.Error())
	}
	return in, nil
}

// responseShape holds a Response to the order of its schema. Signatures and assertions
// are counted by local name over the whole document, so that none can hide elsewhere.
func responseShape(root *etree.Element, found scanned) error {
	if err := message(root, "Response"); err != nil {
		return err
	}
	tags := root.ChildElements()
	take := func(namespace, tag string) *etree.Element {
		if len(tags) > 0 && is(tags[0], namespace, tag) {
			el := tags[0]
			tags = tags[1:]
			return el
		}
		return nil
	}
	take(nsAssertion, "Issuer")
	take(nsSignature, "Signature")
	take(nsProtocol, "Extensions")
	status := take(nsProtocol, "Status")
	if status == nil {
		return errors.New("no Status in its place")
	}
	codes, err := statusCodes(status)
	if err != nil {
		return err
	}
	assertions := found.names["Assertion"] + found.names["EncryptedAssertion"]
	if codes[0] != StatusSuccess && assertions == 0 && len(tags) == 0 {
		return signaturesInPlace(found, root)
	}
	plain, encrypted := take(nsAssertion, "Assertion"), take(nsAssertion, "EncryptedAssertion")
	if len(tags) > 0 || (plain == nil) == (encrypted == nil) || assertions != 1 || found.names["Response"] != 1 {
		return fmt.Errorf("%d assertions and %d Responses", assertions, found.names["Response"])
	}
	return signaturesInPlace(found, root, plain)
}

// signaturesInPlace wants every Signature of the document to be one of these elements' own.
func signaturesInPlace(found scanned, elements ...*etree.Element) error {
	own := 0
	for _, el := range elements {
		if el != nil && signatureOf(el) != nil {
			own++
		}
	}
	if found.names["Signature"] != own {
		return errors.New("a Signature out of its place")
	}
	return nil
}

// envelope checks what the Response says about itself: by its signed bytes, if it is signed.
func (c *checks) envelope(in received, expect Expect) error {
	el, signed := in.root, in.verified != nil
	if signed {
		el = in.verified
	}
	status, err := one(el, nsProtocol, "Status")
	if err != nil {
		return c.refuse(CheckShape, "a Status", err.Error())
	}
	codes, err := statusCodes(status)
	if err != nil {
		return c.refuse(CheckShape, "a Status", err.Error())
	}
	if !c.add(CheckStatus, codes[0] == StatusSuccess, StatusSuccess, strings.Join(codes, " ")+statusMessage(status)) {
		return &Refused{Check: *c.failed, Status: codes}
	}
	if issuer, err := atMostOne(el, nsAssertion, "Issuer"); err != nil || signed || issuer != nil {
		c.issuer(issuer, expect.IdP.EntityID)
	}
	if destination, ok := attr(el, "Destination"); ok || signed {
		c.add(CheckDestination, destination == expect.ACS, expect.ACS, destination)
	}
	c.inResponseTo("Response", el, expect)
	c.issued(el, expect)
	return c.err()
}

func (c *checks) issuer(issuer *etree.Element, want string) {
	if issuer == nil {
		c.add(CheckIssuer, false, want, "none")
		return
	}
	got, err := text(issuer)
	format, has := attr(issuer, "Format")
	ok := err == nil && got == want && want != "" && (!has || format == formatEntity)
	c.add(CheckIssuer, ok, want, got)
}

func (c *checks) inResponseTo(of string, el *etree.Element, expect Expect) bool {
	got, has := attr(el, "InResponseTo")
	if expect.InResponseTo != "" {
		return c.add(CheckInResponseTo, got == expect.InResponseTo, of+" to "+expect.InResponseTo, got)
	}
	if !expect.Unsolicited {
		return c.add(CheckInResponseTo, false, "an answer to our request", "one that nobody asked for; the connection does not allow that")
	}
	return c.add(CheckInResponseTo, !has, of+" to no request", got)
}

// issued holds an IssueInstant to its age.
func (c *checks) issued(el *etree.Element, expect Expect) {
	at, err := instant(el, "IssueInstant")
	oldest, newest := expect.Now.Add(-expect.MaxAge-expect.Skew), expect.Now.Add(expect.Skew)
	ok := err == nil && !at.IsZero() && !at.After(newest) && at.After(oldest)
	c.add(CheckClock, ok, el.Tag+" issued after "+stamp(oldest)+" and not after "+stamp(newest), value(el, "IssueInstant"))
}

// statusMessage is what the provider says to administrators.
func statusMessage(status *etree.Element) string {
	el, err := atMostOne(status, nsProtocol, "StatusMessage")
	if err != nil || el == nil {
		return ""
	}
	words, _ := text(el)
	return ": " + strings.TrimSpace(words)
}

// assertionOf finds the assertion in bytes that are signed.
func (c *checks) assertionOf(in received, expect Expect) (*etree.Element, *x509.Certificate, error) {
	if encrypted, _ := atMostOne(in.root, nsAssertion, "EncryptedAssertion"); encrypted != nil {
		return c.decrypted(encrypted, in, expect)
	}
	if expect.Encrypted {
		return nil, nil, c.refuse(CheckDecryption, "an assertion that is encrypted for us", "one in clear")
	}
	plain, err := one(in.root, nsAssertion, "Assertion")
	if err != nil {
		return nil, nil, c.refuse(CheckShape, "an assertion", err.Error())
	}
	if err := versionAndID(plain); err != nil {
		return nil, nil, c.refuse(CheckShape, "an assertion", err.Error())
	}
	if signatureOf(plain) != nil || in.verified == nil {
		return c.verifySignature(plain, expect.IdP.Certificates, expect.Now)
	}
	el, err := one(in.verified, nsAssertion, "Assertion")
	if err != nil || value(el, "ID") != value(plain, "ID") {
		return nil, nil, c.refuse(CheckShape, "the assertion that was signed", "another")
	}
	return el, in.signer, nil
}

const formatEntity = "urn:oasis:names:tc:SAML:2.0:nameid-format:entity"

// statusCodes are those of a Status, the outer first.
func statusCodes(status *etree.Element) ([]string, error) {
	var codes []string
	for el := status; len(codes) < 4; {
		code, err := atMostOne(el, nsProtocol, "StatusCode")
		if err != nil {
			return nil, err
		}
		if code == nil {
			break
		}
		codes = append(codes, cut(value(code, "Value")))
		el = code
	}
	if len(codes) == 0 {
		return nil, errors.New("a Status without a code")
	}
	return codes, nil
}
