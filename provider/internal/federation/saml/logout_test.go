package saml

import (
	"crypto/x509"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The provider is written with our own builders here: TestXMLSecVerifiesWhatWeSign
// holds them to somebody else's reading.

func testIdPAsSP() SP { return SP{EntityID: testIssuer} }

func testLogout() LogoutExpect {
	return LogoutExpect{IdP: testExpect().IdP, Destination: testSLO, InResponseTo: "_logout1", Now: testNow}
}

func logoutRequest(t testing.TB) Message {
	t.Helper()
	message, err := NewLogoutRequest(testIdPAsSP(), testSLO, NameID{Value: "alice@idp.example", Format: "urn:f", NameQualifier: testIssuer}, []string{"_session1", "_session2"}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return message
}

func byRedirect(t testing.TB, message Message, signer *Signer) string {
	t.Helper()
	address, err := message.Redirect("state", signer)
	if err != nil {
		t.Fatal(err)
	}
	_, query, _ := strings.Cut(address, "?")
	return query
}

func fromQuery(t testing.TB, query string) Incoming {
	t.Helper()
	in, err := FromQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func byPost(t testing.TB, message Message, signer *Signer) Incoming {
	t.Helper()
	form, err := message.Post("state", signer)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for _, field := range form.Fields {
		fields[field[0]] = field[1]
	}
	in, err := FromPost(fields["SAMLRequest"], fields["SAMLResponse"], fields["RelayState"])
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func TestALogoutRequestIsReadByEitherBinding(t *testing.T) {
	t.Parallel()
	message := logoutRequest(t)
	want := LogoutRequest{
		ID: message.ID, NameID: NameID{Value: "alice@idp.example", Format: "urn:f", NameQualifier: testIssuer},
		SessionIndexes: []string{"_session1", "_session2"}, IssueInstant: testNow, Until: testNow.Add(6 * time.Minute),
	}
	expect := testLogout()
	expect.IdP.Certificates = append(expect.IdP.Certificates, ecSigner().Certificate)
	for _, signer := range []*Signer{idpSigner(), ecSigner()} {
		for _, in := range []Incoming{fromQuery(t, byRedirect(t, message, signer)), byPost(t, message, signer)} {
			got, list, err := VerifyLogoutRequest(in, expect)
			if diff := cmp.Diff(want, got); err != nil || diff != "" || in.RelayState != "state" || len(failed(list)) > 0 {
				t.Errorf("%v\n%s\n%+v", err, diff, failed(list))
			}
		}
	}
}

func TestALogoutRequestThatNobodySignedIsIgnored(t *testing.T) {
	t.Parallel()
	message := logoutRequest(t)
	expect := testLogout()
	expect.Unsigned = true // is for answers alone
	signed := byRedirect(t, message, idpSigner())
	signature := signed[strings.Index(signed, "&Signature="):]
	method := signed[strings.Index(signed, "&SigAlg="):strings.Index(signed, "&Signature=")]
	for name, query := range map[string]string{
		"no signature":                 byRedirect(t, message, nil),
		"another's":                    byRedirect(t, message, otherSigner()),
		"an empty signature":           strings.Replace(signed, signature, "&Signature=", 1),
		"no algorithm":                 strings.Replace(signed, method, "", 1),
		"alg none":                     strings.Replace(signed, method, "&SigAlg=none", 1),
		"SHA-1":                        strings.Replace(signed, url.QueryEscape(algRSA256), url.QueryEscape("http://www.w3.org/2000/09/xmldsig#rsa-sha1"), 1),
		"another RelayState":           strings.Replace(signed, "RelayState=state", "RelayState=other", 1),
		"no RelayState":                strings.Replace(signed, "&RelayState=state", "", 1),
		"another message":              byRedirect(t, logoutRequest(t), nil) + method + signature,
		"the signature of an old form": strings.Replace(signed, signature, "&Signature=AAAA", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := VerifyLogoutRequest(fromQuery(t, query), expect); err == nil {
				t.Error("accepted")
			}
		})
	}
	for _, signer := range []*Signer{nil, otherSigner()} {
		if _, _, err := VerifyLogoutRequest(byPost(t, message, signer), expect); err == nil {
			t.Error("accepted by POST")
		}
	}
}

func TestAQueryIsVerifiedAsItCame(t *testing.T) {
	t.Parallel()
	query := byRedirect(t, logoutRequest(t), idpSigner())
	parts := strings.Split(query, "&")
	// In another order, with a stranger among them: the signature's own order is the standard's.
	shuffled := strings.Join([]string{parts[3], "x=y", parts[1], parts[0], parts[2]}, "&")
	if _, _, err := VerifyLogoutRequest(fromQuery(t, shuffled), testLogout()); err != nil {
		t.Error(err)
	}
	// .NET writes %3a for %3A: other bytes, which must be signed as such.
	lower := strings.Replace(query, "%3A", "%3a", 1)
	if _, _, err := VerifyLogoutRequest(fromQuery(t, lower), testLogout()); err == nil {
		t.Error("other bytes than those that were signed are accepted")
	}
	resigned := signing{signer: idpSigner(), method: algRSA256}
	bare := lower[:strings.Index(lower, "&Signature=")]
	lower = bare + "&Signature=" + url.QueryEscape(encode(resigned.sign(t, bare)))
	if _, _, err := VerifyLogoutRequest(fromQuery(t, lower), testLogout()); err != nil {
		t.Error(err)
	}
}

func TestAQueryWithTwoReadingsIsRefused(t *testing.T) {
	t.Parallel()
	query := byRedirect(t, logoutRequest(t), idpSigner())
	for name, other := range map[string]string{
		"nothing":              "",
		"a message twice":      query + "&" + strings.Split(query, "&")[0],
		"RelayState twice":     query + "&RelayState=x",
		"a signature twice":    query + "&Signature=x",
		"request and response": query + "&SAMLResponse=x",
		"an escaped name":      strings.Replace(query, "SAMLRequest", "SAMLReques%74", 1),
		"another encoding":     query + "&SAMLEncoding=urn:x",
		"no base64":            "SAMLRequest=!",
		"no deflate":           "SAMLRequest=AAAA",
		"a broken escape":      "SAMLRequest=%zz",
		"an empty message":     "SAMLRequest=",
		"huge":                 "SAMLRequest=" + strings.Repeat("A", MaxMessage),
	} {
		var refused *Refused
		if _, err := FromQuery(other); !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, fields := range [][2]string{{"", ""}, {"AAAA", "AAAA"}, {"!", ""}} {
		if _, err := FromPost(fields[0], fields[1], ""); err == nil {
			t.Errorf("%q is accepted", fields)
		}
	}
}

func TestALogoutRequestIsHeldToItsWords(t *testing.T) {
	t.Parallel()
	data, err := logoutRequest(t).XML()
	if err != nil {
		t.Fatal(err)
	}
	document := string(data)
	id := value(mustParse(t, document), "ID")
	for name, lie := range map[string]statement{
		"another Destination":  {testSLO, "https://sp2.example/slo", CheckDestination},
		"no Destination":       {` Destination="` + testSLO + `"`, "", CheckDestination},
		"another issuer":       {"<saml:Issuer>" + testIssuer, "<saml:Issuer>https://idp2.example/", CheckIssuer},
		"issued in ten years":  {`IssueInstant="2026`, `IssueInstant="2036`, CheckClock},
		"issued long ago":      {`IssueInstant="2026`, `IssueInstant="2025`, CheckClock},
		"over":                 {`NotOnOrAfter="2026-05-04T12:05:00Z"`, `NotOnOrAfter="2026-05-04T11:58:00Z"`, CheckClock},
		"a time that is none":  {`NotOnOrAfter="2026-05-04T12:05:00Z"`, `NotOnOrAfter="x"`, CheckClock},
		"no NameID":            {between(document, "<saml:NameID", "</saml:NameID>"), "", CheckNameID},
		"an encrypted one":     {between(document, "<saml:NameID", "</saml:NameID>"), "<saml:EncryptedID/>", CheckNameID},
		"a NameID with spaces": {"alice@idp.example", " alice@idp.example", CheckNameID},
		"a comment":            {"alice@idp.example", "alice<!-- -->@idp.example", CheckXML},
		"version 1.1":          {`Version="2.0"`, `Version="1.1"`, CheckShape},
		"another message":      {"LogoutRequest", "AuthnRequest", CheckShape},
		"too many indexes":     {"</saml:NameID>", "</saml:NameID>" + strings.Repeat("<samlp:SessionIndex>x</samlp:SessionIndex>", 101), CheckShape},
		"an empty index":       {"</saml:NameID>", "</saml:NameID><samlp:SessionIndex/>", CheckShape},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(document, lie.old) {
				t.Fatal("there is no", lie.old)
			}
			changed := strings.ReplaceAll(document, lie.old, lie.new)
			if lie.by != CheckXML {
				changed = signID(t, changed, id, signing{})
			}
			_, _, err := VerifyLogoutRequest(Incoming{XML: []byte(changed)}, testLogout())
			var refused *Refused
			if !errors.As(err, &refused) || refused.Name != lie.by {
				t.Errorf("%v %+v", err, refused)
			}
		})
	}
	// What is sent as an answer is no request.
	if _, _, err := VerifyLogoutRequest(Incoming{XML: []byte(signID(t, document, id, signing{})), Answer: true}, testLogout()); err == nil {
		t.Error("an answer passed for a request")
	}
}

func TestAnAnswerToOurLogoutIsRead(t *testing.T) {
	t.Parallel()
	for status, done := range map[string]bool{StatusSuccess: true, StatusPartialLogout: false, StatusRequester: false} {
		message, err := NewLogoutResponse(testIdPAsSP(), testSLO, "_logout1", status, testNow)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range []Incoming{fromQuery(t, byRedirect(t, message, idpSigner())), byPost(t, message, idpSigner())} {
			got, list, err := VerifyLogoutResponse(in, testLogout())
			if err != nil || got.Done != done || !got.Signed || got.InResponseTo != "_logout1" || got.ID != message.ID {
				t.Errorf("%v %+v %+v", err, got, failed(list))
			}
		}
		expect := testLogout()
		expect.InResponseTo = "_logout2"
		if _, _, err := VerifyLogoutResponse(byPost(t, message, idpSigner()), expect); err == nil {
			t.Error("an answer to another request is accepted")
		}
	}
}

func TestAnUnsignedAnswerNeedsLeave(t *testing.T) {
	t.Parallel()
	message, err := NewLogoutResponse(testIdPAsSP(), testSLO, "_logout1", StatusSuccess, testNow)
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []Incoming{fromQuery(t, byRedirect(t, message, nil)), byPost(t, message, nil)} {
		expect := testLogout()
		if _, _, err := VerifyLogoutResponse(in, expect); err == nil {
			t.Error("accepted without leave")
		}
		expect.Unsigned = true
		if got, _, err := VerifyLogoutResponse(in, expect); err != nil || got.Signed {
			t.Errorf("%v %+v", err, got)
		}
	}
	// A signature that fails is not taken for none.
	expect := testLogout()
	expect.Unsigned, expect.IdP.Certificates = true, []*x509.Certificate{nextSigner().Certificate}
	for _, in := range []Incoming{fromQuery(t, byRedirect(t, message, idpSigner())), byPost(t, message, idpSigner())} {
		if _, _, err := VerifyLogoutResponse(in, expect); err == nil {
			t.Error("a bad signature is accepted")
		}
	}
}
