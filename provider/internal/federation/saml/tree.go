package saml

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/beevik/etree"
)

// Namespaces.
const (
	nsProtocol   = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion  = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata   = "urn:oasis:names:tc:SAML:2.0:metadata"
	nsSignature  = "http://www.w3.org/2000/09/xmldsig#"
	nsEncryption = "http://www.w3.org/2001/04/xmlenc#"
	nsInstance   = "http://www.w3.org/2001/XMLSchema-instance"
)

// open scans bytes and makes a tree of them.
func open(data []byte, l limits) (*etree.Element, scanned, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	s, err := scan(data, l)
	if err != nil {
		return nil, s, err
	}
	root, err := parse(data)
	return root, s, err
}

// parse makes a tree of bytes that were scanned.
func parse(data []byte) (*etree.Element, error) {
	document := etree.NewDocument()
	document.ReadSettings.PreserveDuplicateAttrs = true
	if err := document.ReadFromBytes(data); err != nil {
		return nil, err
	}
	roots := document.ChildElements()
	if len(roots) != 1 {
		return nil, errors.New("not one root")
	}
	return roots[0], nil
}

// is says whether an element is the one meant: by namespace, whatever its prefix.
func is(el *etree.Element, namespace, tag string) bool {
	return el != nil && el.Tag == tag && el.NamespaceURI() == namespace
}

// all are the children of a name.
func all(el *etree.Element, namespace, tag string) []*etree.Element {
	return slices.DeleteFunc(el.ChildElements(), func(child *etree.Element) bool { return !is(child, namespace, tag) })
}

// one is the only child of a name.
func one(el *etree.Element, namespace, tag string) (*etree.Element, error) {
	found, err := atMostOne(el, namespace, tag)
	if err == nil && found == nil {
		return nil, fmt.Errorf("no %s in %s", tag, el.Tag)
	}
	return found, err
}

func atMostOne(el *etree.Element, namespace, tag string) (*etree.Element, error) {
	found := all(el, namespace, tag)
	if len(found) > 1 {
		return nil, fmt.Errorf("more than one %s in %s", tag, el.Tag)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found[0], nil
}

// text is the whole text of an element that holds nothing else.
func text(el *etree.Element) (string, error) {
	var b strings.Builder
	for _, child := range el.Child {
		data, ok := child.(*etree.CharData)
		if !ok {
			return "", fmt.Errorf("%s holds more than text", el.Tag)
		}
		b.WriteString(data.Data)
	}
	return b.String(), nil
}

// container refuses text between the children of an element.
func container(el *etree.Element) error {
	for _, child := range el.Child {
		if data, ok := child.(*etree.CharData); ok && strings.TrimSpace(data.Data) != "" {
			return fmt.Errorf("text in %s", el.Tag)
		}
	}
	return nil
}

// attr is an attribute without a prefix.
func attr(el *etree.Element, name string) (string, bool) {
	for _, a := range el.Attr {
		if a.Space == "" && a.Key == name {
			return a.Value, true
		}
	}
	return "", false
}

func value(el *etree.Element, name string) string {
	v, _ := attr(el, name)
	return v
}

// instant reads an xs:dateTime with its zone, without which SAML allows none.
// An attribute that is not there is the zero time.
func instant(el *etree.Element, name string) (time.Time, error) {
	v, ok := attr(el, name)
	if !ok {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, v)
	if err != nil || len(v) > 40 {
		return time.Time{}, fmt.Errorf("%s of %s is not a time", name, el.Tag)
	}
	if t.IsZero() {
		return time.Time{}, fmt.Errorf("%s of %s is before all times", name, el.Tag)
	}
	return t.UTC(), nil
}

// message checks what all protocol messages have: root, version, ID.
func message(root *etree.Element, tag string) error {
	if !is(root, nsProtocol, tag) {
		return fmt.Errorf("the root is %s and not %s", root.Tag, tag)
	}
	return versionAndID(root)
}

func versionAndID(el *etree.Element) error {
	if value(el, "Version") != "2.0" {
		return fmt.Errorf("the version of %s is not 2.0", el.Tag)
	}
	if id := value(el, "ID"); !isNCName(id) || len(id) > 256 {
		return fmt.Errorf("%s has no ID", el.Tag)
	}
	return container(el)
}
