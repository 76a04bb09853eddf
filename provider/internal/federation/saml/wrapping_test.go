package saml

import (
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/beevik/etree"
	"github.com/google/go-cmp/cmp"
)

// Signature wrapping, as Somorovsky et al. number it ("On Breaking SAML: Be Whoever You
// Want to Be", 2012), with a ninth that hides the original in the Status.
// Each gets the Response and the assertion that was signed, and leaves a document
// in which mallory comes first to some reader.

// evil is a copy of an element that names mallory and has another ID.
func evil(el *etree.Element, keepSignature bool) *etree.Element {
	out := el.Copy()
	out.CreateAttr("ID", "_evil"+out.SelectAttrValue("ID", ""))
	if sig := signatureOf(out); sig != nil && !keepSignature {
		out.RemoveChild(sig)
	}
	for _, name := range out.FindElements(".//NameID") {
		name.SetText("mallory@idp.example")
	}
	for _, inner := range out.FindElements(".//Assertion") {
		inner.CreateAttr("ID", "_evil"+inner.SelectAttrValue("ID", ""))
	}
	return out
}

var wrappings = map[string]func(response, assertion *etree.Element) *etree.Element{
	"1: the signed Response inside the signature of another": func(response, _ *etree.Element) *etree.Element {
		out := evil(response, true)
		original := response.Copy()
		removeSignature(original)
		if sig := signatureOf(out); sig != nil {
			sig.AddChild(original)
		}
		return out
	},
	"2: the signed Response before the signature of another": func(response, _ *etree.Element) *etree.Element {
		out := evil(response, true)
		original := response.Copy()
		removeSignature(original)
		out.InsertChildAt(1, original)
		return out
	},
	"3: another assertion before the signed one": func(response, assertion *etree.Element) *etree.Element {
		response.InsertChildAt(assertion.Index(), evil(assertion, false))
		return response
	},
	"4: the signed assertion inside another": func(response, assertion *etree.Element) *etree.Element {
		out := evil(assertion, false)
		response.InsertChildAt(assertion.Index(), out)
		out.AddChild(assertion)
		return response
	},
	"5: another with the signature, the signed one after it": func(response, assertion *etree.Element) *etree.Element {
		response.InsertChildAt(assertion.Index(), evil(assertion, true))
		removeSignature(assertion)
		return response
	},
	"6: another with the signature, the signed one inside that": func(response, assertion *etree.Element) *etree.Element {
		out := evil(assertion, true)
		response.InsertChildAt(assertion.Index(), out)
		removeSignature(assertion)
		if sig := signatureOf(out); sig != nil {
			sig.AddChild(assertion)
		}
		return response
	},
	"7: another in Extensions": func(response, assertion *etree.Element) *etree.Element {
		extensions := etree.NewElement("samlp:Extensions")
		extensions.AddChild(evil(assertion, false))
		response.InsertChildAt(response.SelectElement("Status").Index(), extensions)
		return response
	},
	"8: the signed one in an Object of another's signature": func(response, assertion *etree.Element) *etree.Element {
		out := evil(assertion, true)
		response.InsertChildAt(assertion.Index(), out)
		removeSignature(assertion)
		if sig := signatureOf(out); sig != nil {
			sig.CreateElement("ds:Object").AddChild(assertion)
		}
		return response
	},
	"9: the signed one in the detail of the Status": func(response, assertion *etree.Element) *etree.Element {
		out := evil(assertion, true)
		response.InsertChildAt(assertion.Index(), out)
		response.SelectElement("Status").CreateElement("samlp:StatusDetail").AddChild(assertion)
		return response
	},
	"the same ID on both": func(response, assertion *etree.Element) *etree.Element {
		out := evil(assertion, true)
		out.CreateAttr("ID", assertion.SelectAttrValue("ID", ""))
		response.InsertChildAt(assertion.Index()+1, out)
		return response
	},
	"words of another in place": func(response, assertion *etree.Element) *etree.Element {
		assertion.FindElement(".//NameID").SetText("mallory@idp.example")
		return response
	},
	"the signed one in Advice": func(response, assertion *etree.Element) *etree.Element {
		out := evil(assertion, true)
		response.InsertChildAt(assertion.Index(), out)
		advice := etree.NewElement("saml:Advice")
		advice.AddChild(assertion)
		out.InsertChildAt(out.SelectElement("Conditions").Index()+1, advice)
		return response
	},
}

func removeSignature(el *etree.Element) {
	if sig := signatureOf(el); sig != nil {
		el.RemoveChild(sig)
	}
}

func TestNoWrappingPasses(t *testing.T) {
	t.Parallel()
	for way, sign := range signedWays {
		for name, wrap := range wrappings {
			t.Run(way+"/"+name, func(t *testing.T) {
				t.Parallel()
				root, err := parse([]byte(sign(t, plainAssertion)))
				if err != nil {
					t.Fatal(err)
				}
				document, err := serialize(wrap(root, root.SelectElement("Assertion")))
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(document), "mallory") {
					t.Fatal("nothing was wrapped")
				}
				mustRefuse(t, string(document), testExpect())
			})
		}
	}
}

// TestNoMutantSaysMore deletes, repeats and moves every element, deletes and changes every
// attribute and every text, and wants each time a refusal or the very same words.
func TestNoMutantSaysMore(t *testing.T) {
	t.Parallel()
	for way, sign := range signedWays {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			document := sign(t, plainAssertion)
			want := mustVerify(t, document, testExpect())
			made, same := 0, 0
			for name, mutant := range mutants(t, document) {
				made++
				got, _, err := Verify([]byte(mutant), testExpect())
				if err != nil {
					continue
				}
				same++
				got.ResponseID = want.ResponseID // where only the assertion is signed, it is anybody's
				if diff := cmp.Diff(want, got, cmp.Comparer((*x509.Certificate).Equal)); diff != "" {
					t.Errorf("%s:\n%s\n%s", name, diff, mutant)
				}
			}
			if made < 400 {
				t.Errorf("only %d mutants", made)
			}
			t.Logf("%d mutants, %d of them without a difference", made, same)
		})
	}
}

// mutants yields a name and a document for each.
func mutants(t *testing.T, document string) map[string]string {
	t.Helper()
	out := map[string]string{}
	stride := 3 * slower // LONG_TESTS tries every place
	if os.Getenv("LONG_TESTS") != "" {
		stride = 1
	}
	size := len(elements(mustParse(t, document)))
	keep := func(name string, root *etree.Element) {
		data, err := serialize(root)
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(data)
	}
	for i := range size {
		change := func(name string, f func(root, el *etree.Element)) {
			root := mustParse(t, document)
			el := elements(root)[i]
			f(root, el)
			keep(fmt.Sprintf("%s %d %s", name, i, el.Tag), root)
		}
		if i > 0 {
			change("delete", func(_, el *etree.Element) { el.Parent().RemoveChild(el) })
			change("repeat", func(_, el *etree.Element) { el.Parent().InsertChildAt(el.Index(), el.Copy()) })
			change("wrap", func(_, el *etree.Element) {
				parent, at := el.Parent(), el.Index()
				outer := etree.NewElement(el.FullTag())
				parent.RemoveChildAt(at)
				outer.AddChild(el)
				parent.InsertChildAt(at, outer)
			})
			change("unwrap", func(_, el *etree.Element) {
				parent, at := el.Parent(), el.Index()
				parent.RemoveChildAt(at)
				for _, child := range el.ChildElements() {
					parent.InsertChildAt(at, child)
				}
			})
			for j := i % stride; j < size; j += stride {
				change(fmt.Sprintf("move below %d", j), func(root, el *etree.Element) { move(el, elements(root)[j], false) })
				change(fmt.Sprintf("move first below %d", j), func(root, el *etree.Element) { move(el, elements(root)[j], true) })
			}
		}
		change("no namespace", func(_, el *etree.Element) { el.Space = "" })
		change("another name", func(_, el *etree.Element) { el.Tag += "x" })
		change("mallory's words", func(_, el *etree.Element) {
			if len(el.ChildElements()) == 0 {
				el.SetText("mallory@idp.example")
			}
		})
		change("a prefix by a comment", func(_, el *etree.Element) {
			if words := el.Text(); len(words) > 3 && len(el.ChildElements()) == 0 {
				el.SetText(words[:2])
				el.CreateComment("x")
				el.CreateText(words[2:])
			}
		})
		for a := range elements(mustParse(t, document))[i].Attr {
			change(fmt.Sprintf("without attribute %d", a), func(_, el *etree.Element) { el.Attr = append(el.Attr[:a:a], el.Attr[a+1:]...) })
			change(fmt.Sprintf("longer attribute %d", a), func(_, el *etree.Element) { el.Attr[a].Value += "x" })
			change(fmt.Sprintf("empty attribute %d", a), func(_, el *etree.Element) { el.Attr[a].Value = "" })
		}
	}
	return out
}

func move(el, to *etree.Element, first bool) {
	for p := to; p != nil; p = p.Parent() {
		if p == el {
			return // it cannot go below itself
		}
	}
	el.Parent().RemoveChild(el)
	if first {
		to.InsertChildAt(0, el)
	} else {
		to.AddChild(el)
	}
}

func mustParse(t testing.TB, document string) *etree.Element {
	t.Helper()
	root, err := parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// elements are all of a tree, in the order of the document.
func elements(el *etree.Element) []*etree.Element {
	list := []*etree.Element{el}
	for _, child := range el.ChildElements() {
		list = append(list, elements(child)...)
	}
	return list
}

func TestNoMutantOfWhatIsEncryptedOrOfLogoutOrMetadataSaysMore(t *testing.T) {
	t.Parallel()
	message, err := logoutRequest(t).XML()
	if err != nil {
		t.Fatal(err)
	}
	metadata := strings.Replace(strings.Replace(idpMetadata(), "<!-- made by hand -->", "", 1), "<!-- keys -->", "", 1)
	options := MetadataOptions{Certificates: []*x509.Certificate{idpSigner().Certificate}, Now: testNow}
	for name, c := range map[string]struct {
		document string
		read     func(string) (any, error)
	}{
		"encrypted": {inResponse(encryption{}.wrap(t, signedAlone(t))), func(document string) (any, error) {
			got, _, err := Verify([]byte(document), testExpect())
			got.ResponseID = ""
			return got, err
		}},
		"encrypted by CBC, and signed": {signID(t, inResponse(encryption{cipher: algCBC256}.wrap(t, plainAssertion)), "_response1", signing{}), func(document string) (any, error) {
			got, _, err := Verify([]byte(document), testExpect())
			return got, err
		}},
		"logout": {signID(t, string(message), value(mustParse(t, string(message)), "ID"), signing{}), func(document string) (any, error) {
			got, _, err := VerifyLogoutRequest(Incoming{XML: []byte(document)}, testLogout())
			return got, err
		}},
		"metadata": {strings.Replace(metadata, "<md:Extensions>", signing{}.over(t, metadata, "_metadata1")+"<md:Extensions>", 1), func(document string) (any, error) {
			got, _, err := ParseMetadata([]byte(document), options)
			return got, err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, err := c.read(c.document)
			if err != nil {
				t.Fatal(err)
			}
			for name, mutant := range mutants(t, c.document) {
				got, err := c.read(mutant)
				if err != nil {
					continue
				}
				if diff := cmp.Diff(want, got, cmp.Comparer((*x509.Certificate).Equal)); diff != "" {
					t.Errorf("%s:\n%s", name, diff)
				}
			}
		})
	}
}
