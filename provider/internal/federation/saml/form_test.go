package saml

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestNoValueIsReadInPart(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{
		"a comment":                "alice@acme.example<!-- -->.evil.example",
		"a comment at the end":     "alice@acme.example<!---->",
		"CDATA":                    "<![CDATA[alice]]>@acme.example",
		"a processing instruction": "alice@acme.example<?x y?>.evil.example",
		"an entity of its own":     "alice&at;acme.example",
	} {
		for _, old := range []string{"alice@idp.example", "alice@acme.example", testAudience} {
			changed := strings.Replace(plainAssertion, old, words, 1)
			// Written by the provider itself: its canonical form is without comments.
			signed := signedAssertion(t, strings.Replace(plainAssertion, old, "alice@acme.example.evil.example", 1))
			mustRefuse(t, strings.Replace(signed, "alice@acme.example.evil.example", words, 1), testExpect(), CheckXML)
			mustRefuse(t, inResponse(changed), testExpect(), CheckXML)
		}
		t.Log(name)
	}
}

func TestReferencesToCharactersAreWhole(t *testing.T) {
	t.Parallel()
	document := signedAssertion(t, strings.Replace(plainAssertion, "alice@idp.example", "alice&amp;&#98;&lt;o&gt;b", 1))
	if got := mustVerify(t, document, testExpect()); got.NameID.Value != "alice&b<o>b" {
		t.Error(got.NameID.Value)
	}
}

func TestWhatIsNotPlainXMLIsRefused(t *testing.T) {
	t.Parallel()
	good := signedAssertion(t, plainAssertion)
	for name, document := range map[string]string{
		"nothing":                       "",
		"words":                         "hello",
		"a DOCTYPE":                     "<!DOCTYPE x>" + good,
		"an external entity":            `<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>` + good,
		"a parameter entity":            `<!DOCTYPE x [<!ENTITY % e SYSTEM "http://192.0.2.1/"> %e;]>` + good,
		"nested entities":               `<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>` + good,
		"a lower-case doctype":          "<!doctype x>" + good,
		"a style sheet":                 `<?xml-stylesheet href="x"?>` + good,
		"a declaration after the root":  good + `<?xml version="1.0"?>`,
		"two declarations":              `<?xml version="1.0"?><?xml version="1.0"?>` + good,
		"UTF-16 by its declaration":     `<?xml version="1.0" encoding="UTF-16"?>` + good,
		"Latin-1 by its declaration":    `<?xml version="1.0" encoding="ISO-8859-1"?>` + good,
		"XML 1.1":                       `<?xml version="1.1"?>` + good,
		"bytes that are not UTF-8":      strings.Replace(good, "alice", "al\xffce", 1),
		"NUL":                           strings.Replace(good, "alice", "al\x00ce", 1),
		"NUL by reference":              strings.Replace(good, "alice", "al&#0;ce", 1),
		"two roots":                     good + good,
		"text after the root":           good + "x",
		"text before the root":          "x" + good,
		"no end":                        strings.TrimSuffix(good, "</samlp:Response>"),
		"another end":                   strings.Replace(good, "</samlp:Response>", "</saml:Response>", 1),
		"an attribute twice":            strings.Replace(good, `ID="_response1"`, `ID="_response1" ID="_response1"`, 1),
		"an ID twice":                   strings.Replace(good, `<samlp:Status>`, `<samlp:Status ID="_assertion1">`, 1),
		"an Id and an ID":               strings.Replace(good, `<samlp:Status>`, `<samlp:Status Id="_assertion1">`, 1),
		"a name with two colons":        strings.Replace(good, `<samlp:Status>`, `<samlp:Status a:b:c="x">`, 1),
		"a name that begins with colon": strings.Replace(good, `<samlp:Status>`, `<samlp:Status :c="x">`, 1),
		"a name that ends with colon":   strings.Replace(good, `<samlp:Status>`, `<samlp:Status c:="x">`, 1),
		"a prefix made nothing":         strings.Replace(good, `<samlp:Status>`, `<samlp:Status xmlns:saml="">`, 1),
		"the prefix xml declared":       strings.Replace(good, `<samlp:Status>`, `<samlp:Status xmlns:xml="urn:x">`, 1),
		"the prefix xmlns declared":     strings.Replace(good, `<samlp:Status>`, `<samlp:Status xmlns:xmlns="urn:x">`, 1),
		"an attribute without quotes":   strings.Replace(good, `<samlp:Status>`, `<samlp:Status a=b>`, 1),
		"a name outside ASCII":          strings.Replace(good, `<samlp:Status>`, `<samlp:Status é="x">`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustRefuse(t, document, testExpect(), CheckXML)
		})
	}
}

func TestAByteOrderMarkAndADeclarationAreFine(t *testing.T) {
	t.Parallel()
	good := signedAssertion(t, plainAssertion)
	mustVerify(t, "\ufeff"+`<?xml version="1.0" encoding="UTF-8"?>`+"\n"+good+"\n", testExpect())
	mustRefuse(t, "\ufeff\ufeff"+good, testExpect(), CheckXML)
}

// TestWhatIsHugeCostsLittle is not parallel: it measures.
func TestWhatIsHugeCostsLittle(t *testing.T) {
	var many strings.Builder
	for i := range 30000 {
		many.WriteString(" a")
		many.WriteString(strings.Repeat("x", i%3))
		many.WriteString(`=""`)
	}
	scope, leaves := "", strings.Repeat("<b/>", 5500)
	for i := range 30 {
		scope += "<a"
		for j := range 31 {
			scope += fmt.Sprintf(` xmlns:p%dx%d="u"`, i, j)
		}
		scope += ">"
	}
	// A signature that somebody got for themselves, on a document that costs as much as can be:
	// it holds for SignedInfo, and so the whole document is brought into canonical form.
	own := signedResponse(t, plainAssertion)
	costly := strings.Replace(own, "<samlp:Status>", "<samlp:Extensions>"+scope+leaves+strings.Repeat("</a>", 30)+"</samlp:Extensions><samlp:Status>", 1)
	big := strings.Replace(own, "<samlp:Status>", `<samlp:Extensions xmlns:x="urn:x">`+strings.Repeat(`<x:b xmlns:c="u"/>`, 5900)+"</samlp:Extensions><samlp:Status>", 1)
	mustRefuse(t, big, testExpect(), CheckSignature)
	for name, document := range map[string]string{
		"a thousand prefixes at once":     costly,
		"a signature of another document": big,
		"200,000 nested elements":         strings.Repeat("<a>", 200000),
		"as deep as the size allows":      strings.Repeat("<a>", MaxMessage/3),
		"a million attributes":            "<a" + strings.Repeat(` b="c"`, 1000000) + "/>",
		"30,000 attributes":               "<a" + many.String() + "/>",
		"50 MB":                           "<a>" + strings.Repeat("x", 50<<20) + "</a>",
		"as many elements as fit":         "<a>" + strings.Repeat("<b/>", MaxMessage/4-10) + "</a>",
		"as many namespaces as fit":       "<a>" + strings.Repeat(`<b xmlns:c="urn:d">`, 30) + strings.Repeat(`<b xmlns:c="urn:d"/>`, 5000) + strings.Repeat("</b>", 30) + "</a>",
		"as many signatures as fit":       inResponse(strings.Repeat(between(signedAssertion(t, plainAssertion), "<ds:Signature ", "</ds:Signature>"), 120)),
		"many transforms":                 inResponse(signID(t, plainAssertion, "_assertion1", signing{transforms: strings.Repeat(`<P:Transform Algorithm="`+algExclusive+`"></P:Transform>`, 3000)})),
	} {
		t.Run(name, func(t *testing.T) {
			took, used := time.Hour, uint64(0)
			for range 3 { // the best counts: the machine may be busy
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				begin := time.Now()
				mustRefuse(t, document, testExpect())
				took = min(took, time.Since(begin))
				runtime.ReadMemStats(&after)
				used = after.TotalAlloc - before.TotalAlloc
			}
			if took > slower*200*time.Millisecond || used > 64<<20 {
				t.Errorf("%v and %d MiB", took, used>>20)
			}
		})
	}
}

func TestAThousandGroupsAreFine(t *testing.T) {
	t.Parallel()
	groups := strings.Repeat("<saml:AttributeValue>cn=some-group,ou=groups,dc=acme,dc=example</saml:AttributeValue>", 1200)
	for way, sign := range signedWays {
		document := sign(t, strings.Replace(plainAssertion, "<saml:AttributeValue>staff</saml:AttributeValue>", groups, 1))
		if got := mustVerify(t, document, testExpect()); len(got.Attributes["groups"]) != 1201 {
			t.Errorf("%s: %d groups", way, len(got.Attributes["groups"]))
		}
	}
}

func TestTooManyAttributesAreRefused(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 201 {
		many.WriteString(`<saml:Attribute Name="a` + strings.Repeat("x", i) + `"><saml:AttributeValue>x</saml:AttributeValue></saml:Attribute>`)
	}
	mustRefuse(t, signedAssertion(t, strings.Replace(plainAssertion, "<saml:AttributeStatement>", "<saml:AttributeStatement>"+many.String(), 1)), testExpect(), CheckAttribute)
}

func TestAttributesOfOneNameAreOneAndOthersCannotPassForThem(t *testing.T) {
	t.Parallel()
	attributes := `<saml:AttributeStatement xmlns:xsi="` + nsInstance + `">` +
		`<saml:Attribute Name="Role"><saml:AttributeValue>a</saml:AttributeValue></saml:Attribute>` +
		`<saml:Attribute Name="Role"><saml:AttributeValue>b</saml:AttributeValue></saml:Attribute>` +
		`<saml:Attribute Name="urn:oid:1" FriendlyName="mail"><saml:AttributeValue>right@acme.example</saml:AttributeValue></saml:Attribute>` +
		`<saml:Attribute Name="urn:oid:2" FriendlyName="Role"><saml:AttributeValue>Administrators</saml:AttributeValue></saml:Attribute>` +
		`<saml:Attribute Name="urn:oid:3" FriendlyName="phone"><saml:AttributeValue>1</saml:AttributeValue></saml:Attribute>` +
		`<saml:Attribute Name="urn:oid:4" FriendlyName="phone"><saml:AttributeValue>2</saml:AttributeValue></saml:Attribute>` +
		`<saml:Attribute Name="nil"><saml:AttributeValue xsi:nil="true"/></saml:Attribute>` +
		`<saml:Attribute Name="targeted"><saml:AttributeValue><saml:NameID>t-1</saml:NameID></saml:AttributeValue></saml:Attribute>` +
		`<saml:Attribute Name="mixed"><saml:AttributeValue>a<b>b</b></saml:AttributeValue><saml:AttributeValue>whole</saml:AttributeValue></saml:Attribute>` +
		`</saml:AttributeStatement>`
	document := signedAssertion(t, strings.Replace(plainAssertion, between(plainAssertion, "<saml:AttributeStatement>", "</saml:AttributeStatement>"), attributes, 1))
	got := mustVerify(t, document, testExpect())
	for name, want := range map[string]string{
		"Role": "a b", "mail": "right@acme.example", "urn:oid:1": "right@acme.example", "phone": "", "urn:oid:3": "1",
		"nil": "", "targeted": "t-1", "mixed": "whole", "none": "", "": "",
	} {
		if words := strings.Join(got.Values(name), " "); words != want {
			t.Errorf("%s: %q", name, words)
		}
	}
}
