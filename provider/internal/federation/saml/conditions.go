package saml

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
)

const (
	methodBearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	most         = 1024 // characters of a name or an identifier
)

// assertion reads and judges an assertion out of signed bytes. All checks are made even
// if one fails: an administrator then sees everything that is wrong at once.
func (c *checks) assertion(el *etree.Element, expect Expect) (Assertion, error) {
	if err := assertionShape(el); err != nil {
		return Assertion{}, c.refuse(CheckShape, "an assertion of the usual form", err.Error())
	}
	a := Assertion{ID: value(el, "ID"), Issuer: expect.IdP.EntityID}
	issuer, _ := atMostOne(el, nsAssertion, "Issuer")
	c.issuer(issuer, expect.IdP.EntityID)
	c.issued(el, expect)
	a.IssueInstant, _ = instant(el, "IssueInstant")
	a.Until = a.IssueInstant.Add(expect.MaxAge + expect.Skew)
	c.subject(el, &a, expect)
	c.conditions(el, expect)
	c.authnStatement(el, &a, expect)
	c.attributes(el, &a)
	return a, c.err()
}

// assertionShape wants the order of the schema and every part at most once.
func assertionShape(el *etree.Element) error {
	if !is(el, nsAssertion, "Assertion") {
		return errors.New("not an assertion")
	}
	if err := versionAndID(el); err != nil {
		return err
	}
	var statements []*etree.Element
	children := el.ChildElements()
	for _, tag := range []string{"Issuer", "Signature", "Subject", "Conditions", "Advice"} {
		namespace := nsAssertion
		if tag == "Signature" {
			namespace = nsSignature
		}
		if len(children) > 0 && is(children[0], namespace, tag) {
			children = children[1:]
		}
	}
	statements = children
	for _, statement := range statements {
		if !is(statement, nsAssertion, "AuthnStatement") && !is(statement, nsAssertion, "AttributeStatement") {
			return errors.New("a " + statement.Tag + " out of its place, or of no known kind")
		}
	}
	return nil
}

func (c *checks) subject(el *etree.Element, a *Assertion, expect Expect) {
	subject, err := one(el, nsAssertion, "Subject")
	if err != nil {
		c.add(CheckNameID, false, "a Subject", err.Error())
		return
	}
	nameID, err := one(subject, nsAssertion, "NameID")
	if err != nil || len(all(subject, nsAssertion, "EncryptedID"))+len(all(subject, nsAssertion, "BaseID")) > 0 {
		c.add(CheckNameID, false, "one NameID, not encrypted by itself", "none, or of another kind")
	} else if a.NameID, err = readNameID(nameID); err != nil {
		c.add(CheckNameID, false, "a NameID of plain text", err.Error())
	} else {
		c.add(CheckNameID, true, "a NameID", a.NameID.Format)
	}
	c.confirmed(subject, a, expect)
}

// readNameID takes the whole text or nothing.
func readNameID(el *etree.Element) (NameID, error) {
	words, err := text(el)
	if err != nil {
		return NameID{}, err
	}
	name := NameID{words, value(el, "Format"), value(el, "NameQualifier"), value(el, "SPNameQualifier")}
	for _, s := range []string{name.Value, name.Format, name.NameQualifier, name.SPNameQualifier} {
		if len(s) > most || strings.ContainsFunc(s, isControl) || s != strings.TrimSpace(s) {
			return NameID{}, errors.New("too long, or with control characters or spaces around it")
		}
	}
	if name.Value == "" {
		return NameID{}, errors.New("empty")
	}
	return name, nil
}

// confirmed wants one bearer confirmation of which everything holds.
func (c *checks) confirmed(subject *etree.Element, a *Assertion, expect Expect) {
	var tries []*checks
	for _, confirmation := range all(subject, nsAssertion, "SubjectConfirmation") {
		try := &checks{}
		if try.bearer(confirmation, expect); try.failed == nil {
			c.list = append(c.list, try.list...)
			c.add(CheckSubjectConfirmation, true, methodBearer, methodBearer)
			a.InResponseTo = expect.InResponseTo
			return
		}
		tries = append(tries, try)
	}
	if len(tries) == 0 {
		c.add(CheckSubjectConfirmation, false, methodBearer, "none")
		return
	}
	for _, check := range tries[0].list { // mostly there is but one
		c.add(check.Name, check.OK, check.Expected, check.Got)
	}
}

func (c *checks) bearer(confirmation *etree.Element, expect Expect) {
	if !c.add(CheckSubjectConfirmation, value(confirmation, "Method") == methodBearer, methodBearer, value(confirmation, "Method")) {
		return
	}
	data, err := one(confirmation, nsAssertion, "SubjectConfirmationData")
	if err != nil {
		c.add(CheckSubjectConfirmation, false, "SubjectConfirmationData", err.Error())
		return
	}
	recipient := value(data, "Recipient")
	c.add(CheckRecipient, recipient == expect.ACS && expect.ACS != "", expect.ACS, recipient)
	c.inResponseTo("SubjectConfirmationData", data, expect)
	c.before(data, expect)
	if _, has := attr(data, "NotBefore"); has {
		c.add(CheckSubjectConfirmation, false, "no NotBefore (SAML profiles, 4.1.4.2)", value(data, "NotBefore"))
	}
}

// before holds a NotOnOrAfter, which must be there.
func (c *checks) before(el *etree.Element, expect Expect) {
	end, err := instant(el, "NotOnOrAfter")
	ok := err == nil && !end.IsZero() && expect.Now.Before(end.Add(expect.Skew))
	c.add(CheckClock, ok, el.Tag+" NotOnOrAfter after "+stamp(expect.Now.Add(-expect.Skew)), value(el, "NotOnOrAfter"))
}

func (c *checks) conditions(el *etree.Element, expect Expect) {
	conditions, err := one(el, nsAssertion, "Conditions")
	if err != nil {
		c.add(CheckConditions, false, "Conditions", err.Error())
		return
	}
	c.before(conditions, expect)
	begin, err := instant(conditions, "NotBefore")
	c.add(CheckClock, err == nil && !begin.After(expect.Now.Add(expect.Skew)), "Conditions NotBefore not after "+stamp(expect.Now.Add(expect.Skew)), value(conditions, "NotBefore"))
	restrictions := 0
	for _, child := range conditions.ChildElements() {
		switch {
		case is(child, nsAssertion, "AudienceRestriction"):
			restrictions++
			c.audience(child, expect.Audience)
		case is(child, nsAssertion, "OneTimeUse"), is(child, nsAssertion, "ProxyRestriction"):
		default: // unknown, and so undecided (SAML core, 2.5.1.1)
			c.add(CheckConditions, false, "conditions that we understand", child.Tag)
		}
	}
	if restrictions == 0 {
		c.add(CheckAudience, false, expect.Audience, "no AudienceRestriction")
	}
}

// audience: within a restriction one of the audiences must be us; all restrictions must hold.
func (c *checks) audience(restriction *etree.Element, want string) {
	var names []string
	for _, audience := range all(restriction, nsAssertion, "Audience") {
		name, err := text(audience)
		if err != nil {
			c.add(CheckAudience, false, want, err.Error())
			return
		}
		names = append(names, name)
	}
	c.add(CheckAudience, want != "" && slices.Contains(names, want), want, strings.Join(names, " "))
}

func (c *checks) authnStatement(el *etree.Element, a *Assertion, expect Expect) {
	statement, err := one(el, nsAssertion, "AuthnStatement")
	if err != nil {
		c.add(CheckAuthnStatement, false, "one AuthnStatement", err.Error())
		return
	}
	at, err := instant(statement, "AuthnInstant")
	c.add(CheckAuthnStatement, err == nil && !at.IsZero() && !at.After(expect.Now.Add(expect.Skew)),
		"AuthnInstant not after "+stamp(expect.Now.Add(expect.Skew)), value(statement, "AuthnInstant"))
	ends, err := instant(statement, "SessionNotOnOrAfter")
	c.add(CheckClock, err == nil && (ends.IsZero() || expect.Now.Before(ends.Add(expect.Skew))),
		"SessionNotOnOrAfter after "+stamp(expect.Now.Add(-expect.Skew)), value(statement, "SessionNotOnOrAfter"))
	a.AuthnInstant, a.SessionEnds, a.SessionIndex = at, ends, value(statement, "SessionIndex")
	context, err := one(statement, nsAssertion, "AuthnContext")
	if err == nil {
		a.AuthnContext, err = optionalText(context, "AuthnContextClassRef")
	}
	ok := err == nil && plain(a.AuthnContext) && plain(a.SessionIndex)
	c.add(CheckAuthnStatement, ok, "an AuthnContext and plain words", a.AuthnContext)
}

func optionalText(parent *etree.Element, tag string) (string, error) {
	el, err := atMostOne(parent, nsAssertion, tag)
	if err != nil || el == nil {
		return "", err
	}
	words, err := text(el)
	return strings.TrimSpace(words), err
}

func plain(s string) bool { return len(s) <= most && !strings.ContainsFunc(s, isControl) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
