package saml

import (
	"fmt"
	"strings"

	"github.com/beevik/etree"
)

// Limits of attributes.
const (
	maxAttributes = 200
	maxValues     = 4000
	maxValue      = 8 << 10
)

// attributes reads all attribute statements. An attribute is its Name; one that
// comes again adds its values, as Keycloak sends roles. A value that is not plain text
// is left out whole, never read in part; the NameID of eduPersonTargetedID is its text.
func (c *checks) attributes(el *etree.Element, a *Assertion) {
	a.Attributes, a.Friendly = map[string][]string{}, map[string]string{}
	friendly, left, count := map[string]map[string]bool{}, 0, 0
	for _, statement := range all(el, nsAssertion, "AttributeStatement") {
		for _, attribute := range statement.ChildElements() {
			if !is(attribute, nsAssertion, "Attribute") { // EncryptedAttribute
				left++
				continue
			}
			name, values, err := readAttribute(attribute)
			if err != nil {
				c.add(CheckAttribute, false, "attributes of plain text", err.Error())
				return
			}
			left += len(all(attribute, nsAssertion, "AttributeValue")) - len(values)
			a.Attributes[name] = append(a.Attributes[name], values...)
			count += len(values)
			if alias := value(attribute, "FriendlyName"); alias != "" && plain(alias) {
				if friendly[alias] == nil {
					friendly[alias] = map[string]bool{}
				}
				friendly[alias][name] = true
			}
		}
	}
	a.Friendly = unambiguous(friendly, a.Attributes)
	got := fmt.Sprintf("%d attributes, %d values, %d left out", len(a.Attributes), count, left)
	c.add(CheckAttribute, len(a.Attributes) <= maxAttributes && count <= maxValues, fmt.Sprintf("at most %d attributes with %d values", maxAttributes, maxValues), got)
}

// unambiguous keeps a FriendlyName that only one Name goes by and that is nobody's Name:
// whoever may choose a FriendlyName upstream cannot put a value under another's Name.
func unambiguous(friendly map[string]map[string]bool, names map[string][]string) map[string]string {
	found := map[string]string{}
	for alias, under := range friendly {
		if _, taken := names[alias]; taken || len(under) != 1 {
			continue
		}
		for name := range under {
			found[alias] = name
		}
	}
	return found
}

func readAttribute(el *etree.Element) (string, []string, error) {
	name := value(el, "Name")
	if name == "" || !plain(name) {
		return "", nil, fmt.Errorf("an attribute without a plain Name")
	}
	var values []string
	for _, child := range all(el, nsAssertion, "AttributeValue") {
		v, ok := attributeValue(child)
		if !ok {
			continue
		}
		if len(v) > maxValue || strings.ContainsFunc(v, func(r rune) bool { return isControl(r) && r != '\n' && r != '\t' && r != '\r' }) {
			return "", nil, fmt.Errorf("%s has a value that is too long or has control characters", name)
		}
		values = append(values, v)
	}
	return name, values, nil
}

// attributeValue is the whole text, or nothing.
func attributeValue(el *etree.Element) (string, bool) {
	for _, a := range el.Attr {
		if a.Key == "nil" && a.NamespaceURI() == nsInstance && (a.Value == "true" || a.Value == "1") {
			return "", false
		}
	}
	if nameID, err := one(el, nsAssertion, "NameID"); err == nil && len(el.ChildElements()) == 1 && container(el) == nil {
		name, err := readNameID(nameID)
		return name.Value, err == nil
	}
	v, err := text(el)
	return v, err == nil
}
